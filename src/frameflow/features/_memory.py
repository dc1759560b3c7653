"""What was computed of a file, remembered in an SQLite table until the file changes."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_COMMIT_EVERY = 256
_COLUMNS = ("key", "stamp", "text")


class Memory:
    """Texts by key and stamp; without a connection it forgets everything."""

    def __init__(self, connection: sqlite3.Connection | None, table: str) -> None:
        self._connection, self._table = connection, table
        self._waiting: list[tuple[str, str, str]] = []

    def recall(self, key: str, stamp: str) -> str | None:
        """What was remembered of the key with this stamp."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute(
                f"SELECT text FROM {self._table} WHERE key = ? AND stamp = ?", (key, stamp)
            ).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return row[0] if row else None

    def remember(self, key: str, stamp: str, text: str) -> None:
        """Keep the text for the key; what it had with another stamp is forgotten."""
        self._waiting.append((key, stamp, text))
        if len(self._waiting) >= _COMMIT_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._connection is None or not self._waiting:
            return
        try:
            with self._connection:
                self._connection.executemany(
                    f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?, ?)", self._waiting
                )
        except (sqlite3.Error, UnicodeEncodeError) as error:
            self._give_up(error)
        self._waiting.clear()

    def _give_up(self, error: Exception) -> None:
        log.debug("%s are not remembered: %s", self._table, error)
        self._connection = None


@contextmanager
def memory_of(file: Path, table: str) -> Iterator[Memory]:
    """A table of a file; several processes may use it at once.

    Where the file cannot be used nothing is remembered, and the work goes on.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=30)
    except (OSError, sqlite3.Error) as error:
        log.debug("%s are not remembered: %s", table, error)
        yield Memory(None, table)
        return
    with closing(connection):
        try:
            # Write-ahead logging lets others read meanwhile; a lost row costs one more reading.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if columns and columns != list(_COLUMNS):  # of an earlier version
                connection.execute(f"DROP TABLE {table}")
            names = ", ".join(f"{name} TEXT NOT NULL" for name in _COLUMNS)
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table} ({names}, PRIMARY KEY (key)) WITHOUT ROWID"
            )
            memory = Memory(connection, table)
        except sqlite3.Error as error:
            log.debug("%s are not remembered: %s", table, error)
            memory = Memory(None, table)
        try:
            yield memory
        finally:
            memory.flush()
