"""The average precision of each class: the area under precision over recall.

The sum over the thresholds of the precision times the gain in recall; samples of equal probability
are taken together (`sklearn.metrics.average_precision_score`).
"""

from collections.abc import Callable

import numpy as np

from frameflow.evaluation.intervals import Units

_SMALLEST = 1e-12  # in place of no sample at all
_CHEAP = 100  # products of a matrix that cost no more than one step of a running sum
_CHUNK = 1 << 20  # draws x samples held at once


def average_precisions(
    truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The average precision of each label, with samples that count more than once.

    Args:
        truth: ``(N, K)`` bool.
        probabilities: ``(N, K)``.
        weights: ``(W, N)``, how often each sample counts.

    Returns:
        ``(W, K)``; NaN where no sample that counts has the label.
    """
    found = np.full((len(weights), truth.shape[1]), np.nan)
    for label in range(truth.shape[1]):
        order = np.argsort(-probabilities[:, label], kind="stable")
        ranked, has = probabilities[order, label], truth[order, label]
        ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
        drawn = weights[:, order]
        seen = drawn.cumsum(axis=1)[:, ends]
        right = (drawn * has).cumsum(axis=1)[:, ends]
        gained = np.diff(right, axis=1, prepend=0)
        total = right[:, -1]
        area = (gained * right / np.maximum(seen, _SMALLEST)).sum(axis=1)
        np.divide(area, total, out=found[:, label], where=total > 0)
    return found


def mean_average_precisions(
    truth: np.ndarray, probabilities: np.ndarray, units: Units
) -> Callable[[np.ndarray], np.ndarray]:
    """The mean average precision of draws of units, where a sample has one class of many.

    The precision is looked at only where a sample of the class stands, of which there are few, so
    2,000 draws take seconds.

    Args:
        truth: ``(N,)`` the class of each sample.
        probabilities: ``(N, K)``.
        units: of the samples.

    Returns:
        From how often each unit is drawn, ``(draws, units)``, to ``(draws,)`` means over the
        classes that have samples in the draw.
    """

    def figure(weights: np.ndarray) -> np.ndarray:
        weights = weights.astype(np.float32)  # counts, which it holds exactly
        total, there = np.zeros(len(weights)), np.zeros(len(weights))
        for label in np.unique(truth):
            areas, present = _areas(truth == label, probabilities[:, label], units, weights)
            total += areas
            there += present
        return total / there

    return figure


def _areas(
    has: np.ndarray, ranked: np.ndarray, units: Units, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``(W,)`` average precisions, 0 where no sample has the class, and whether any has."""
    levels, place = np.unique(-ranked[has], return_inverse=True)  # the surest first
    if units.count * len(levels) > _CHEAP * len(has):
        step = max(1, _CHUNK // len(has))
        parts = [
            average_precisions(has[:, None], ranked[:, None], weights[at : at + step, units.index])
            for at in range(0, len(weights), step)
        ]
        area = np.concatenate(parts)[:, 0]
        return np.nan_to_num(area), ~np.isnan(area)
    owners = units.index[has]
    at = np.searchsorted(levels, -ranked, side="left")  # where a sample is first counted
    gained = weights @ _table(owners, place, units.count, len(levels))
    right = gained.cumsum(axis=1)
    seen = weights @ _table(units.index, at, units.count, len(levels)).cumsum(axis=1)
    total = right[:, -1].astype(np.float64)
    area = (gained * right / np.maximum(seen, 1)).sum(axis=1, dtype=np.float64)
    return area / np.maximum(total, 1), total > 0


def _table(units: np.ndarray, levels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """``(rows, columns)`` how many samples of each unit stand at each level, but the last."""
    counts = np.bincount(units * (columns + 1) + levels, minlength=rows * (columns + 1))
    return counts.reshape(rows, columns + 1)[:, :-1].astype(np.float32)
