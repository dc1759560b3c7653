"""Is a difference between two recognizers more than chance, judged on the same samples?

Both are scored on the same draws of whole groups, so what makes a draw easy or hard for both
cancels (Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frameflow.evaluation.intervals import Units
from frameflow.evaluation.multilabel import THRESHOLD, average_precisions
from frameflow.evaluation.reliability import sample_losses

Figures = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From how often each unit is drawn, ``(draws, units)``, to ``{name: (draws,) values}``."""

LOSS = "log_loss"
DRAWS = 5000
_CHUNK = 1 << 20  # numbers held at once
_FEWEST = 5  # units; with fewer, the draws do not reach as far out as the interval must
_ROUNDING = 1e-12  # must not move a difference of exactly nothing to one side of 0


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference, its interval, and how often chance alone would give one as large.

    Attributes:
        value: the other less the base.
        bounds: its interval; None where all samples are of one group.
        p: two-sided; None where there is no interval.
    """

    value: float
    bounds: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True, slots=True)
class McNemar:
    """Samples that one of two recognizers alone has right, and McNemar's test of them.

    The test takes each sample by itself: where clips of a group succeed and fail together, its p
    is too small.
    """

    only_base: int
    only_other: int
    p: float


def effects(
    values: Mapping[str, float],
    figures: Figures,
    *,
    units: Units,
    draws: int = DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
    centred: Collection[str] = (),
    unbounded: Collection[str] = (LOSS,),
) -> dict[str, Effect]:
    """Intervals and p values of differences by a bootstrap over groups.

    The percentile interval of n groups is too narrow where n is small. Its tails are moved out as
    far as Student's t with n - 1 degrees of freedom lies beyond the normal distribution, and by
    the factor sqrt(n / (n - 1)): the expanded percentile interval (Hesterberg, What teachers
    should know about the bootstrap, *The American Statistician*, 2015, section 4). The p value is
    that of the interval which just reaches 0. With fewer than five groups the interval is
    Student's, from the deviation of the draws.

    Args:
        values: the differences on all samples.
        figures: the differences of each draw.
        units: what is drawn.
        draws: how often.
        confidence: the share of the distribution inside the interval.
        seed: of the draws.
        centred: differences of figures whose draws are biased, as F1's are; their draws are
            shifted to have the difference as their mean.
        unbounded: differences that may leave -1 to 1; the others' intervals end there.
    """
    if units.count < 2:
        return {name: Effect(value, None, None) for name, value in values.items()}
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(units.count, len(units.index)))
    even = np.full(units.count, 1 / units.count)
    sizes = [min(step, draws - start) for start in range(0, draws, step)]
    parts = [figures(rng.multinomial(units.count, even, size=size).astype(float)) for size in sizes]
    found = {}
    for name, value in values.items():
        drawn = np.concatenate([part[name] for part in parts])
        if name in centred:
            drawn = drawn + value - drawn.mean()
        (low, high), p = _judged(drawn, value, units.count, confidence)
        if name not in unbounded:
            low, high = max(low, -1.0), min(high, 1.0)
        found[name] = Effect(value, (low, high), p)
    return found


def _judged(
    drawn: np.ndarray, value: float, units: int, confidence: float
) -> tuple[tuple[float, float], float]:
    """The expanded percentile interval of the draws, and its p value."""
    from scipy.stats import norm, t

    stretch = np.sqrt(units / (units - 1))
    reach = t.ppf((1 + confidence) / 2, units - 1)
    if units < _FEWEST:
        error = stretch * float(drawn.std())
        p = 2 * float(t.sf(abs(value) / error, units - 1)) if error > _ROUNDING else 1.0
        return (value - float(reach) * error, value + float(reach) * error), p
    tail = norm.cdf(-stretch * reach)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    exact = np.where(np.abs(drawn) < _ROUNDING, 0.0, drawn)
    beyond = min((exact <= 0).sum(), (exact >= 0).sum())
    share = min((beyond + 1) / (len(drawn) + 1), 0.5)
    p = min(1.0, 2 * float(t.cdf(norm.ppf(share) / stretch, units - 1)))
    return (float(low), float(high)), p


def class_figures(
    truth: np.ndarray, predicted: np.ndarray, loss: np.ndarray, *, classes: int, units: Units
) -> Figures:
    """Top-1, macro F1 and log loss of answers, whichever units are drawn.

    Args:
        truth: ``(N,)`` true classes, from 0.
        predicted: ``(N,)`` answers.
        loss: ``(N,)`` -log(probability of the true class).
        classes: K.
        units: of the samples.
    """
    hit = predicted == truth
    totals = np.zeros((units.count, 3 + 3 * classes))
    for column, counts in enumerate((np.ones(len(truth)), hit, loss)):
        np.add.at(totals[:, column], units.index, counts)
    for block, (members, which) in enumerate(
        ((hit, truth), (np.full(len(truth), True), predicted), (np.full(len(truth), True), truth))
    ):
        columns = 3 + block * classes + which[members]
        np.add.at(totals, (units.index[members], columns), 1)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = weights @ totals
        right, guessed, support = np.split(sums[:, 3:], 3, axis=1)
        there = support > 0
        f1 = 2 * right / np.maximum(guessed + support, 1)
        return {
            "top1": sums[:, 1] / sums[:, 0],
            "macro_f1": (f1 * there).sum(axis=1) / there.sum(axis=1),
            LOSS: sums[:, 2] / sums[:, 0],
        }

    return figures


def set_figures(truth: np.ndarray, probabilities: np.ndarray, *, units: Units) -> Figures:
    """Mean average precision, exact match, macro F1 and log loss in multi-label.

    Args:
        truth: ``(N, K)`` bool.
        probabilities: ``(N, K)``.
        units: of the samples.
    """
    said = probabilities > THRESHOLD
    exact = (said == truth).all(axis=1)
    loss = sample_losses(truth, probabilities)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = weights[:, units.index]
        count = drawn.sum(axis=1)
        areas = average_precisions(truth, probabilities, drawn)
        there = ~np.isnan(areas)
        area = np.where(there, areas, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        right, guessed, support = (drawn @ part for part in (said & truth, said, truth))
        f1 = 2 * right / np.maximum(guessed + support, 1)
        present = support > 0
        macro = (f1 * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        return {
            "map": area,
            "exact_match": drawn @ exact / count,
            "macro_f1": macro,
            LOSS: drawn @ loss / count,
        }

    return figures


def difference(base: Figures, other: Figures) -> Figures:
    """The other's figures less the base's, of the same draws."""

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        before, after = base(weights), other(weights)
        return {name: after[name] - before[name] for name in before}

    return figures


def whole(figures: Figures, units: Units) -> dict[str, float]:
    """The figures of all samples, each once."""
    return {name: float(found[0]) for name, found in figures(np.ones((1, units.count))).items()}


def mcnemar(base: np.ndarray, other: np.ndarray) -> McNemar:
    """McNemar's test, exact at any number of samples (McNemar, Psychometrika, 1947).

    Args:
        base: ``(N,)`` bool: which samples the base has right.
        other: the same of the other.

    Example:
        >>> mcnemar(np.array([True, True, False]), np.array([True, False, False])).p
        1.0
    """
    from scipy.stats import binomtest

    base, other = np.asarray(base, dtype=bool), np.asarray(other, dtype=bool)
    lost, won = int((base & ~other).sum()), int((other & ~base).sum())
    p = float(binomtest(won, lost + won).pvalue) if lost + won else 1.0
    return McNemar(lost, won, p)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm, Scandinavian Journal of Statistics, 1979).

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    found: list[float | None] = [None] * len(values)
    least = 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        found[place] = least
    return found
