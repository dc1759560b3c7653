"""Tables on disk as columns of text: CSV and Parquet in, CSV and Parquet out."""

import csv
import io
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frameflow import remote
from frameflow._places import shown, url_of
from frameflow.data._faults import Fault
from frameflow.errors import FrameFlowError, UsageError, VideoError

CSV_SUFFIXES = (".csv",)
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(slots=True)
class Table:
    """Columns of equal length, all text, and for each row its number in the file."""

    columns: dict[str, list[str]]
    rows: list[int]
    faults: list[Fault] = field(default_factory=list)


def is_parquet(path: Path) -> bool:
    """Whether the ending says Parquet.

    Raises:
        UsageError: the ending is neither that of CSV nor that of Parquet.
    """
    suffix = path.suffix.lower()
    if suffix not in CSV_SUFFIXES + PARQUET_SUFFIXES:
        raise UsageError(f"A manifest must end in .csv or .parquet, and {shown(path)} does not.")
    return suffix in PARQUET_SUFFIXES


def read_table(path: Path) -> Table:
    """Read a table as text; an empty cell and a null are the empty string.

    Raises:
        UsageError: no such file, a folder, not UTF-8, no header, or not the format its name says.
    """
    url = url_of(path)
    if path.is_dir() and not url:
        raise UsageError(
            f"{path} is a folder, not a manifest. "
            f"`frameflow data scan {path} -o manifest.csv` makes a manifest of it."
        )
    parquet = is_parquet(path)
    try:
        remote.look([url] if url else [])  # now, however lately it was read
        with remote.held(path):
            return _read_parquet(path) if parquet else _read_csv(path)
    except VideoError as error:
        raise UsageError(f"The manifest {error}.") from None
    except FileNotFoundError:
        cure = "check the bucket and the rest of the URL" if url else "check the path"
        raise UsageError(f"The manifest {shown(path)} does not exist: {cure}.") from None
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"The manifest {shown(path)} cannot be read: {reason}") from None


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` on a temporary file beside ``path`` and move it there once it is on disk.

    Of a copy of something elsewhere, what it is a copy of is written.

    Raises:
        FrameFlowError: it cannot be written; what stood at ``path`` is as before.
    """
    url = url_of(path)
    if url is not None:
        with tempfile.TemporaryDirectory(prefix="frameflow-") as folder:
            whole = Path(folder, path.name)
            write(whole)
            remote.put(whole, url)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise FrameFlowError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of text, numbers and None (an empty cell) as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # "\r\n" makes the writer quote cells that hold either character.
        writer = csv.writer(_UnixLines(file), lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_parquet(
    path: Path, columns: Mapping[str, Sequence[Any]], types: Mapping[str, str]
) -> None:
    """Write columns as Parquet; ``types`` names the Arrow type where it is not string."""
    import pyarrow
    import pyarrow.parquet

    arrays = {
        name: pyarrow.array(
            values, type=pyarrow.type_for_alias(types.get(name, "string")), from_pandas=False
        )
        for name, values in columns.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(arrays), path)


class _UnixLines:
    """Ends lines with a bare line feed. The csv writer hands over one row a call."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _read_csv(path: Path) -> Table:
    name = shown(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            records = list(reader)
    except UnicodeDecodeError:
        raise UsageError(
            f"{name} is not UTF-8 text: save it as 'CSV UTF-8' (or as .parquet, if it is one)."
        ) from None
    except csv.Error as error:
        raise UsageError(f"{name} is not valid CSV: line {reader.line_num}: {error}.") from None
    if not any(records):
        raise UsageError(
            f"{name} is empty: a manifest begins with a line of column names, such as video,label."
        )
    header = [cell.strip() for cell in records[0]]
    _refuse_other_separators(path, header)
    width = len(header)
    table = Table(columns={}, rows=[])
    kept = []
    for row, record in enumerate(records[1:], start=2):
        if not any(record):
            continue
        if len(record) == width:
            kept.append(record)
            table.rows.append(row)
        else:
            table.faults.append(
                Fault(
                    row,
                    f"has {len(record)} cells where the header has {width}: "
                    "put a cell that holds a comma in double quotes",
                )
            )
    columns = [list(column) for column in zip(*kept, strict=True)] or [[] for _ in header]
    table.columns = _named(path, header, columns)
    return table


def _refuse_other_separators(path: Path, header: Sequence[str]) -> None:
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise UsageError(
                f"The columns of {shown(path)} are separated by {name}: "
                "save it with commas between the columns."
            )


def _named(path: Path, header: Sequence[str], columns: list[list[str]]) -> dict[str, list[str]]:
    """Columns by name. A column without a name (a data frame's index) is dropped."""
    named: dict[str, list[str]] = {}
    for name, column in zip(header, columns, strict=True):
        if name in named:
            raise UsageError(f"{shown(path)} has two columns named {name!r}: rename or delete one.")
        if name:
            named[name] = column
    return named


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        data = pyarrow.parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{shown(path)} is no readable Parquet file: {reason}") from None
    header = [str(name).strip() for name in data.column_names]
    # `__index_level_0__` is what pandas writes for an index without a name.
    header = ["" if name.startswith("__index_level_") else name for name in header]
    columns = [_texts(column) for column in data.columns]
    return Table(_named(path, header, columns), list(range(2, data.num_rows + 2)))


def _texts(column: Any) -> list[str]:
    import pyarrow

    kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
    values = column.to_pylist()
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return ["" if value is None else value for value in values]
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    """A Parquet cell as CSV would hold it. Integers with nulls often come as floats: 3.0 is 3."""
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)
