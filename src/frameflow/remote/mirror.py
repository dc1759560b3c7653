"""Copies on this machine of what lies elsewhere: fetched when first read, whole or absent.

They lie below ``remote`` in the home folder (`frameflow._places`) and take up to
``FRAMEFLOW_REMOTE_GB`` (20); then those that were not read for longest go. A copy that is being
read is locked and stays. Several processes may use one folder at once.
"""

import contextlib
import errno
import hashlib
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from frameflow._places import mirror_root, shown, url_of
from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.remote.errors import Changed, attempt
from frameflow.remote.objects import State, filesystem, state, states

log = logging.getLogger(__name__)

SIZE = "FRAMEFLOW_REMOTE_GB"
_GIGABYTES = 20.0
_FRESH = 60.0  # seconds for which a process does not look again whether an object has changed
_LEFT = 0.8  # of the size, after room was made
_LOOK_AGAIN = 0.05  # of the size: when so much was fetched, what others fetched is counted too
_ABANDONED = 3600  # seconds after which an unfinished file belongs to nobody
_FULL = {errno.ENOSPC, errno.EDQUOT}

_guard = threading.Condition()
_looked: dict[str, tuple[float, State | None]] = {}
_locks: dict[Path, threading.Lock] = defaultdict(threading.Lock)


@dataclass(slots=True)
class _Room:
    """What this process knows of a mirror, in bytes: counted there, fetched since, on its way."""

    counted: int = -1
    since: int = 0
    coming: int = 0


_room: dict[Path, _Room] = defaultdict(_Room)


def remember(url: str, found: State | None) -> None:
    """Take what was found at a URL just now as known, for a while."""
    _looked[url] = (time.monotonic(), found)


def known(url: str) -> State | None:
    """What there is at a URL, as this process found it within the last minute, or finds it now.

    Raises:
        RemoteError: it cannot be told.
    """
    when, found = _looked.get(url, (-_FRESH, None))
    if time.monotonic() - when >= _FRESH:
        found = state(url)
        remember(url, found)
    return found


def look(urls: Iterable[str]) -> None:
    """Find out what there is at many URLs now.

    Raises:
        RemoteError: it cannot be told.
    """
    for url, found in states(urls).items():
        remember(url, found)


def stamp_of(path: Path) -> str:
    """Text that changes with what a place is a copy of; nothing is fetched for it.

    Raises:
        FileNotFoundError: there is nothing.
        RemoteError: it cannot be told.
        VideoError: it is a folder.
    """
    return _object(path, url_of(path) or "").stamp


def _object(path: Path, url: str) -> State:
    found = known(url)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
    if found.folder:
        raise VideoError(
            path, "is a folder; folders of frames are read from this machine only: copy it here"
        )
    return found


