"""A search in tables and sentences."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from frameflow.tuning.results import TuneResult

Table = tuple[list[str], list[list[Any]]]


def value_words(value: Any) -> str:
    """A value as short as it stays true: 0.00149, 32, gru."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def params_words(params: Mapping[str, Any]) -> str:
    """``train.lr=0.0015, head.name=gru``."""
    return ", ".join(f"{key}={value_words(value)}" for key, value in params.items())


def shown(found: TuneResult, value: float) -> float:
    """A score as people read it: a loss has its own sign."""
    return -value if found.metric == "loss" else value


def _gain(found: TuneResult, value: float) -> str:
    """Points of accuracy, or a loss."""
    return f"{100 * value:.1f} points" if found.metric == "top1" else f"{value:.3f}"


def search_table(found: TuneResult) -> Table:
    """A row for each way of searching."""
    header = ["search", "trials", "pruned", "failed", "best", "found after", "with", "seconds"]
    rows = []
    for search in found.searches:
        best = search.best
        rows.append([
            search.search, len(search.trials), search.count("pruned"), search.count("failed"),
            None if best is None else shown(found, best.value),
            search.first_best or None,
            "-" if best is None else params_words(best.params),
            f"{search.seconds:.1f}",
        ])  # fmt: skip
    return header, rows


def finalist_table(found: TuneResult) -> Table:
    """A row for each finalist, best first."""
    header = [*found.space.keys, "search", f"{found.metric} in the search", "scored again", "sd"]
    rows = []
    for finalist in found.finalists:
        values = finalist.scored.folds
        rows.append([
            *(value_words(finalist.params.get(key, "-")) for key in found.space.keys),
            finalist.search,
            shown(found, finalist.searched),
            shown(found, finalist.scored.value),
            float(np.std(values, ddof=1)) if len(values) > 1 else None,
        ])  # fmt: skip
    base = found.unchanged
    values = base.scored.folds
    rows.append([
        *["as it was"] * len(found.space.keys), "-",
        shown(found, base.searched), shown(found, base.scored.value),
        float(np.std(values, ddof=1)) if len(values) > 1 else None,
    ])  # fmt: skip
    return header, rows


def summary(found: TuneResult) -> list[str]:
    """What was found, and how much of it was luck."""
    best, base = found.winner, found.unchanged
    name = "top-1" if found.metric == "top1" else "loss"
    lines = [
        f"Best: {params_words(best.params)}."
        if best is not base
        else "Best: the recipe as it was; no trial beats it where no choice has seen the score.",
        f"On folds and seeds that no choice saw ({found.folds} folds, {found.seeds} "
        f"seed{'s' if found.seeds > 1 else ''}): {name} "
        f"{shown(found, found.finalists[0].scored.value):.3f} of the best finalist, "
        f"{shown(found, base.scored.value):.3f} of the recipe as it was.",
    ]
    if found.claimed is not None and found.kept is not None:
        luck = found.claimed - found.kept
        lines.append(
            f"The best trial claimed a gain of {_gain(found, found.claimed)} over the recipe as it "
            f"was; scored again it has {_gain(found, found.kept)}"
            + (f": {_gain(found, luck)} were luck." if luck > 0 else ".")
        )
    if found.run is not None:
        test = found.test
        if test is None:
            lines.append("There is no test split: nothing outside the search has judged it.")
        elif found.metric == "top1":
            bounds = found.run.metrics.get("intervals", {}).get("top1")
            said = f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""
            gap = 100 * (best.searched - test)
            lines.append(
                f"The run on its test split, looked at once: top-1 {test:.3f}{said}; its trial "
                f"scored {best.searched:.3f} ({abs(gap):.1f} points {'more' if gap > 0 else 'less'}"
                f", on fewer training samples)."
            )
        else:
            lines.append(f"The run on its test split, looked at once: top-1 {test:.3f}.")
    return lines


def notes(found: TuneResult) -> list[str]:
    """How to read the tables."""
    lines = [
        f"A trial is scored on {found.folds} folds by group of {found.samples} training and "
        f"validation samples; the {found.held_back} of test were not looked at.",
        "The finalists are scored again on other folds with other seeds. Folds of the same "
        "samples are still not new samples: only the test split is.",
    ]
    pruned = sum(search.count("pruned") for search in found.searches)
    if pruned:
        lines.append(
            f"{pruned} trials were given up after folds worse than the median; their score is the "
            f"mean of what was trained."
        )
    failed = [row for row in found.trials if row.failed]
    if failed:
        lines.append(f"{len(failed)} trials failed, the first because: {failed[0].failed}")
    whole = [str(row.params) for row in found.trials if row.state == "complete"]
    if len(set(whole)) < len(whole):
        lines.append(
            f"{len(whole) - len(set(whole))} trials drew what had been tried: they have that score."
        )
    if any(len(row.params) < len(found.space.keys) for row in found.trials):
        lines.append("Options that only some heads have are left out for the others.")
    scored = [row.value for row in found.trials if not math.isnan(row.value)]
    if len(scored) < 10:
        lines.append("Few trials: importances say little.")
    return lines
