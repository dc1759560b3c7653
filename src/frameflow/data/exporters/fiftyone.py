"""Data sets that FiftyOne imports from a folder, written without it and without copying a video.

Whole clips become a ``VideoClassificationDirectoryTree``: folders of classes with links to the
videos. Spans become a ``FiftyOneTemporalDetectionDataset``: ``data.json`` with the paths of the
videos and ``labels.json`` with their spans in seconds.

https://docs.voxel51.com/user_guide/import_datasets.html
"""

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from frameflow._files import write_json
from frameflow._places import url_of
from frameflow.data.exporters._shared import Facts, has_span, numbered, refuse_parts
from frameflow.data.manifest import SPLITS, Manifest, Sample
from frameflow.errors import FrameFlowError, UsageError

UNLABELLED = "_unlabeled"  # FiftyOne's own name for the folder


def export_fiftyone(manifest: Manifest, out: Path, facts: Facts) -> list[str]:
    """Write one data set for each split.

    Args:
        manifest: whole videos, or spans; files, not folders of frames.
        out: the folder; a manifest with splits gets one folder below it for each.
        facts: the length of a video, for spans without an end.

    Returns:
        The Python lines that import what was written.

    Raises:
        UsageError: samples that FiftyOne cannot show, or labels that cannot name a folder.
        FrameFlowError: the folder cannot be written.
    """
    refuse_parts(manifest, "FiftyOne's import of videos", spans=True)
    folders = [sample.video for sample in manifest if manifest.path(sample).is_dir()]
    if folders:
        raise UsageError(
            f"{len(folders):,} samples are folders of frames, such as {folders[0]}: FiftyOne shows "
            "files."
        )
    spans = any(has_span(sample) for sample in manifest)
    lines = []
    for split in (*SPLITS, ""):
        part = manifest.where(lambda sample, split=split: sample.split == split)  # type: ignore[misc]
        if not len(part):
            continue
        folder = out / split if manifest.has_splits else out
        if spans:
            _write_spans(part, folder, facts)
            kind = 'FiftyOneTemporalDetectionDataset, data_path="data.json"'
        else:
            _link_tree(part, folder)
            kind = "VideoClassificationDirectoryTree"
        tags = f', tags="{split}"' if split else ""
        lines.append(f'fo.Dataset.from_dir("{folder}", dataset_type=fo.types.{kind}{tags})')
    return lines


def _link_tree(manifest: Manifest, folder: Path) -> None:
    taken: set[Path] = set()
    for sample in manifest:
        if url := url_of(manifest.path(sample)):
            raise UsageError(
                f"FiftyOne's folders hold links to files, and {url} is none: copy it to this "
                f"machine and name it so in the manifest."
            )
        label = sample.label or UNLABELLED
        if "/" in label or "\\" in label or label in (".", ".."):
            raise UsageError(f"The label {label!r} cannot name a folder: rename it.")
        source = manifest.path(sample).resolve()
        name = PurePosixPath(sample.video).name
        target = folder / label / name
        if target in taken:  # two videos of one name in one class: told apart by their folders
            target = folder / label / "_".join(PurePosixPath(sample.video).parts).lstrip("./")
        taken.add(target)
        _link(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.symlink_to(source)
    except OSError as error:
        reason = error.strerror or error
        raise FrameFlowError(f"{target} cannot be made a link to {source}: {reason}.") from None


def _write_spans(manifest: Manifest, folder: Path, facts: Facts) -> None:
    by_video: dict[str, list[Sample]] = defaultdict(list)
    for sample in manifest:
        by_video[sample.video].append(sample)
    numbers = numbered(manifest.labels)
    paths: dict[str, str] = {}
    labels: dict[str, list[dict[str, Any]]] = {}
    for number, (video, members) in enumerate(by_video.items()):
        # FiftyOne takes what follows the last point of an identity for an ending.
        identity = f"{number:06d}"
        paths[identity] = os.path.abspath(manifest.path(members[0]))  # noqa: PTH100
        length = max((s.end or 0.0 for s in members), default=0.0)
        if any(sample.end is None for sample in members):
            length = facts(manifest.root / video).seconds
        labels[identity] = [
            {
                "label": numbers[sample.label],
                "timestamps": [sample.start or 0.0, length if sample.end is None else sample.end],
            }
            for sample in members
            if sample.label
        ]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "data.json", paths)
    write_json(folder / "labels.json", {"classes": list(numbers), "labels": labels})
