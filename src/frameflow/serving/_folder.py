"""A private temporary folder that never outlives its server by long.

Each holds a lock for as long as its server lives, even where that is killed. The next server
removes folders whose lock is free, and no others.
"""

import os
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

PREFIX = "frameflow-serve-"
LOCK = "owner.lock"


class PrivateFolder:
    """A new folder that nobody else may look into.

    Args:
        parent: where it is made; the system's temporary folder where None.

    Attributes:
        path: of the folder.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        remove_leftovers(parent)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # with mode 0700
        try:
            beside = self.path / f".{LOCK}"
            self._lock = open(beside, "wb")  # noqa: SIM115  (closed by `close`)
            _lock(self._lock)
            beside.replace(self.path / LOCK)  # nobody sees it before it is locked
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def new(self) -> Path:
        """A new folder inside."""
        path = self.path / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)  # where an open file cannot be removed


def remove_leftovers(parent: Path) -> int:
    """Remove the folders of servers that are no more; how many there were."""
    removed = 0
    with suppress(OSError):
        for path in parent.glob(f"{PREFIX}*"):
            with suppress(OSError):
                removed += _remove_if_left(path)
    return removed


def _remove_if_left(path: Path) -> bool:
    about = path.lstat()
    own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    if not (stat.S_ISDIR(about.st_mode) and own):
        return False
    with open(path / LOCK, "rb+") as file:
        if not _lock(file):
            return False
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    return True


def _lock(file: IO[bytes]) -> bool:
    """Lock a file without waiting; whether nobody else has."""
    try:
        import fcntl
    except ImportError:
        return _lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_windows(file: IO[bytes]) -> bool:
    import msvcrt

    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True
