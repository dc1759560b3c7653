"""Labelled stretches of videos, as text, tables and annotation programs write them.

`read_spans` knows lines such as ``01:20:05 - 01:20:34 serve``, tables with the columns video,
start, end and label, and what ELAN, VIA 3 and BORIS write. What cannot be read becomes a fault with
its file and line.
"""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from frameflow.data._span import Span, SpanFault, SpanFile
from frameflow.data.containers import is_video_name
from frameflow.data.timestamps import TIME, parse_time
from frameflow.errors import UsageError, listing

__all__ = ["Span", "SpanFault", "SpanFile", "read_spans"]

_LINE = re.compile(
    rf"^(?P<start>{TIME})\s*(?:-->|->|[-–—,;\t]|\bto\b|\s)\s*"
    rf"(?P<end>{TIME})(?:\s*[:,;\t]\s*|\s+[-–—]\s+|\s+)(?P<label>.*\S)$"
)

# The names that people give to columns, in lower case.
_COLUMNS = {
    "video": ("video", "video_file", "file", "filename", "path"),
    "start": ("start", "start_time", "time_start", "begin", "from"),
    "end": ("end", "end_time", "time_end", "stop", "to"),
    "label": ("label", "class", "action", "activity", "behaviour", "behavior"),
}


def read_spans(path: str | os.PathLike[str], *, tier: str | None = None) -> SpanFile:
    """Read a file of spans; its ending and its first lines say which program wrote it.

    Args:
        path: ``.eaf`` (ELAN), ``.json`` (a VIA 3 project), ``.csv``/``.tsv`` (a table, or an export
            of VIA 3 or BORIS) or text.
        tier: the tier of an ELAN file, or the attribute of a VIA one, that holds the labels.

    Raises:
        UsageError: the file is missing, no text, or not what its ending says; or several tiers
            could be meant.
    """
    from frameflow.data import _boris, _elan, _via

    path = Path(path)
    text = read_text(path)
    suffix = path.suffix.lower()
    if suffix == ".eaf":
        return _elan.read_elan(path, text, tier)
    if suffix == ".json":
        return _via.read_via_project(path, text, tier)
    if "CSV_HEADER" in text[:4000]:
        return _via.read_via_csv(path, text, tier)
    if suffix in (".csv", ".tsv"):
        rows = read_rows(text)
        return _boris.read_boris(path, rows) if _boris.is_boris(rows) else _read_table(path, rows)
    return _read_lines(path, text)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        UsageError: it is missing, cannot be read or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: check the path.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None


def read_rows(text: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not empty, whatever separates the columns."""
    first = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    rows: list[tuple[int, list[str]]] = []
    before = 0
    for cells in reader:
        if any(cell.strip() for cell in cells):
            rows.append((before + 1, [cell.strip() for cell in cells]))
        before = reader.line_num
    return rows


def _read_lines(path: Path, text: str) -> SpanFile:
    """``START - END label`` a line; a line that is a video's name begins the spans of that one."""
    found, video = SpanFile(path), ""
    for number, line in _lines(text):
        place = f"{path.name}, line {number}"
        match = _LINE.match(line)
        if match is None:
            if is_video_name(line):
                video = line
            else:
                found.fault(place, f"{line!r} is not like 01:20:05 - 01:20:34 label")
            continue
        try:
            start, end = parse_time(match["start"]), parse_time(match["end"])
        except ValueError as error:
            found.fault(place, str(error))
            continue
        found.add(place, video, start, end, match["label"])
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _read_table(path: Path, rows: Sequence[tuple[int, list[str]]]) -> SpanFile:
    if not rows:
        return SpanFile(path)
    header = [name.lower() for name in rows[0][1]]
    columns: dict[str, int] = {}
    for meaning, names in _COLUMNS.items():
        index = next((header.index(name) for name in names if name in header), None)
        if index is not None:
            columns[meaning] = index
        elif meaning != "video":
            raise UsageError(
                f"{path} has no column {meaning!r} (its columns: {listing(header, most=8)}): "
                "it needs start, end and label, and video where it is of several."
            )
    found = SpanFile(path)
    for number, cells in rows[1:]:
        place = f"{path.name}, line {number}"
        if len(cells) != len(header):
            found.fault(place, f"has {len(cells)} cells where the header has {len(header)}")
            continue
        try:
            start, end = parse_time(cells[columns["start"]]), parse_time(cells[columns["end"]])
        except ValueError as error:
            found.fault(place, str(error))
            continue
        video = cells[columns["video"]] if "video" in columns else ""
        found.add(place, video, start, end, cells[columns["label"]])
    return found
