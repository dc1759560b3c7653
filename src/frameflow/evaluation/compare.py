"""Runs beside each other: settings that differ, figures, and whether a difference is chance.

`compare` takes what was read of each run (`frameflow.inference.compare` reads it) and judges each
against the first, on the same samples.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frameflow.errors import UsageError, listing
from frameflow.evaluation._words import plural
from frameflow.evaluation.intervals import FEW_UNITS, Units, units_of
from frameflow.evaluation.metrics import score
from frameflow.evaluation.multilabel import score_sets
from frameflow.evaluation.paired import (
    DRAWS,
    Effect,
    Figures,
    McNemar,
    class_figures,
    difference,
    effects,
    holm,
    mcnemar,
    set_figures,
    whole,
)
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.reliability import sample_losses

Bounds = tuple[float, float] | None

# The draws of F1 and of mean average precision are biased: what a draw leaves out costs them.
CENTRED = ("macro_f1", "map")


@dataclass(frozen=True)
class Entry:
    """What is compared of one run.

    Attributes:
        name: as the table calls it.
        predictions: of its scored samples.
        keys: what tells each sample from all others, the same in every run.
        settings: its flat settings, ``{"train.lr": 0.001}``.
        split: what was scored, in a word: ``test``, ``val``, ``out of fold``.
        warnings: what makes its score less than it seems, a sentence each.
        cost: what it took, by name.
    """

    name: str
    predictions: Predictions
    keys: Sequence[Hashable]
    settings: Mapping[str, Any]
    split: str = "test"
    warnings: Sequence[str] = ()
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """One run against the base.

    Attributes:
        name: of the run.
        effects: figure to its difference.
        corrected: the p values of these, corrected for the number of runs.
        mcnemar: of the answers; in multi-label of the exact matches.
    """

    name: str
    effects: Mapping[str, Effect]
    corrected: Mapping[str, float | None]
    mcnemar: McNemar


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; the first name is the base.

    Attributes:
        names: of the runs.
        splits: what was scored of each.
        samples: how many are compared.
        groups: how many groups they are of; None where none is named.
        confidence: of the intervals.
        figures: of each run, ``{figure: (value, interval or None)}``.
        costs: of each run.
        pairs: each run but the base, against it.
        settings: those that differ, with the value in each run.
        notes: what a reader must know, a sentence each.
        warnings: the same, where it makes the figures worth less.
    """

    names: Sequence[str]
    splits: Sequence[str]
    multilabel: bool
    samples: int
    groups: int | None
    confidence: float
    figures: Sequence[Mapping[str, tuple[float, Bounds]]]
    costs: Sequence[Mapping[str, float]]
    pairs: Sequence[Pair]
    settings: Sequence[tuple[str, Sequence[Any]]]
    notes: Sequence[str]
    warnings: Sequence[str]

    @property
    def headline(self) -> str:
        """The figure that decides."""
        return "map" if self.multilabel else "top1"

    def sure(self, pair: Pair, figure: str) -> bool | None:
        """Whether a difference is more than chance; None where that cannot be said."""
        p = pair.corrected[figure]
        return None if p is None else p < 1 - self.confidence


@dataclass(frozen=True)
class _Shared:
    """The same samples in every run, in the base's order."""

    truth: np.ndarray
    labels: list[str]
    probabilities: list[np.ndarray]
    units: Units


