"""From a folder of class folders to a manifest."""

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from frameflow.data._group_names import Numbering, add_groups
from frameflow.data._walk import require_folder, top_folders, walk
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing

log = logging.getLogger(__name__)

LEFT_OUT_TOLD = 3  # of what is left out, so many are named in the log

_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found.

    Attributes:
        manifest: the videos with label, and with split and group where the folder tells them.
        left_out: (path below the folder, reason) of all that is no sample, sorted.
        empty_classes: class folders without a video, as ``Class`` or ``train/Class``.
    """

    manifest: Manifest
    left_out: list[tuple[str, str]] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)


def scan_folder(path: str | os.PathLike[str], *, groups: Numbering = "auto") -> Scan:
    """Make a manifest of a folder of class folders.

    ::

        VIDEOS/jump/a.mp4             label jump
        VIDEOS/jump/b/c.webm          label jump (any depth below the class folder)
        VIDEOS/jump/d/0001.jpg ...    label jump, one video of frame images
        VIDEOS/train/jump/a.mp4       label jump, split train (train, val, valid, validation, test)

    Files of every container that FFmpeg reads are taken by their names; whether they decode is
    for `frameflow data check`. Hidden files are passed over.

    Args:
        path: the folder; it becomes the root of the manifest.
        groups: how names like ``v_Class_g01_c01`` are numbered: ``class`` (anew in every class),
            ``global`` (one scene everywhere), ``none`` (no groups) or ``auto`` (look and tell).

    Raises:
        UsageError: the folder does not exist, is a file, or has no video in a class folder.
    """
    root = require_folder(path, "that holds the class folders")
    found = walk(root)
    left_out = list(found.left_out)
    folders = list(top_folders(root))
    layered = _has_split_layer(folders, found.videos)
    depth = 2 if layered else 1
    samples, outside = [], 0
    for video in found.videos:
        parts = video.split("/")
        split = _SPLIT_FOLDERS.get(parts[0].casefold()) if layered else ""
        if len(parts) <= depth or split is None:
            kind = "frame images" if (root / video).is_dir() else "a video"
            reason = f"{kind} outside the {'split' if split is None else 'class'} folders"
            left_out.append((video, reason))
            outside += 1
        else:
            samples.append(Sample(video, label=parts[depth - 1].strip(), split=split))
    if not samples:
        raise UsageError(_nothing_found(root, outside))
    empty = _empty_classes(root, folders if not layered else None, samples)
    scan = Scan(Manifest(samples, root), sorted(left_out), empty)
    _tell(scan, layered)
    return replace(scan, manifest=scan.manifest.replace(add_groups(samples, numbering=groups)))


def _has_split_layer(folders: list[str], videos: list[str]) -> bool:
    """Whether the first folders are splits and not classes.

    They are if all that hold videos are named so, or if train and one more are. A class that
    happens to be called Train, among others, is a class.
    """
    holding = {video.split("/", 1)[0] for video in videos if "/" in video}
    named = {_SPLIT_FOLDERS[f.casefold()] for f in folders if f.casefold() in _SPLIT_FOLDERS}
    if not any(video.count("/") >= 2 for video in videos):
        return False
    return {name.casefold() for name in holding} <= set(_SPLIT_FOLDERS) or (
        "train" in named and len(named) > 1
    )


def _nothing_found(root: Path, outside: int) -> str:
    wanted = f"put each video in a folder named after its label, such as {root / 'jump'}/1.mp4"
    if outside:
        videos = f"{outside} videos, but none" if outside > 1 else "1 video, but not"
        return f"{root} holds {videos} in a class folder: {wanted}."
    return f"{root} holds no videos: {wanted}."


def _empty_classes(root: Path, folders: list[str] | None, samples: list[Sample]) -> list[str]:
    """Class folders without a sample; ``folders`` is None where they lie below a split layer."""
    if folders is None:
        splits = [name for name in top_folders(root) if name.casefold() in _SPLIT_FOLDERS]
        folders = [f"{split}/{name}" for split in splits for name in top_folders(root / split)]
    depth = folders[0].count("/") + 1 if folders else 1
    filled = {"/".join(sample.video.split("/")[:depth]) for sample in samples}
    return [folder for folder in folders if folder not in filled]


def _tell(scan: Scan, layered: bool) -> None:
    manifest = scan.manifest
    labels = manifest.labels
    log.info(
        "Found %s video%s in %s class%s.",
        f"{len(manifest):,}",
        "s" if len(manifest) != 1 else "",
        f"{len(labels):,}",
        "es" if len(labels) != 1 else "",
    )
    if layered:
        splits = {name: len(manifest.split(name)) for name in ("train", "val", "test")}
        counts = ", ".join(f"{count:,} {name}" for name, count in splits.items() if count)
        log.info("The folders bring a split: %s.", counts)
    if scan.left_out:
        left_out = [f"{path} ({reason})" for path, reason in scan.left_out]
        shown = listing(left_out, most=LEFT_OUT_TOLD)
        log.info("Left out %s: %s.", f"{len(scan.left_out):,}", shown)
    if scan.empty_classes:
        count = len(scan.empty_classes)
        log.warning(
            "%d class folder%s no video: %s.",
            count,
            "s hold" if count > 1 else " holds",
            listing(scan.empty_classes),
        )
    if len(labels) == 1:
        deeper = any(sample.video.count("/") > 1 + layered for sample in manifest)
        hint = f" If the class folders lie in {labels[0]!r}, scan that." if deeper else ""
        log.warning("There is only one class, %r: training needs two.%s", labels[0], hint)
