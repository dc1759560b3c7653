"""Every video below a folder: files in containers and folders of frame images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from frameflow._places import url_in
from frameflow.data.containers import frame_names_among, is_image_name, is_video_name
from frameflow.errors import UsageError


@dataclass(slots=True)
class Found:
    """What a walk found: paths relative to its root, with ``/`` between the parts, sorted."""

    videos: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def require_folder(path: str | os.PathLike[str], what: str) -> Path:
    """The path, if it is a folder.

    Raises:
        UsageError: it does not exist, or is no folder, or may not be opened.
    """
    if url := url_in(path):
        raise UsageError(
            f"The folder {what} is read from this machine only, not from {url}: write a manifest "
            f"that names the videos there."
        )
    folder = Path(path)
    try:
        if folder.is_dir():
            next(folder.iterdir(), None)
            return folder
        exists = folder.exists()
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be opened: {error.strerror}.") from None
    if exists:
        raise UsageError(f"{folder} is a file: give the folder {what}.")
    raise UsageError(f"The folder {folder} does not exist: give the folder {what}.")


def walk(root: Path) -> Found:
    """Walk a folder in the order of names. Hidden entries are passed over silently.

    Links to folders are followed once: one that leads back to a folder seen already is left out,
    so that neither a loop nor a video under two names comes of it.
    """
    found = Found()
    seen = {_identity(root): ""}
    _walk_into(root, "", found, seen)
    found.videos.sort()
    found.left_out.sort()
    return found


def _walk_into(root: Path, inside: str, found: Found, seen: dict[tuple[int, int], str]) -> None:
    try:
        with os.scandir(root / inside) as listing:
            entries = sorted(
                (entry for entry in listing if not entry.name.startswith(".")),
                # Links last: what they lead to is then known under its own name.
                key=lambda entry: (entry.is_symlink(), entry.name),
            )
    except OSError as error:
        found.left_out.append((inside, (error.strerror or "cannot be opened").lower()))
        return
    if inside and frame_names_among((entry.name, entry.is_dir()) for entry in entries):
        found.videos.append(inside)
        return
    for entry in entries:
        path = f"{inside}/{entry.name}" if inside else entry.name
        reason = _refusal(entry, path)
        if reason:
            found.left_out.append((path, reason))
        elif entry.is_dir():
            identity = _identity(root / path)
            if identity in seen:
                same = seen[identity] or "the folder itself"
                found.left_out.append((path, f"a link to {same}, which is read already"))
                continue
            seen[identity] = path
            _walk_into(root, path, found, seen)
        else:
            found.videos.append(path)


def _refusal(entry: "os.DirEntry[str]", path: str) -> str:
    """Why an entry is neither a folder to walk into nor a video, or the empty string."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    try:
        if entry.is_dir():
            return ""
        entry.stat()
    except OSError as error:
        broken = entry.is_symlink()
        return "a link that leads nowhere" if broken else (error.strerror or "cannot be opened")
    if is_video_name(entry.name):
        return "" if entry.is_file() else "not a regular file"
    if is_image_name(entry.name):
        return "an image, not in a folder of numbered frames"
    suffix = os.path.splitext(entry.name)[1]  # noqa: PTH122
    return f"not a video ({suffix.lower()})" if suffix else "not a video"


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def top_folders(root: Path) -> Iterator[str]:
    """The names of the visible folders directly below, sorted."""
    with os.scandir(root) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        yield from sorted(entry.name for entry in visible if entry.is_dir())
