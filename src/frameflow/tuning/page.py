"""``tune.html``: the history of a search, what mattered, and the scores over each setting."""

import math
from collections.abc import Sequence

import numpy as np

from frameflow.pages.page import markup, render_page
from frameflow.pages.scatter import Axis, Dot, scatter, surface
from frameflow.tuning.results import Searched, TrialRow, TuneResult
from frameflow.tuning.space import Parameter, Space
from frameflow.tuning.ucb import UcbOptions, encode, fitted
from frameflow.tuning.words import (
    Table,
    finalist_table,
    notes,
    params_words,
    search_table,
    shown,
    summary,
)

_CELLS = 24  # of a surface along each side
_FEWEST = 6  # trials that a surface is fitted to


def tune_page(found: TuneResult) -> str:
    """The page as text."""
    drawn = [row for row in found.trials if not math.isnan(row.value)]
    scale = _scale(found, drawn)
    pairs = _two(found)
    keys = {parameter.key for parameter in pairs}
    whole = [row for row in drawn if row.state == "complete" and keys <= set(row.params)]
    return render_page(
        "tune.html.j2",
        found=found,
        summary=summary(found),
        notes=notes(found),
        searches=_cells(search_table(found)),
        finalists=_cells(finalist_table(found)),
        histories=[markup(_history(found, search, scale)) for search in found.searches],
        importances=[
            (search.search, sorted(search.importance.items(), key=lambda item: -item[1]))
            for search in found.searches
            if len(search.importance) > 1
        ],
        slices=[markup(_slice(found, p, drawn, scale)) for p in found.space.parameters],
        surface=markup(_surface(found, pairs, whole)) if pairs and len(whole) >= _FEWEST else "",
    )


def _cells(table: Table) -> Table:
    """Numbers as people read them."""
    header, rows = table
    return header, [[_cell(value) for value in row] for row in rows]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _scale(found: TuneResult, rows: Sequence[TrialRow]) -> Axis:
    values = [shown(found, row.value) for row in rows] or [0.0, 1.0]
    low, high = min(values), max(values)
    room = 0.08 * ((high - low) or 0.1)
    return Axis(found.metric, low - room, high + room)


def _said(found: TuneResult, row: TrialRow) -> str:
    score = f"{found.metric} {shown(found, row.value):.3f}"
    given_up = ", given up" if row.state == "pruned" else ""
    return f"{row.search} {row.number}: {score}{given_up}; {params_words(row.params)}"


def _dot(found: TuneResult, row: TrialRow, across: float) -> Dot:
    given_up = row.state == "pruned"
    kind = "second" if given_up else "accent"
    return Dot(across, shown(found, row.value), _said(found, row), kind, faint=given_up)


def _history(found: TuneResult, search: Searched, scale: Axis) -> str:
    rows = [row for row in search.trials if not math.isnan(row.value)]
    dots, line, best = [], [], -math.inf
    for place, row in enumerate(rows, 1):
        dots.append(_dot(found, row, place))
        if row.state == "complete" and row.value > best:
            best = row.value
        if best > -math.inf:
            line += [(place - 0.5, shown(found, best)), (place + 0.5, shown(found, best))]
    axis = Axis("trial", 0.5, max(len(rows), 1) + 0.5)
    return scatter(dots, axis, scale, title=f"{search.search}: each trial, and the best so far",
                   line=line)  # fmt: skip


def _axis(parameter: Parameter) -> Axis:
    if parameter.low is None or parameter.high is None:
        values = parameter.values
        return Axis(parameter.key, -0.5, len(values) - 0.5, names=values)
    return Axis(parameter.key, parameter.low, parameter.high, log=parameter.log)


def _place(parameter: Parameter, row: TrialRow) -> float:
    value = row.params[parameter.key]
    if parameter.ranged:
        return float(value)
    aside = (0.618 * row.number) % 1 - 0.5  # so that trials of one name do not cover each other
    return parameter.values.index(value) + 0.5 * aside


def _slice(found: TuneResult, parameter: Parameter, rows: Sequence[TrialRow], scale: Axis) -> str:
    dots = [_dot(found, row, _place(parameter, row)) for row in rows if parameter.key in row.params]
    return scatter(dots, _axis(parameter), scale, title=f"{found.metric} over {parameter.key}")


def _two(found: TuneResult) -> list[Parameter]:
    """The two ranges that matter most; fewer where there are fewer."""
    ranges = [p for p in found.space.parameters if p.ranged]
    weight = {p.key: 0.0 for p in ranges}
    for search in found.searches:
        for key, share in search.importance.items():
            if key in weight:
                weight[key] += share
    most = sorted(ranges, key=lambda p: -weight[p.key])[:2]
    return most if len(most) == 2 else []


def _surface(found: TuneResult, pair: Sequence[Parameter], rows: Sequence[TrialRow]) -> str:
    """What a Gaussian process expects over two settings, whatever the others are."""
    space = Space(pair)
    inputs = np.stack([encode(space, row.params) for row in rows])
    scores = np.array([shown(found, row.value) for row in rows])
    spread = scores.std() or 1.0
    process = fitted(inputs, (scores - scores.mean()) / spread, UcbOptions(), 0)
    side = (np.arange(_CELLS) + 0.5) / _CELLS
    points = np.stack([[column, row] for row in side for column in side])
    values = process.predict(points).reshape(_CELLS, _CELLS) * spread + scores.mean()
    across, up = pair
    dots = [Dot(_place(across, row), _place(up, row), _said(found, row)) for row in rows]
    return surface(
        values, dots, _axis(across), _axis(up), unit=found.metric,
        title=f"{found.metric} over {across.key} and {up.key} (upwards)",
    )  # fmt: skip
