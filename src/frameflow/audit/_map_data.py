"""What the map of the page needs of each clip, as compact JSON."""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from frameflow.audit.survey import Survey
from frameflow.pages.page import markup
from frameflow.pages.thumbnails import Sheets, make_sheets

MOST_LINES = 1500  # pairs drawn across splits
_GROUPS_IN_LEGEND = 400


def map_data(found: Survey, suspects: Sequence[int]) -> dict[str, Any]:
    """Places, labels, groups, parts, names and pictures of the clips on the map.

    Args:
        found: with vectors and places.
        suspects: rows of the likely label errors, to be ringed.

    Returns:
        For `as_script`: lists in the order of the clips on the map.
    """
    assert found.vectors is not None
    assert found.places is not None
    manifest = found.manifest
    rows = [int(row) for row in found.vectors.rows]
    shapes = [
        (measured.width, measured.height) for row in rows if (measured := found.measures[row])
    ]
    sheets = make_sheets(manifest, rows, shapes)
    labels = [", ".join(filter(None, found.strata(row))) for row in rows]
    groups = [manifest[row].group for row in rows]
    parts = [found.parts[row] for row in rows]
    number = {row: index for index, row in enumerate(rows)}
    doubted = set(suspects)
    said = {s.row: (s.said, round(s.probability, 3), round(s.own, 3)) for s in found.errors.clips}
    pairs = [p for p in found.pairs or () if p.one in number and p.two in number]
    return {
        "x": [round(float(x), 4) for x in found.places[:, 0]],
        "y": [round(float(y), 4) for y in found.places[:, 1]],
        "names": [_name(manifest[row]) for row in rows],
        "rows": rows,
        "by": _colourings(found, labels, groups, parts),
        "suspects": sorted(number[row] for row in doubted if row in number),
        "said": {number[row]: said[row] for row in doubted if row in number and row in said},
        "guesses": {
            number[row]: (label, round(share, 3))
            for row, (label, share) in found.errors.guesses.items()
            if row in number
        },
        "pairs": [[number[p.one], number[p.two]] for p in pairs[:MOST_LINES]],
        "sheets": _sheets(sheets, rows),
    }


def _colourings(
    found: Survey, labels: Sequence[str], groups: Sequence[str], parts: Sequence[str]
) -> list[dict[str, Any]]:
    """Each way to colour the clips: its names, and for each clip the number of its name or -1."""
    ways = [("label", labels, sorted(set(labels) - {""}))]
    if found.part_kind:
        ways.append((found.part_kind, parts, found.part_names))
    if any(groups):
        ways.append(("group", groups, sorted(set(groups) - {""})))
    made = []
    for what, values, names in ways:
        numbers = {name: index for index, name in enumerate(names)}
        made.append(
            {
                "what": what,
                "names": names,
                "of": [numbers.get(value, -1) for value in values],
                "legend": len(names) <= _GROUPS_IN_LEGEND,
            }
        )
    return made


def _sheets(sheets: Sheets, rows: Sequence[int]) -> dict[str, Any]:
    return {
        "uris": sheets.uris,
        "width": sheets.width,
        "height": sheets.height,
        "frames": sheets.frames,
        "places": [sheets.places.get(row) for row in rows],
    }


def _name(sample: Any) -> str:
    """The last two parts of the path, and what of the video it is."""
    name = "/".join(PurePath(sample.video).parts[-2:])
    if sample.frame:
        return f"{name}, frame {sample.frame}"
    if sample.start is None and sample.end is None:
        return name
    end = "end" if sample.end is None else f"{sample.end:g} s"
    return f"{name}, {sample.start or 0:g} s to {end}"


def as_script(value: Any) -> Any:
    """JSON that may stand inside a ``<script>`` element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return markup(text.replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " "))