def compare(
    entries: Sequence[Entry],
    *,
    common: bool = False,
    draws: int = DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Judge each run against the first.

    The differences are those of a paired bootstrap over groups (`frameflow.evaluation.paired`);
    with more than two runs their p values are corrected for the number of comparisons by Holm's
    method. McNemar's test stands beside them.

    Args:
        entries: two or more, the base first.
        common: where they were scored on different samples, compare those that they share.
        draws: of the bootstrap.
        confidence: of the intervals; a difference is more than chance where its corrected p is
            below 1 less this.
        seed: of the draws.

    Raises:
        UsageError: fewer than two, different samples, other labels of the same samples, or
            single-label runs beside multi-label ones.
    """
    if len(entries) < 2:
        raise UsageError("Name two runs or more: the first is the base of the comparison.")
    several = _kind(entries)
    rows, notes = _rows(entries, common=common)
    shared = _shared(entries, rows, multilabel=several)
    found = [_figures(shared, p, multilabel=several) for p in shared.probabilities]
    pairs = []
    for entry, other, figures in zip(entries[1:], shared.probabilities[1:], found[1:]):
        apart = difference(found[0], figures)
        judged = effects(
            whole(apart, shared.units), apart, units=shared.units, draws=draws,
            confidence=confidence, seed=seed, centred=CENTRED,
        )  # fmt: skip
        hits = [_right(shared.truth, p) for p in (shared.probabilities[0], other)]
        pairs.append(Pair(entry.name, judged, {}, mcnemar(*hits)))
    notes += _notes(entries, shared, several)
    return Comparison(
        names=[entry.name for entry in entries],
        splits=[entry.split for entry in entries],
        multilabel=several,
        samples=len(shared.truth),
        groups=shared.units.count if shared.units.over == "groups" else None,
        confidence=confidence,
        figures=[_scores(shared, p, several) for p in shared.probabilities],
        costs=[entry.cost for entry in entries],
        pairs=_corrected(pairs),
        settings=differing(entries),
        notes=notes,
        warnings=[f"{e.name}: {said}" for e in entries for said in e.warnings],
    )


def differing(entries: Sequence[Entry]) -> list[tuple[str, list[Any]]]:
    """The settings in which the runs differ; None where a run has no such setting.

    An item of a list that a run does not have at all, such as a third stream, is one row, told by
    how it differs from the first.
    """
    every = [dict(entry.settings) for entry in entries]
    items = dict.fromkeys(key.rpartition(".")[0] for values in every for key in values)
    for item in items:
        inside = [[key for key in values if key.startswith(f"{item}.")] for values in every]
        if item.rpartition(".")[2].isdecimal() and not all(inside):
            for values, own in zip(every, inside):
                if own:
                    values[item] = _told(item, {key: values.pop(key) for key in own}, values)
    keys = dict.fromkeys(key for values in every for key in values)
    table = [(key, [values.get(key) for values in every]) for key in keys]
    return [(key, values) for key, values in table if any(v != values[0] for v in values[1:])]


def _told(item: str, own: dict[str, Any], others: Mapping[str, Any]) -> str:
    """``as streams.0, but size: 224``."""
    first = f"{item.rpartition('.')[0]}.0"
    names = {key.removeprefix(f"{item}."): value for key, value in own.items()}
    other = {n: v for n, v in names.items() if others.get(f"{first}.{n}") != v}
    said = ", ".join(f"{name}: {value}" for name, value in other.items())
    return f"as {first}" + f", but {said}" * bool(said)


def _kind(entries: Sequence[Entry]) -> bool:
    several = {entry.predictions.multilabel for entry in entries}
    if len(several) > 1:
        names = [entry.name for entry in entries if entry.predictions.multilabel]
        raise UsageError(
            f"{listing(names)} may give a sample several labels, the others give one: their "
            f"figures are not of the same kind and cannot be compared."
        )
    return several.pop()


def _rows(entries: Sequence[Entry], *, common: bool) -> tuple[list[np.ndarray], list[str]]:
    """The rows of the shared samples in each run, and what there is to say of them."""
    places = [_places(entry) for entry in entries]
    base, first = entries[0], places[0]
    shared = [key for key in first if all(key in other for other in places[1:])]
    for entry, own in zip(entries[1:], places[1:]):
        if own.keys() != first.keys() and not common:
            _refuse(base, entry, first, own)
    if not shared:
        raise UsageError(
            f"{listing([entry.name for entry in entries])} share no scored sample. Score them on "
            f"the same: `frameflow evaluate RUN MANIFEST` for each, then compare the folders "
            f"RUN/evaluations/NAME."
        )
    notes = []
    most = max(len(own) for own in places)
    if any(len(own) != len(shared) for own in places):
        notes.append(
            f"The runs were scored on different samples: only the {len(shared)} that all of them "
            f"share are compared (of up to {most})."
        )
    same = [key for key in shared if _agreed(entries, places, key)]
    if len(same) < len(shared):
        example = base.predictions.samples[first[next(k for k in shared if k not in set(same))]]
        said = f"{plural(len(shared) - len(same), 'sample')} ({example.video} and the like)"
        if not common or not same:
            raise UsageError(
                f"{said} have another label in one run than in another: score both on one "
                f"manifest with `frameflow evaluate RUN MANIFEST`, or leave them out with --common."
            )
        notes.append(f"{said} are left out: their label differs between the runs.")
    return [np.array([own[key] for key in same]) for own in places], notes


def _places(entry: Entry) -> dict[Hashable, int]:
    """The row of each sample; one that stands there twice is told apart by its turn."""
    turns: Counter[Hashable] = Counter()
    found: dict[Hashable, int] = {}
    for row, key in enumerate(entry.keys):
        found[key, turns[key]] = row
        turns[key] += 1
    return found


def _refuse(
    base: Entry, other: Entry, first: Mapping[Hashable, int], own: Mapping[Hashable, int]
) -> None:
    both = len(first.keys() & own.keys())
    cure = (
        f"--common compares the {both} that they share."
        if both
        else "Score both on the same: `frameflow evaluate RUN MANIFEST`, then compare the folders "
        "RUN/evaluations/NAME."
    )
    raise UsageError(
        f"{base.name} and {other.name} were scored on different samples: {len(first)} "
        f"({base.split}) and {len(own)} ({other.split}), {both} of them the same. A difference "
        f"could be the samples'. {cure}"
    )


def _agreed(
    entries: Sequence[Entry], places: Sequence[Mapping[Hashable, int]], key: Hashable
) -> bool:
    labels = {
        frozenset(sample.labels) if entry.predictions.multilabel else sample.label
        for entry, own in zip(entries, places)
        for sample in [entry.predictions.samples[own[key]]]
    }
    return len(labels) == 1


def _shared(entries: Sequence[Entry], rows: Sequence[np.ndarray], *, multilabel: bool) -> _Shared:
    """Truth and probabilities over the labels of all runs; what a run does not know has 0."""
    labels = sorted({label for entry in entries for label in entry.predictions.labels})
    column = {label: place for place, label in enumerate(labels)}
    tables = []
    for entry, own in zip(entries, rows):
        table = np.zeros((len(own), len(labels)))
        places = [column[label] for label in entry.predictions.labels]
        table[:, places] = entry.predictions.probabilities[own]
        tables.append(table)
    samples = [entries[0].predictions.samples[row] for row in rows[0]]
    if multilabel:
        truth = np.array([[name in sample.labels for name in labels] for sample in samples])
    else:
        truth = np.array([column[sample.label] for sample in samples])
    named = [[e.predictions.samples[row].group for row in own] for e, own in zip(entries, rows)]
    groups = max(named, key=lambda found: sum(map(bool, found)))  # the first of the fullest
    return _Shared(truth, labels, tables, units_of(groups, len(samples)))


def _figures(shared: _Shared, probabilities: np.ndarray, *, multilabel: bool) -> Figures:
    if multilabel:
        return set_figures(shared.truth, probabilities, units=shared.units)
    return class_figures(
        shared.truth,
        probabilities.argmax(axis=1),
        sample_losses(shared.truth, probabilities),
        classes=len(shared.labels),
        units=shared.units,
    )


def _right(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    if truth.ndim == 2:
        return ((probabilities > 0.5) == truth).all(axis=1)
    return probabilities.argmax(axis=1) == truth


def _scores(
    shared: _Shared, probabilities: np.ndarray, multilabel: bool
) -> dict[str, tuple[float, Bounds]]:
    """The figures as an evaluation gives them."""
    scored = score_sets if multilabel else score
    index = shared.units.index
    groups = [f"{i}" for i in index] if shared.units.over == "groups" else None
    found = scored(shared.truth, probabilities, shared.labels, groups=groups).to_dict()
    names = ("map", "exact_match") if multilabel else ("top1",)
    values = {name: found[name] for name in names} | {"macro_f1": found["macro"]["f1"]}
    values["log_loss"] = found["log_loss"]

    def pair(name: str) -> Bounds:
        bounds = found["intervals"].get(name)
        return None if bounds is None else (bounds[0], bounds[1])

    return {name: (value, pair(name)) for name, value in values.items()}


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    figures = list(pairs[0].effects)
    columns = {name: holm([pair.effects[name].p for pair in pairs]) for name in figures}
    return [
        Pair(
            pair.name,
            pair.effects,
            {name: columns[name][place] for name in figures},
            pair.mcnemar,
        )
        for place, pair in enumerate(pairs)
    ]


def _notes(entries: Sequence[Entry], shared: _Shared, multilabel: bool) -> list[str]:
    notes, units = [], shared.units
    counts = [len(entry.predictions.labels) for entry in entries]
    if len({frozenset(entry.predictions.labels) for entry in entries}) > 1:
        held = ", ".join(f"{entry.name} {count}" for entry, count in zip(entries, counts))
        easier = "" if multilabel else " The fewer there are to choose from, the easier it is."
        notes.append(f"The runs do not know the same labels ({held}).{easier}")
    if units.count < 2:
        notes.append("All samples are of one group, so no interval can be given.")
    elif units.count < FEW_UNITS:
        notes.append(f"With only {units.count} {units.over} the intervals are rough.")
    if units.note:
        notes.append(units.note)
    if len(entries) > 2:
        notes.append(
            f"The p values are corrected for {len(entries) - 1} comparisons with {entries[0].name} "
            f"(Holm's method); the intervals are not."
        )
    if any(entry.split == "test" for entry in entries):
        notes.append(
            f"This is a look at the test split, by {len(entries)} runs. Whoever picks the best of "
            f"them by it has trained on the test a little, and its score is too high by that: "
            f"choose on folds of the training samples (`frameflow ablate`), and test the choice."
        )
    return notes
