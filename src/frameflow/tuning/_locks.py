"""Locks between processes that end with the process that holds them, however it ends.

A lock is what SQLite lays on a file: it is there on every system, and wherever the trials
themselves can be shared.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK = 0.02  # seconds between tries


@contextlib.contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock, which this process must not hold already.

    Args:
        path: a file, made where it is missing.
        wait: until it is free.

    Yields:
        Whether it is held: always, or without ``wait`` False where another process holds it.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        while not (mine := _take(connection)) and wait:
            time.sleep(_LOOK)
        yield mine
    finally:
        connection.close()


def is_held(path: Path) -> bool:
    """Whether a process, this one or another, holds a lock."""
    if not path.is_file():
        return False
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        return not _take(connection)
    finally:
        connection.close()


def _take(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        raise OSError(f"A lock cannot be taken here: {error}") from None
    return True
