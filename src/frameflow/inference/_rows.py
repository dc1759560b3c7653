"""Files that grow by whole rows, and tables whose last row may be half written."""

import csv
import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from frameflow.errors import FrameFlowError, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Closing(ABC):
    """What ``with`` closes, come what may."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RowFile(Closing):
    """A text file to which whole rows are added, each on disk when `write` returns.

    A row that cannot be written whole is taken back, so that the file stays valid.

    Args:
        path: of the file; it is emptied.
        append: it is not.

    Raises:
        FrameFlowError: it cannot be opened.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._path = path
        try:
            if not append:
                path.open("wb").close()
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise FrameFlowError(_said(path, error)) from None

    def write(self, text: str) -> None:
        """Add rows, whole or not at all.

        Raises:
            FrameFlowError: the disk is full, or the file cannot be written.
        """
        data = memoryview(text.encode("utf-8", "surrogateescape"))  # names that are no text
        try:
            begin = os.fstat(self._file.fileno()).st_size
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(begin)
            raise FrameFlowError(_said(self._path, error)) from None

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


def _said(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return (
            f"The disk is full: {path} keeps the rows it has. Free some space, and go on with "
            f"--resume."
        )
    return f"{path} cannot be written: {error.strerror or error}."


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Raises:
        UsageError: its folder does not exist, it is a folder itself, or may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} to write {path.name} into: make it.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path} may not be written: choose another place.")


def rows_of_csv(path: Path) -> Iterator[list[str]]:
    """The rows of a table one after the other, the first its header; half a last row is left out.

    Raises:
        UsageError: a row before the last has not as many cells as the header.
    """
    with path.open("rb") as raw:
        raw.seek(-1, io.SEEK_END)
        ended = raw.read(1) == b"\n"
    header, waiting = 0, None
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise _damaged(path, reader.line_num, str(error)) from None
            if waiting is not None:
                last = cells is None
                whole = not header or len(waiting[1]) == header
                if last and (not whole or not ended):
                    return
                if not whole:
                    raise _damaged(path, waiting[0], f"it has {len(waiting[1])} cells")
                header = header or len(waiting[1])
                yield waiting[1]
            if cells is None:
                return
            waiting = (reader.line_num, cells)


def _damaged(path: Path, line: int, what: str) -> UsageError:
    return UsageError(
        f"{path}, line {line} is damaged ({what}): delete that line, or name another file."
    )
