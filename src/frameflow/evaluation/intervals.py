"""Confidence intervals by a bootstrap over groups.

Clips cut from one source video succeed and fail together, so an interval that resamples clips is
too narrow. Whole groups are drawn instead (Davison and Hinkley, *Bootstrap Methods and their
Application*, 1997, section 3.8).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from frameflow.errors import UsageError
from frameflow.evaluation.trend import wilson

Bounds = tuple[float, float] | None
FEW_UNITS = 10  # below this a percentile interval is known to be too narrow
_CHUNK = 1 << 21  # draws x units held at once: 16 MB of weights
_SAME = 1e-9  # draws that differ by less are all alike


@dataclass(frozen=True, slots=True)
class Units:
    """What the bootstrap draws.

    Attributes:
        index: ``(N,)`` the unit of each sample, from 0.
        count: how many units there are.
        over: ``groups``, or ``clips`` where no sample names a group.
        note: what a reader must know of the units, or an empty string.
    """

    index: np.ndarray
    count: int
    over: Literal["groups", "clips"]
    note: str = ""


def units_of(groups: Sequence[str] | None, samples: int) -> Units:
    """The units of ``samples`` samples: their groups, or each clip by itself where none is named.

    A sample without a group, among others that have one, is a unit of its own.

    Example:
        >>> units_of(["a", "b", "a"], 3).index.tolist()
        [0, 1, 0]
    """
    if groups is not None and len(groups) != samples:
        raise UsageError(f"groups ({len(groups)}) must be one for each of the {samples} samples.")
    if groups is None or not any(groups):
        note = "No groups are given, so the intervals resample clips and may be too narrow."
        return replace(clips(samples), note=note)
    lone = sum(not group for group in groups)
    names = [(0, group) if group else (1, str(i)) for i, group in enumerate(groups)]
    numbers: dict[tuple[int, str], int] = {}
    index = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    note = f"{lone} samples without a group count as a group each in the intervals." if lone else ""
    return Units(index, len(numbers), "groups", note)


def clips(samples: int) -> Units:
    """Each clip by itself."""
    return Units(np.arange(samples), samples, "clips")


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of several figures from the same draws.

    Attributes:
        bounds: figure to ``(low, high)``; None for each where the interval is undefined.
        reason: why it is undefined, or None.
        centred: the figures whose interval is shifted by the bias of their draws.
        naive: intervals that take every clip for independent, to hold beside; empty where the
            clips are what was drawn.
    """

    bounds: dict[str, Bounds]
    confidence: float
    over: Literal["groups", "clips"]
    units: int
    draws: int
    seed: int
    reason: str | None = None
    centred: tuple[str, ...] = ()
    naive: Mapping[str, Bounds] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON: the figures' bounds beside what they rest on."""
        shifted = f", centred for {' and '.join(self.centred)}" if self.centred else ""
        return {
            "method": f"percentile bootstrap over {self.over}{shifted}",
            "confidence": self.confidence,
            "over": self.over,
            "units": self.units,
            "draws": self.draws,
            "seed": self.seed,
            "reason": self.reason,
            **_lists(self.bounds),
            "naive": _lists(self.naive) or None,
        }

    def only(self, names: Collection[str]) -> "Intervals":
        """The same of some figures."""
        return replace(self, bounds={name: self.bounds[name] for name in names})

    def width(self, name: str) -> float | None:
        """From the low end to the high one."""
        pair = self.bounds[name]
        return None if pair is None else pair[1] - pair[0]


def _lists(bounds: Mapping[str, Bounds]) -> dict[str, list[float] | None]:
    return {name: None if pair is None else list(pair) for name, pair in bounds.items()}


