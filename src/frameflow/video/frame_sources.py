"""What frames are extracted of: a video, a folder of them or a manifest, and the manifest after."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from frameflow._places import path_of, url_of
from frameflow.data._walk import require_folder, walk
from frameflow.data.containers import is_video_name
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.video.frame_table import read_frame_table

MANIFEST = "manifest.csv"  # of the extracted folders, among them
_TABLES = (".csv", ".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class FrameSources:
    """Videos by the folder that each becomes.

    Attributes:
        videos: for each folder, relative to the target, its video.
        named: the frames that rows of the manifest name by number, by folder.
        manifest: where the videos come from one.
        folders: the folder of each video, as the manifest writes the video.
    """

    videos: dict[str, Path]
    named: dict[str, set[int]] = field(default_factory=dict)
    manifest: Manifest | None = None
    folders: dict[str, str] = field(default_factory=dict)


def frame_sources(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> FrameSources:
    """The videos that a path means, and the folder each becomes below ``out``.

    Args:
        source: a video, a folder with videos at any depth, or a manifest.
        out: the folder of the frames, which must not lie inside ``source``.

    Raises:
        UsageError: nothing to read there, or ``out`` lies inside.
    """
    path = path_of(source)
    if path.suffix.lower() in _TABLES:
        if (Path(out) / MANIFEST).resolve() == path.resolve():
            raise UsageError(f"{path} would be written over: give another folder than {out}.")
        return _of_manifest(Manifest.read(path, check_files=False))
    if path.is_file() or is_video_name(path):
        if not path.exists() and not url_of(path):
            raise UsageError(f"{path} does not exist: check the path.")
        return FrameSources({path.stem: path})
    root = require_folder(url_of(path) or path, "that holds the videos")
    if Path(out).resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{out} lies inside {root}: give a folder beside it.")
    found = walk(root).videos
    if not found:
        raise UsageError(f"{root} holds no videos.")
    names = _folder_names(found)
    return FrameSources({names[video]: root / video for video in found})


def frames_manifest(
    sources: FrameSources, out: str | os.PathLike[str], done: list[str]
) -> tuple[Manifest | None, int]:
    """The manifest of the extracted folders, and how many samples it leaves out.

    Labels, splits, groups, spans and further columns stay; a frame named by its number in the
    video is named by its image.
    """
    if sources.manifest is None:
        return None, 0
    root, complete = Path(out), set(done)
    images: dict[str, Mapping[int, str]] = {}
    samples: list[Sample] = []
    for sample in sources.manifest:
        folder = sources.folders[sample.video]
        if folder not in complete:
            continue
        frame = sample.frame
        if frame is not None and frame.isdecimal():
            if folder not in images:
                rows = read_frame_table(root / folder) or []
                images[folder] = {index: name for name, index, _ in rows}
            frame = images[folder].get(int(frame))
            if frame is None:  # a frame after the end of its video
                continue
        samples.append(replace(sample, video=folder, frame=frame, row=0))
    manifest = Manifest(samples, root, columns=sources.manifest.columns)
    return manifest, len(sources.manifest) - len(samples)


def _of_manifest(manifest: Manifest) -> FrameSources:
    paths = {sample.video: manifest.path(sample) for sample in manifest}
    placed = {video: _below(path, manifest.root) for video, path in paths.items()}
    if None in placed.values():
        resolved = {video: os.path.realpath(path) for video, path in paths.items()}
        shared = Path(os.path.commonpath([os.path.dirname(p) for p in resolved.values()]))  # noqa: PTH120
        placed = {v: Path(p).relative_to(shared).as_posix() for v, p in resolved.items()}
    names = _folder_names([place for place in placed.values() if place])
    folders = {video: names[place or ""] for video, place in placed.items()}
    named: dict[str, set[int]] = defaultdict(set)
    for sample in manifest:
        if sample.frame is not None and sample.frame.isdecimal():
            named[folders[sample.video]].add(int(sample.frame))
    videos = {folders[video]: path for video, path in paths.items()}
    return FrameSources(videos, dict(named), manifest, folders)


def _below(path: Path, root: Path) -> str | None:
    """The path below the root, None where it leads out of it."""
    plain = Path(os.path.normpath(path))
    return plain.relative_to(root).as_posix() if plain.is_relative_to(root) else None


def _folder_names(videos: list[str]) -> dict[str, str]:
    """``serve/1`` for ``serve/1.mp4``; with the ending where two differ in that only."""
    stems: dict[str, list[str]] = defaultdict(list)
    for video in dict.fromkeys(videos):
        path = PurePosixPath(video)
        stem = path.with_suffix("") if is_video_name(video) else path
        stems[stem.as_posix()].append(video)
    return {
        video: stem if len(members) == 1 else f"{stem}_{PurePosixPath(video).suffix[1:]}"
        for stem, members in stems.items()
        for video in members
    }
