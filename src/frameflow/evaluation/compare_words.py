"""A comparison in sentences, tables, CSV, JSON and one HTML page."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from frameflow.evaluation._words import plural
from frameflow.evaluation.compare import Comparison, Pair
from frameflow.evaluation.paired import LOSS, Effect
from frameflow.pages.forest import Bar, forest
from frameflow.pages.page import markup, render_page

NAMES = {
    "top1": "Top-1",
    "macro_f1": "Macro F1",
    LOSS: "Log loss (nats)",
    "map": "Mean average precision",
    "exact_match": "Exact match",
}


def sentence(found: Comparison, pair: Pair) -> str:
    """Who is better by how much, and whether that is more than chance.

    Example:
        >>> print(sentence(found, found.pairs[0]))  # doctest: +SKIP
        B is better than A by 5.2 points of top-1 (95 % interval 1.1 to 9.4): more than chance.
    """
    base, effect = found.names[0], pair.effects[found.headline]
    figure, sure = NAMES[found.headline].lower(), found.sure(pair, found.headline)
    points = f"{100 * abs(effect.value):.1f} points of {figure}"
    if sure is None:
        return (
            f"{pair.name} has {100 * effect.value:+.1f} points of {figure} against {base}; "
            f"whether that is more than chance cannot be said: all samples are of one group."
        )
    if sure:
        way = "better" if effect.value > 0 else "worse"
        spread = _spread(found, effect, turned=effect.value < 0)
        return f"{pair.name} is {way} than {base} by {points} ({spread}): more than chance."
    alone = effect.p is not None and effect.p < 1 - found.confidence
    many = (
        f" The interval alone would say more, but not one of {len(found.pairs)}." if alone else ""
    )
    return (
        f"{pair.name} cannot be told apart from {base}: {100 * effect.value:+.1f} points of "
        f"{figure} ({_spread(found, effect)}).{many}"
    )


def _spread(found: Comparison, effect: Effect, *, turned: bool = False) -> str:
    assert effect.bounds is not None
    low, high = effect.bounds
    if turned:
        low, high = -high, -low
    return f"{100 * found.confidence:g} % interval {100 * low:.1f} to {100 * high:.1f}"


def mcnemar_sentence(found: Comparison, pair: Pair) -> str:
    """What McNemar's test says, and what it leaves out of account."""
    test, base = pair.mcnemar, found.names[0]
    what = "wholly right" if found.multilabel else "right"
    if not test.only_base + test.only_other:
        return f"{pair.name} and {base} have the same samples {what}."
    said = (
        f"{pair.name} alone has {plural(test.only_other, 'sample')} {what}, {base} alone "
        f"{test.only_base} (McNemar's test: p {p_text(test.p)}"
    )
    if found.groups is None:
        return f"{said})."
    return f"{said}, which takes each sample by itself, whatever its group)."


def p_text(p: float) -> str:
    """``= 0.034`` or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def heading(found: Comparison) -> str:
    """What is compared, in a line."""
    splits = " and ".join(dict.fromkeys(found.splits))
    groups = "no groups given" if found.groups is None else f"{plural(found.groups, 'group')}"
    return (
        f"{plural(found.samples, 'sample')} ({splits}), {groups}; "
        f"{100 * found.confidence:g} % intervals from a paired bootstrap."
    )


def figure_table(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a run each, its figures and their intervals."""
    figures = list(found.figures[0])
    costs = [name for name in found.costs[0] if all(name in cost for cost in found.costs)]
    rows = []
    for name, own, cost in zip(found.names, found.figures, found.costs):
        cells = [_figure(value, bounds) for value, bounds in own.values()]
        rows.append([name, *cells, *(_amount(cost[key]) for key in costs)])
    return ["run", *(NAMES[figure] for figure in figures), *costs], rows


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _figure(value: float, bounds: tuple[float, float] | None) -> str:
    return f"{value:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def difference_table(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each figure of each run, less the base's."""
    several = len(found.pairs) > 1
    header = [f"less {found.names[0]}", "figure", "difference", "interval", "p"]
    header += ["p corrected"] if several else []
    header += ["more than chance"]
    rows = []
    for pair in found.pairs:
        for figure, effect in pair.effects.items():
            bounds = effect.bounds
            spread = f"{bounds[0]:+.3f} to {bounds[1]:+.3f}" if bounds else "-"
            values = [effect.p, pair.corrected[figure]][: 1 + several]
            rows.append(
                [pair.name, NAMES[figure], f"{effect.value:+.3f}", spread]
                + ["-" if p is None else f"{p:.3f}" for p in values]
                + [_verdict(found, pair, figure)]
            )
    return header, rows


