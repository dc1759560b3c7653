"""What a video holds, as a digest of its bytes: moved files are known again, changed ones noticed.

Digests are remembered by path, size and time of change, so a data set is read once.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
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
    with DigestBook(paths, remembered=remembered, store=store) as book:
        workers = _REMOTE_THREADS if any(map(url_of, book.unknown)) else _THREADS
        digests = in_threads(_read, book.unknown, workers=workers, name="digest")
        with progress("Reading", total=len(book.unknown), unit="videos") as advance:
            for path, digest in zip(book.unknown, digests):
                book.learn(path, digest)
                advance()
    return book.found


class DigestBook:
    """What is remembered of videos; what is learned of the others is written to it.

    Args:
        paths: see `content_digests`, also for the next two.
        remembered: see there.
        store: see there.

    Attributes:
        found: digests by path, or why there is none.
        unknown: the paths of which nothing is known, in order.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        *,
        remembered: Path | None = None,
        store: Path | None = None,
    ) -> None:
        self.found: dict[Path, Digest] = {}
        self.unknown: list[Path] = []
        self._stamps: dict[Path, str] = {}
        self._news: dict[str, tuple[str, str]] = {}
        self._stack = ExitStack()
        self._remembered = remembered or home() / "digests.sqlite"
        self._root = store or store_root()
        paths = list(dict.fromkeys(paths))
        self._urls = {path: url for path in paths if (url := url_of(path))}
        remote.look(self._urls.values())
        for path in paths:
            try:
                self._stamps[path] = _stamp(path)
            except OSError as error:
                self.found[path] = _unreadable(path, error)
            except VideoError as error:
                self.found[path] = error

    def __enter__(self) -> "DigestBook":
        self._memory = self._stack.enter_context(memory_of(self._remembered, "digests"))
        for path, stamp in self._stamps.items():
            known = self._memory.recall(self._name(path), stamp)
            if known is None:
                self.unknown.append(path)
            else:
                self.found[path] = known
        self._shared = url_of(self._root) is not None and bool(self._urls)
        if self._shared:
            self._ask_others()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self._shared:
            publish(self._root, self._news)

    def learn(self, path: Path, digest: Digest) -> None:
        """Take down what was found of a video, if it is still what it was."""
        self.found[path] = digest
        if isinstance(digest, str) and _unchanged(path, self._stamps[path]):
            self._memory.remember(self._name(path), self._stamps[path], digest)
            if path in self._urls:
                self._news[self._urls[path]] = self._stamps[path], digest

    def _name(self, path: Path) -> str:
        return self._urls.get(path) or str(path.absolute())

    def _ask_others(self) -> None:
        """What other machines found of videos that lie elsewhere; they are told the rest."""
        known = recall(self._root)
        for path in self.unknown:
            stamp, digest = known.get(self._urls.get(path, ""), ("", ""))
            if stamp == self._stamps[path]:
                self.found[path] = digest
                self._memory.remember(self._urls[path], stamp, digest)
        self.unknown = [path for path in self.unknown if path not in self.found]
        for path, url in self._urls.items():
            mine = self._stamps.get(path, ""), self.found.get(path)
            if isinstance(mine[1], str) and known.get(url) != mine:
                self._news[url] = mine[0], mine[1]


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
