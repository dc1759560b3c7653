"""Exports of BORIS: aggregated events, and tabular ones with START and STOP on lines of their own.

O. Friard and M. Gamba, "BORIS: a free, versatile open-source event-logging software for video/audio
coding and live observations", Methods in Ecology and Evolution 7, 2016. Times are seconds, or
hh:mm:ss; behaviours without a length are events of the type POINT.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from frameflow.data._span import SpanFile
from frameflow.data.timestamps import parse_time
from frameflow.errors import UsageError

Rows = Sequence[tuple[int, list[str]]]

_MEDIA = ("media file name", "media file", "media file path", "source")
_PLAYER = re.compile(r"^player\s*#\d+\s*:", re.IGNORECASE)


def is_boris(rows: Rows) -> bool:
    """Whether a line of the table is the header of an export."""
    return _header(rows) is not None


def read_boris(path: Path, rows: Rows) -> SpanFile:
    """The events, each from its start to its stop.

    Raises:
        UsageError: no header of an export.
    """
    place = _header(rows)
    if place is None:
        raise UsageError(f"{path} is no export of BORIS: it has no columns Behavior and times.")
    columns = {name.lower(): index for index, name in reversed(list(enumerate(rows[place][1])))}
    events = rows[place + 1 :]
    media = _player(rows[:place])
    found = SpanFile(path)
    if "start (s)" in columns:
        _read_aggregated(found, columns, events, media)
    else:
        _read_tabular(found, columns, events, media)
    return found


def _header(rows: Rows) -> int | None:
    for index, (_, cells) in enumerate(rows):
        names = {cell.lower() for cell in cells}
        if "behavior" in names and ("time" in names or {"start (s)", "stop (s)"} <= names):
            return index
    return None


def _player(rows: Rows) -> str:
    """The video that older exports name above their table: ``Player #1`` and a path."""
    for _, cells in rows:
        if len(cells) > 1 and cells[0].lower().startswith("player #1"):
            return next((cell for cell in cells[1:] if cell), "")
    return ""


def _video(columns: dict[str, int], cells: list[str], media: str) -> str:
    for name in _MEDIA:
        index = columns.get(name)
        if index is not None and index < len(cells) and cells[index]:
            return _PLAYER.sub("", cells[index]).strip()
    return media


def _read_aggregated(found: SpanFile, columns: dict[str, int], events: Rows, media: str) -> None:
    for number, cells in events:
        place = f"{found.path.name}, line {number}"
        try:
            start = parse_time(cells[columns["start (s)"]])
            stop = cells[columns["stop (s)"]]
            end = start if stop.upper() in ("", "NA") else parse_time(stop)
            label = cells[columns["behavior"]]
        except (ValueError, IndexError) as error:
            found.fault(place, _reason(error))
            continue
        found.add(place, _video(columns, cells, media), start, end, label)


def _read_tabular(found: SpanFile, columns: dict[str, int], events: Rows, media: str) -> None:
    """Pair each START with the next STOP of the same behaviour, subject and observation."""
    kind = columns.get("behavior type", columns.get("status"))
    if kind is None:
        raise UsageError(
            f"{found.path} does not say which events start and stop (no column 'Behavior type' or "
            "'Status'): export aggregated events, or tabular ones of a newer BORIS."
        )
    identity = [columns[n] for n in ("observation id", "subject", "behavior") if n in columns]
    begun: dict[tuple[str, ...], tuple[str, str, float]] = {}
    for number, cells in events:
        place = f"{found.path.name}, line {number}"
        try:
            key = tuple(cells[index] for index in identity)
            what, moment = cells[kind].upper(), parse_time(cells[columns["time"]])
            label = cells[columns["behavior"]]
        except (ValueError, IndexError) as error:
            found.fault(place, _reason(error))
            continue
        video = _video(columns, cells, media)
        if what == "POINT":
            found.add(place, video, moment, moment, label)
        elif what == "START":
            if key in begun:
                found.fault(begun[key][0], f"{label!r} starts and does not stop")
            begun[key] = place, video, moment
        elif what == "STOP":
            if key in begun:
                began, began_in, start = begun.pop(key)
                found.add(began, began_in or video, start, moment, label)
            else:
                found.fault(place, f"{label!r} stops and did not start")
        else:
            found.fault(place, f"{what!r} is none of START, STOP, POINT")
    for key, (place, _, _) in begun.items():
        found.fault(place, f"{key[-1]!r} starts and does not stop")


def _reason(error: Exception) -> str:
    return "it lacks cells" if isinstance(error, IndexError) else str(error)