def bootstrap(
    counts: np.ndarray,
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    *,
    units: Units,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    centred: Collection[str] = (),
    rests_on: Mapping[str, int] | None = None,
) -> Intervals:
    """Percentile intervals of figures that follow from sums over the samples.

    Args:
        counts: ``(N, M)`` what each sample adds to each of M sums.
        figures: from ``(draws, M)`` sums to ``{name: (draws,) values}``.
        units: what is drawn, with replacement, as many as there are.
        draws: how often.
        confidence: the share of the draws inside the interval.
        seed: of the draws.
        centred: figures from 0 to 1 whose draws are biased, as F1's are: a draw repeats groups,
            and what it leaves out costs classes their precision. Their interval is shifted by the
            mean of the draws less the figure.
        rests_on: of shares, how many units each rests on: see `resample`.

    Raises:
        UsageError: ``draws`` or ``confidence`` out of range.

    Example:
        >>> hits = np.array([[1, 1], [1, 1], [0, 1], [1, 1]])
        >>> accuracy = lambda sums: {"top1": sums[:, 0] / sums[:, 1]}
        >>> bootstrap(hits, accuracy, units=units_of(None, 4)).bounds["top1"]
        (0.25, 1.0)
    """
    totals = np.zeros((units.count, counts.shape[1]))
    np.add.at(totals, units.index, counts)
    values = {n: float(v[0]) for n, v in figures(totals.sum(axis=0, keepdims=True)).items()}
    return resample(
        values,
        lambda weights: figures(weights @ totals),
        units=units,
        draws=draws,
        confidence=confidence,
        seed=seed,
        centred=centred,
        rests_on=rests_on,
    )


def resample(
    values: Mapping[str, float],
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    *,
    units: Units,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    centred: Collection[str] = (),
    rests_on: Mapping[str, int] | None = None,
) -> Intervals:
    """Percentile intervals of figures that no sums give, such as those of a ranking.

    Args:
        values: the figures of all samples; NaN where undefined.
        figures: from how often each unit is drawn, ``(draws, units)``, to
            ``{name: (draws,) values}``; a draw where a figure is NaN does not count for it.
        units: what is drawn, as in `bootstrap`.
        draws: how often.
        confidence: the share of the draws inside the interval.
        seed: of the draws.
        centred: as in `bootstrap`.
        rests_on: of figures that are shares, how many units each rests on. Of one, there is no
            interval. Where all draws agree, as for 10 groups without a mistake, the bootstrap would
            claim certainty: the interval is then Wilson's, with the units as samples.

    Raises:
        UsageError: ``draws`` or ``confidence`` out of range.
    """
    if draws < 1:
        raise UsageError(f"draws ({draws}) must be > 0.")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence ({confidence}) must be between 0 and 1.")
    settled = (confidence, units.over, units.count, draws, seed)
    if units.count < 2:
        one = "group" if units.over == "groups" else "clip"
        reason = f"All samples are of one {one}, so an interval over {units.over} is undefined."
        return Intervals(dict.fromkeys(values), *settled, reason=reason)
    parts = [figures(weights) for weights in _weights(units.count, draws, seed)]
    bounds = {}
    for name, value in values.items():
        drawn = np.concatenate([part[name] for part in parts])
        resting = None if rests_on is None else rests_on.get(name)
        bounds[name] = _interval(value, drawn, confidence, name in centred, resting)
    return Intervals(bounds, *settled, centred=tuple(centred))


def _interval(
    value: float, drawn: np.ndarray, confidence: float, centred: bool, resting: int | None
) -> Bounds:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn) or (resting is not None and resting < 2):
        return None
    if resting is not None and np.ptp(drawn) < _SAME:
        return wilson(value * resting, resting, confidence=confidence)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    if centred:
        low, high = np.clip(np.array([low, high]) + value - drawn.mean(), 0, 1)
    return float(low), float(high)


def _weights(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn: ``(some draws, units)`` at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // units)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        yield rng.multinomial(units, np.full(units, 1 / units), size=size).astype(np.float64)


def interval_notes(intervals: Intervals, units: Units, *, name: str, figure: str) -> list[str]:
    """What a reader must know of intervals, in full sentences.

    Args:
        intervals: of an evaluation.
        units: that were drawn.
        name: of the figure that stands for the whole.
        figure: its key.
    """
    if intervals.reason:
        return [intervals.reason]
    notes = []
    if units.count < FEW_UNITS:
        notes.append(
            f"With only {units.count} {units.over} the intervals are rough and likely too narrow."
        )
    if units.note:
        notes.append(units.note)
    naive, honest = intervals.naive.get(figure), intervals.width(figure)
    if naive is not None and honest:
        notes.append(
            f"Resampling clips, as if those of one group were independent, would have given "
            f"{name} an interval of {naive[0]:.3f} to {naive[1]:.3f}: "
            f"{(naive[1] - naive[0]) / honest:.2f} times as wide."
        )
    return notes