def ensure(path: Path) -> None:
    """Have the copy at a place, as its object is now; any other path is left alone.

    Where there is no such object, there is no copy either afterwards.

    Raises:
        RemoteError: it cannot be fetched.
        FrameFlowError: there is no room for it on this machine.
        VideoError: it is a folder.
    """
    url = url_of(path)
    if url is None:
        return
    try:
        found = _object(path, url)
    except FileNotFoundError:
        _remove(path)
        return
    with _guard:
        lock = _locks[path]
    with lock:
        if _is_current(path, url, found):
            _touch(path)
        else:
            _fetch(path, url, found)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """As `ensure`; and until the end no process removes the copy to make room."""
    if url_of(path) is None:
        yield
        return
    while True:
        ensure(path)
        try:
            file = open(path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            if known(url_of(path) or "") is None:
                yield  # whoever opens it finds that it does not exist
                return
            continue  # removed meanwhile
        with file:
            _lock(file.fileno(), shared=True)
            if _is_same(path, file.fileno()):
                yield
                return


def _fetch(path: Path, url: str, looked: State) -> None:
    """Fetch to a name beside, and give it its own once it is whole and known to be unchanged."""
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    tries = iter([looked])
    room = contextlib.ExitStack()

    def once() -> State:
        before = next(tries, None) or state(url)
        if before is None:
            raise FileNotFoundError(url)
        room.close()
        room.enter_context(_room_for(before.size))
        fs, there = filesystem(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        fs.get_file(there, os.fspath(beside))
        if beside.stat().st_size != before.size or state(url) != before:
            raise Changed(url)
        return before

    try:
        try:
            found = attempt(url, once)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            room.close()
            make_room(_limit())  # everything that nobody reads
            found = attempt(url, once)
        os.utime(beside, ns=(time.time_ns(), _mark(url, found)))
        beside.replace(path)
    except FileNotFoundError:
        remember(url, None)
        _remove(path)
        return
    except OSError as error:
        raise _unwritable(path, url, error) from None
    finally:
        beside.unlink(missing_ok=True)
        room.close()
    remember(url, found)


def _unwritable(path: Path, url: str, error: OSError) -> FrameFlowError:
    if error.errno in _FULL:
        return FrameFlowError(
            f"{url} cannot be fetched: the disk of {mirror_root()} is full. Free some space, or "
            f"name a folder on another disk in FRAMEFLOW_HOME."
        )
    if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
        return VideoError(path, "is both a file and a folder there: rename one of them")
    return FrameFlowError(
        f"{url} cannot be kept in {mirror_root()} ({error.strerror or error}): name a folder that "
        f"can be written in FRAMEFLOW_HOME."
    )


# What a copy is a copy of --------------------------------------------------------------------


def _mark(url: str, found: State) -> int:
    """A time of change, nanoseconds: no time at all, but a number drawn from URL and ETag.

    So a copy says itself which version it is of, and says it from the moment that it has its name.
    """
    text = f"{url}|{found.stamp}".encode(errors="replace")
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
    seconds, parts = number % (1 << 30), (number >> 30) % 10_000_000
    return seconds * 1_000_000_000 + parts * 100  # some systems keep steps of 100 ns


def _is_current(path: Path, url: str, found: State) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    return there.st_size == found.size and there.st_mtime_ns == _mark(url, found)


def _touch(path: Path) -> None:
    """Write down that the copy was read now."""
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


# Room ----------------------------------------------------------------------------------------


def _limit() -> int:
    text = os.environ.get(SIZE, "")
    try:
        size = float(text) if text else _GIGABYTES
    except ValueError:
        size = -1.0
    if not 0 < size < float("inf"):
        raise UsageError(f"{SIZE} ({text}) must be a number of gigabytes, more than 0.")
    return int(size * 1e9)


def make_room(size: int) -> None:
    """Remove copies, those read longest ago first, until there is room for another one.

    What is being read stays, so the folder may grow beyond its size for as long as that.
    """
    with _guard:
        _make_room(size)


def _make_room(size: int) -> None:
    root, limit = mirror_root(), _limit()
    room = _room[root]
    size += room.coming
    if room.counted >= 0 and room.counted + size <= limit and room.since <= limit * _LOOK_AGAIN:
        return
    copies = sorted(_copies(root))
    total = sum(bytes_ for _, bytes_, _ in copies)
    if total + size > limit:
        aim = max(0, int(limit * _LEFT) - size)
        for _, bytes_, path in copies:
            if total <= aim:
                break
            if _remove(path):
                total -= bytes_
    room.counted, room.since = total, 0


@contextlib.contextmanager
def _room_for(size: int) -> Iterator[None]:
    """Make room for a copy that is on its way, and count it."""
    with _guard:
        room, limit = _room[mirror_root()], _limit()
        # What comes at once must fit too; the first is let in however large it is.
        _guard.wait_for(lambda: not room.coming or room.coming + size <= limit)
        _make_room(size)
        room.coming += size
    try:
        yield
    finally:
        with _guard:
            room.coming -= size
            room.counted += size  # at most: where it did not come the next look finds less
            room.since += size
            _guard.notify_all()


def _copies(root: Path) -> Iterator[tuple[int, int, Path]]:
    """(when last read, bytes, place) of every copy; what a killed process left is removed."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            try:
                found = path.stat()
            except OSError:
                continue
            if not name.startswith("."):
                yield found.st_atime_ns, found.st_size, path
            elif time.time() - found.st_mtime > _ABANDONED:
                path.unlink(missing_ok=True)


def _remove(path: Path) -> bool:
    """Remove a copy that nobody reads."""
    try:
        with open(path, "rb") as file:
            if not _lock(file.fileno(), shared=False) or not _is_same(path, file.fileno()):
                return False
            path.unlink()
    except OSError:  # on Windows: somebody has it open
        return False
    log.debug("Removed the copy of %s.", shown(path))
    return True


def _is_same(path: Path, handle: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except OSError:
        return False


def _lock(handle: int, *, shared: bool) -> bool:
    """Lock an open file until it is closed: shared waits, exclusive does not. Whether it is."""
    try:
        import fcntl
    except ImportError:  # Windows, where an open file cannot be removed
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return shared  # a network file system without locks
    return True
