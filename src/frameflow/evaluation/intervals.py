"""Confidence intervals by a bootstrap over groups.

Clips cut from one source video succeed and fail together, so an interval that resamples clips is
too narrow. Whole groups are drawn instead (Davison and Hinkley, *Bootstrap Methods and their
Application*, 1997, section 3.8).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from frameflow.errors import UsageError

FEW_UNITS = 10  # below this a percentile interval is known to be too narrow
_CHUNK = 1 << 21  # draws x units held at once: 16 MB of weights


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
        return Units(np.arange(samples), samples, "clips", note)
    lone = sum(not group for group in groups)
    names = [(0, group) if group else (1, str(i)) for i, group in enumerate(groups)]
    numbers: dict[tuple[int, str], int] = {}
    index = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    note = f"{lone} samples without a group count as a group each in the intervals." if lone else ""
    return Units(index, len(numbers), "groups", note)


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of several figures from the same draws.

    Attributes:
        bounds: figure to ``(low, high)``; None for each where the interval is undefined.
        reason: why it is undefined, or None.
        centred: the figures whose interval is shifted by the bias of their draws.
    """

    bounds: dict[str, tuple[float, float] | None]
    confidence: float
    over: Literal["groups", "clips"]
    units: int
    draws: int
    seed: int
    reason: str | None = None
    centred: tuple[str, ...] = ()

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
            **{name: None if pair is None else list(pair) for name, pair in self.bounds.items()},
        }


def bootstrap(
    counts: np.ndarray,
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    *,
    units: Units,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    centred: Collection[str] = (),
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
) -> Intervals:
    """Percentile intervals of figures that no sums give, such as those of a ranking.

    Args:
        values: the figures of all samples.
        figures: from how often each unit is drawn, ``(draws, units)``, to
            ``{name: (draws,) values}``.
        units: what is drawn, as in `bootstrap`.
        draws: how often.
        confidence: the share of the draws inside the interval.
        seed: of the draws.
        centred: as in `bootstrap`.

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
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    bounds: dict[str, tuple[float, float] | None] = {}
    for name, value in values.items():
        drawn = np.concatenate([part[name] for part in parts])
        low, high = np.quantile(drawn, tails)
        if name in centred:
            low, high = np.clip(np.array([low, high]) + value - drawn.mean(), 0, 1)
        bounds[name] = (float(low), float(high))
    return Intervals(bounds, *settled, centred=tuple(centred))


def _weights(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn: ``(some draws, units)`` at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // units)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        yield rng.multinomial(units, np.full(units, 1 / units), size=size).astype(np.float64)
