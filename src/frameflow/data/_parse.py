"""From columns of text to samples. What cannot be read becomes a fault of its row."""

import logging
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from itertools import repeat
from pathlib import Path
from typing import TypeVar

from frameflow._places import shown
from frameflow.data._faults import Fault
from frameflow.data._sample import Region, Sample
from frameflow.data._table import Table
from frameflow.errors import UsageError, near_names

log = logging.getLogger(__name__)

REQUIRED = ("video", "label")
REGION = ("x", "y", "w", "h")
KNOWN = (*REQUIRED, "split", "group", "start", "end", "frame", "fold", *REGION)

_SPLIT_NAMES = {"valid": "val", "validation": "val"}

Value = TypeVar("Value")


def parse(table: Table, path: Path) -> tuple[list[Sample], list[str], list[Fault]]:
    """Samples, the names of the further columns, and faults.

    Raises:
        UsageError: a required column is missing.
    """
    columns = _known_columns(table.columns, path)
    rows, faults = table.rows, list(table.faults)
    known = {name: column for name, column in columns.items() if name in KNOWN}
    extra = {name: column for name, column in columns.items() if name not in KNOWN}

    def read(name: str, convert: Callable[[str], Value], kind: str) -> Iterable[Value | None]:
        if name not in known:
            return repeat(None, len(rows))
        return _convert(known[name], convert, rows, faults, f"{name} {{!r}} is no {kind}")

    def text(name: str) -> Iterable[str]:
        return map(str.strip, known[name]) if name in known else repeat("", len(rows))

    fields = zip(
        known["video"],
        text("label"),
        map(_split_name, text("split")),
        text("group"),
        read("start", float, "number of seconds"),
        read("end", float, "number of seconds"),
        read("frame", str, "frame"),
        read("fold", _whole, "whole number: folds are 0, 1, 2 and so on"),
        _regions(known, rows, faults, read),
        _extras(extra, len(rows)),
        rows,
        strict=True,
    )
    return [Sample(*values) for values in fields], list(extra), faults


def _known_columns(columns: dict[str, list[str]], path: Path) -> dict[str, list[str]]:
    """The columns, known ones under their own names (``Label`` reads as ``label``)."""
    renamed = {}
    for name, column in columns.items():
        lower = name.lower()
        renamed[lower if lower in KNOWN and lower not in columns else name] = column
    for name in REQUIRED:
        if name not in renamed:
            others = [other for other in renamed if other not in KNOWN]
            near = near_names(name, others)
            cure = "" if near else f" Add one{', empty where unknown' if name == 'label' else ''}."
            raise UsageError(f"{shown(path)} has no column {name!r}.{near}{cure}")
    missing = [name for name in REGION if name not in renamed]
    if 0 < len(missing) < len(REGION):
        raise UsageError(
            f"{shown(path)} has no column {missing[0]!r}: a region of interest needs all of x, "
            "y, w, h. Add it, or rename the others if they mean something else."
        )
    unused = [name for name in KNOWN if name not in renamed]
    for name in renamed:
        # A sharper cutoff than for errors: `camera` is no misspelt `frame`, `groups` is a `group`.
        meant = get_close_matches(name.lower(), unused, n=1, cutoff=0.8)
        if name not in KNOWN and meant:
            log.warning(
                "%s: column %r is kept but not used: is it %r?", shown(path), name, meant[0]
            )
    return renamed


def _convert(
    column: list[str],
    convert: Callable[[str], Value],
    rows: list[int],
    faults: list[Fault],
    message: str,
) -> list[Value | None]:
    values: list[Value | None] = []
    for row, cell in zip(rows, column):
        stripped = cell.strip()
        value = None
        if stripped:
            try:
                value = convert(stripped)
            except ValueError:
                faults.append(Fault(row, message.format(stripped)))
        values.append(value)
    return values


def _whole(text: str) -> int:
    """Spreadsheets and data frames write whole numbers as ``3.0`` when a cell is empty."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if value.is_integer():
            return int(value)
        raise


def _split_name(name: str) -> str:
    lower = name.lower()
    return _SPLIT_NAMES.get(lower, lower)


def _regions(
    known: dict[str, list[str]],
    rows: list[int],
    faults: list[Fault],
    read: Callable[[str, Callable[[str], float], str], Iterable[float | None]],
) -> Iterable[Region | None]:
    if REGION[0] not in known:
        return repeat(None, len(rows))
    before = len(faults)
    corners = list(zip(*(read(name, float, "number") for name in REGION)))
    unread = {fault.row for fault in faults[before:]}
    regions: list[Region | None] = []
    for row, (x, y, w, h) in zip(rows, corners):
        if x is not None and y is not None and w is not None and h is not None:
            regions.append(Region(x, y, w, h))
            continue
        regions.append(None)
        if (x, y, w, h) != (None,) * 4 and row not in unread:
            faults.append(Fault(row, "the region lacks one of x, y, w, h: give all four or none"))
    return regions


def _extras(extra: dict[str, list[str]], length: int) -> Iterable[dict[str, str]]:
    if not extra:
        return ({} for _ in range(length))
    names = list(extra)
    return (dict(zip(names, cells)) for cells in zip(*extra.values()))
