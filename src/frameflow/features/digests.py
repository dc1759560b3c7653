"""What a video holds, as a digest of its bytes: moved files are known again, changed ones noticed.

Digests are remembered by path, size and time of change, so a data set is read once.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow import remote
from frameflow._places import url_of
from frameflow._threads import in_threads
from frameflow.data.containers import is_image_name
from frameflow.errors import VideoError
from frameflow.features._memory import memory_of
from frameflow.features._shared_digests import publish, recall
from frameflow.features.home import home, store_root
from frameflow.progress import progress
from frameflow.video.frame_table import TABLE

if TYPE_CHECKING:
    from frameflow.data.manifest import Sample

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_THREADS = 4  # reading waits for the disk; hashing leaves Python's lock
_REMOTE_THREADS = 16  # fetching waits for the network

Digest = str | VideoError


def content_digests(
    paths: Iterable[Path], *, remembered: Path | None = None, store: Path | None = None
) -> Mapping[Path, Digest]:
    """The digests of videos, those that are remembered and unchanged without reading them.

    Args:
        paths: video files and folders of frame images; each is looked at once. Of what lies
            elsewhere the places of copies: unchanged objects that are remembered are not fetched.
        remembered: an SQLite file; ``digests.sqlite`` in `home` where None. Several processes may
            use it at once; where it cannot be used everything is read.
        store: of features; `store_root` where None. Where it lies elsewhere, machines share in it
            what they know of videos that lie elsewhere.

    Returns:
        32 hexadecimal digits for each path, or the `VideoError` that says why it cannot be read.
    """
    found: dict[Path, Digest] = {}
    stamps: dict[Path, str] = {}
    paths = list(dict.fromkeys(paths))
    urls = {path: url for path in paths if (url := url_of(path))}
    remote.look(urls.values())
    for path in paths:
        try:
            stamps[path] = _stamp(path)
        except OSError as error:
            found[path] = _unreadable(path, error)
        except VideoError as error:
            found[path] = error
    with memory_of(remembered or home() / "digests.sqlite", "digests") as memory:
        unknown = []
        for path, stamp in stamps.items():
            known = memory.recall(urls.get(path) or str(path.absolute()), stamp)
            if known is None:
                unknown.append(path)
            else:
                found[path] = known
        root = store or store_root()
        shared = url_of(root) is not None and any(path in urls for path in unknown)
        if shared:
            known_there = recall(root)
            for path in unknown:
                stamp, told = known_there.get(urls.get(path, ""), ("", ""))
                if stamp == stamps[path]:
                    found[path] = told
                    memory.remember(urls[path], stamp, told)
            unknown = [path for path in unknown if path not in found]
        if not unknown:
            return found
        news: dict[str, tuple[str, str]] = {}
        workers = _REMOTE_THREADS if urls else _THREADS
        digests = in_threads(_read, unknown, workers=workers, name="digest")
        with progress("Reading", total=len(unknown), unit="videos") as advance:
            for path, digest in zip(unknown, digests):
                found[path] = digest
                if isinstance(digest, str) and _unchanged(path, stamps[path]):
                    name = urls.get(path) or str(path.absolute())
                    memory.remember(name, stamps[path], digest)
                    if path in urls:
                        news[name] = stamps[path], digest
                advance()
        if shared:
            publish(root, news)
    return found


def sample_key(sample: "Sample", digest: str) -> str:
    """What is the same for two samples that show the same frames: 32 hexadecimal digits.

    Args:
        sample: its span, frame and region count; its path and label do not.
        digest: of the content of its video.
    """
    region = sample.region
    parts = (
        digest,
        _number(sample.start),
        _number(sample.end),
        sample.frame or "",
        ",".join(_number(v) for v in (region.x, region.y, region.w, region.h)) if region else "",
    )
    return hashlib.blake2b("|".join(parts).encode(), digest_size=16).hexdigest()


def content_digest(path: Path) -> str:
    """The digest of one video, read now.

    Raises:
        RemoteError: it lies elsewhere and cannot be fetched.
        VideoError: it cannot be read.
    """
    sha = hashlib.blake2b(digest_size=16)
    try:
        if url_of(path):
            with remote.held(path):
                _update(sha, path)
        elif path.is_dir():
            for image in _images(path):
                sha.update(f"{image.name}|{image.stat().st_size}|".encode())
                _update(sha, image)
        else:
            _update(sha, path)
    except OSError as error:
        raise _unreadable(path, error) from None
    return sha.hexdigest()


def _read(path: Path) -> Digest:
    try:
        return content_digest(path)
    except VideoError as error:
        return error


def _update(sha: "hashlib.blake2b", path: Path) -> None:
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            sha.update(block)


def _images(folder: Path) -> list[Path]:
    """The images, and the table of their times where there is one: a span depends on it."""
    return sorted(p for p in folder.iterdir() if is_image_name(p) or p.name == TABLE)


def _stamp(path: Path) -> str:
    """Size and time of change; of a folder those of all its images, of an object its ETag."""
    url = url_of(path)
    if url:
        return remote.stamp_of(path)
    if not path.is_dir():
        found = path.stat()
        return f"{found.st_size}:{found.st_mtime_ns}"
    sha = hashlib.blake2b(digest_size=16)
    for image in _images(path):
        found = image.stat()
        sha.update(f"{image.name}:{found.st_size}:{found.st_mtime_ns}|".encode())
    return sha.hexdigest()


def _unchanged(path: Path, stamp: str) -> bool:
    """Whether the bytes read are those that the stamp was taken of."""
    try:
        return _stamp(path) == stamp
    except OSError:
        return False


def _unreadable(path: Path, error: OSError) -> VideoError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return VideoError(path, "does not exist")
    if isinstance(error, PermissionError):
        return VideoError(path, "may not be read (permission denied)")
    return VideoError(path, f"cannot be read ({error.strerror or error})")


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))