def _verdict(found: Comparison, pair: Pair, figure: str) -> str:
    sure = found.sure(pair, figure)
    if not sure:
        return "cannot be said" if sure is None else "no"
    higher = pair.effects[figure].value > 0
    return "yes, better" if higher != (figure == LOSS) else "yes, worse"


def setting_table(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each setting that differs, in each run."""
    rows = [[key, *map(_setting, values)] for key, values in found.settings]
    return ["setting", *found.names], rows


def _setting(value: Any) -> str:
    return "-" if value is None else str(value)


def to_csv(found: Comparison) -> str:
    """One row a run: figures with intervals, differences with theirs, settings that differ."""
    figures = list(found.figures[0])
    pairs: dict[str, Pair] = {pair.name: pair for pair in found.pairs}
    header = ["run", "split", "samples"]
    for figure in figures:
        header += [figure, f"{figure}_low", f"{figure}_high"]
        header += [f"{figure}_difference{part}" for part in ("", "_low", "_high", "_p", "_p_holm")]
    header += ["mcnemar_only_this", "mcnemar_only_base", "mcnemar_p"]
    header += [key for key, _ in found.settings]
    rows: list[Sequence[Any]] = [header]
    for place, name in enumerate(found.names):
        row: list[Any] = [name, found.splits[place], found.samples]
        pair = pairs.get(name) if place else None
        for figure, (value, bounds) in found.figures[place].items():
            row += [value, *(bounds or (None, None))]
            effect = pair.effects[figure] if pair else None
            if pair is None or effect is None:
                row += [None] * 5
            else:
                ends = effect.bounds or (None, None)
                row += [effect.value, *ends, effect.p, pair.corrected[figure]]
        test = pair.mcnemar if pair else None
        row += [test.only_other, test.only_base, test.p] if test else [None] * 3
        row += [values[place] for _, values in found.settings]
        rows.append(row)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([f"{c:.6g}" if isinstance(c, float) else c for c in row] for row in rows)
    return file.getvalue()


def to_dict(found: Comparison) -> dict[str, Any]:
    """A dictionary for JSON."""
    return {
        "base": found.names[0],
        "samples": found.samples,
        "groups": found.groups,
        "confidence": found.confidence,
        "multilabel": found.multilabel,
        "runs": [
            {
                "name": name,
                "split": split,
                "figures": {
                    figure: {"value": value, "interval": None if bounds is None else list(bounds)}
                    for figure, (value, bounds) in own.items()
                },
                "cost": dict(cost),
            }
            for name, split, own, cost in zip(found.names, found.splits, found.figures, found.costs)
        ],
        "comparisons": [
            {
                "name": pair.name,
                "sentence": sentence(found, pair),
                "more_than_chance": found.sure(pair, found.headline),
                "differences": {
                    figure: {
                        "value": effect.value,
                        "interval": None if effect.bounds is None else list(effect.bounds),
                        "p": effect.p,
                        "p_corrected": pair.corrected[figure],
                    }
                    for figure, effect in pair.effects.items()
                },
                "mcnemar": asdict(pair.mcnemar),
            }
            for pair in found.pairs
        ],
        "settings": {key: dict(zip(found.names, values)) for key, values in found.settings},
        "warnings": list(found.warnings),
        "notes": list(found.notes),
    }


def to_page(found: Comparison) -> str:
    """One HTML page."""
    figure = NAMES[found.headline]
    bars = []
    for pair in found.pairs:
        effect = pair.effects[found.headline]
        bounds = None if effect.bounds is None else _points(effect.bounds)
        sure = bool(found.sure(pair, found.headline))
        spread = f" ({bounds[0]:+.1f} to {bounds[1]:+.1f})" if bounds else ""
        value = 100 * effect.value
        bars.append(Bar(pair.name, value, bounds, sure, f"{value:+.1f}{spread}"))
    return render_page(
        "compare.html.j2",
        found=found,
        title=f"{' and '.join(found.names[1:3])} against {found.names[0]}"
        if len(found.names) < 4
        else f"{len(found.names)} runs",
        heading=heading(found),
        sentences=[sentence(found, pair) for pair in found.pairs],
        tests=[mcnemar_sentence(found, pair) for pair in found.pairs],
        plot=markup(forest(bars, title=f"{figure} less that of {found.names[0]}, points")),
        figures=figure_table(found),
        differences=difference_table(found),
        settings=setting_table(found),
    )


def _points(bounds: tuple[float, float]) -> tuple[float, float]:
    return 100 * bounds[0], 100 * bounds[1]
