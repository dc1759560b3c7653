"""From what a user names (files, folders, globs) to videos."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from frameflow import remote
from frameflow._places import path_of, url_in
from frameflow.data.containers import is_frame_folder, is_video_name
from frameflow.errors import UsageError, listing

_ENDINGS = ".mp4, .avi, .webm or the like"


def expand_paths(names: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The videos that files, folders and globs name.

    A folder stands for every video below it (a folder of numbered frames is one video itself), a
    glob (``*``, ``?``, ``[ab]``, ``**``) for the videos it matches. A file is taken as it is named,
    whatever its ending and even where it is missing, so that its own reason can be told. All of
    them may be URLs.

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
    url = url_in(name)
    if url is not None:
        return [path_of(one) for one in _elsewhere(url)]
    path = path_of(name)
    if path.is_dir():
        videos = _videos_below(path)
        if not videos:
            raise UsageError(f"The folder {name} holds no video: no name ends in {_ENDINGS}.")
        return videos
    if glob.has_magic(name) and not path.exists():
        matches = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207
        if not matches:
            raise UsageError(f"{name!r} matches nothing.")
        found = dict.fromkeys(video for match in matches for video in _videos_below(match))
        if not found:
            raise UsageError(
                f"{name!r} matches {listing(matches, most=3)}, but no video: no name ends in "
                f"{_ENDINGS}."
            )
        return list(found)
    return [path]


def _elsewhere(url: str) -> list[str]:
    """The videos that a URL names; one that looks like a video is not looked for."""
    if not glob.has_magic(url):
        if is_video_name(url):
            return [url]
        there = remote.state(url)
        if there is None or not there.folder:
            return [url]
    found = [one for one in remote.find(url) if is_video_name(one)]
    if not found:
        holds = "matches no video" if glob.has_magic(url) else "holds no video"
        raise UsageError(f"{url} {holds}: no name there ends in {_ENDINGS}.")
    return found


def _videos_below(path: Path) -> list[Path]:
    """The video itself, or those in the folder; hidden ones are passed over."""
    if not path.is_dir():
        return [path] if is_video_name(path) else []
    if is_frame_folder(path):
        return [path]
    videos: list[Path] = []
    for entry in sorted(path.iterdir()):
        # A linked folder may lead back to where it stands.
        if not entry.name.startswith(".") and not (entry.is_symlink() and entry.is_dir()):
            videos += _videos_below(entry)
    return videos
