"""From what a user names (files, folders, globs) to videos."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from frameflow.data.containers import VIDEO_SUFFIXES, is_frame_folder
from frameflow.errors import UsageError


def expand_paths(names: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The videos that files, folders and globs name.

    A folder stands for every video below it (a folder of numbered frames is one video itself), a
    glob (``*``, ``?``, ``[ab]``, ``**``) for the videos it matches. A file is taken as it is named,
    whatever its ending and even where it is missing, so that its own reason can be told.

    Returns:
        The videos in the order of the names, sorted within a folder or glob, each once.

    Raises:
        UsageError: no name at all, or a folder or glob in which there is no video.
    """
    if isinstance(names, str | os.PathLike):
        names = [names]
    found: dict[Path, None] = {}
    for name in names:
        found.update(dict.fromkeys(_expand(os.fspath(name))))
    if not found:
        raise UsageError("No video is named: give files, folders or globs.")
    return list(found)


def _expand(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        videos = _videos_below(path)
        if not videos:
            raise UsageError(f"The folder {name} holds no video (looked for {_endings()}).")
        return videos
    if glob.has_magic(name) and not path.exists():
        matches = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207
        videos = [video for match in matches for video in _videos_below(match)]
        if not videos:
            what = f"matches {len(matches)} paths, none of them a video" if matches else "no path"
            verb = what if matches else f"matches {what}"
            raise UsageError(f"{name!r} {verb} (looked for {_endings()}).")
        return videos
    return [path]


def _videos_below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix.lower() in VIDEO_SUFFIXES else []
    if is_frame_folder(path):
        return [path]
    inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    return [video for entry in inside for video in _videos_below(entry)]


def _endings() -> str:
    return ", ".join(sorted(VIDEO_SUFFIXES)[:6]) + " and the like"
