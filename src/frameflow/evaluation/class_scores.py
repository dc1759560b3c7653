"""The figures of each class and their means, from how often it is right, predicted and there.

Shared by samples of one label and of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from frameflow.evaluation.intervals import Bounds, Intervals

NAMES = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The figures of one class.

    ``average_precision``, ``precision``, ``recall`` and ``f1`` are None where no sample is of the
    class. A class that has samples and is never predicted has precision 0, as in scikit-learn.

    Attributes:
        support: how many samples are of the class.
        predicted: how many are said to be.
        intervals: of precision, recall and F1; None where its samples are of one group.
    """

    label: str
    support: int
    predicted: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    intervals: Mapping[str, Bounds]

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        pairs = {n: None if pair is None else list(pair) for n, pair in self.intervals.items()}
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"intervals": pairs}


@dataclass(frozen=True, slots=True)
class Mean:
    """Precision, recall and F1 of all classes together."""

    precision: float
    recall: float
    f1: float

    def to_dict(self) -> dict[str, float]:
        """A dictionary for JSON."""
        return asdict(self)


def class_draws(
    right: np.ndarray, predicted: np.ndarray, support: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures of each class in draws, for `frameflow.evaluation.intervals.resample`.

    Args:
        right: ``(draws, K)`` samples that are of a class and said to be.
        predicted: ``(draws, K)`` samples said to be of it.
        support: ``(draws, K)`` samples that are of it.

    Returns:
        ``precision/0`` and the like to ``(draws,)``; NaN where a draw has no such sample.
    """
    both = np.where(support > 0, predicted + support, 0)
    tops = {"precision": (right, predicted), "recall": (right, support), "f1": (2 * right, both)}
    found: dict[str, np.ndarray] = {}
    for name, (above, below) in tops.items():
        shares = np.full(above.shape, np.nan)
        np.divide(above, below, out=shares, where=below > 0)
        found |= {f"{name}/{label}": shares[:, label] for label in range(above.shape[1])}
    return found


def class_units(index: np.ndarray, truth: np.ndarray, said: np.ndarray) -> dict[str, int]:
    """How many units each figure of `class_draws` rests on.

    Args:
        index: ``(N,)`` the unit of each sample.
        truth: ``(N, K)`` bool, or ``(N,)`` the class of each sample.
        said: the same of what is predicted.
    """
    classes = 1 + max(int(truth.max()), int(said.max())) if truth.ndim == 1 else truth.shape[1]
    found: dict[str, int] = {}
    for label in range(classes):
        has, named = (
            (part == label if part.ndim == 1 else part[:, label] > 0) for part in (truth, said)
        )
        owners, namers = (len(np.unique(index[rows])) for rows in (has, named))
        found |= {f"precision/{label}": namers, f"recall/{label}": owners, f"f1/{label}": owners}
    return found


def class_scores(
    labels: Sequence[str],
    areas: np.ndarray,
    right: np.ndarray,
    predicted: np.ndarray,
    support: np.ndarray,
    intervals: Intervals,
) -> list[ClassScore]:
    """One entry a label; each array is ``(K,)``, ``areas`` the average precisions."""
    entries = []
    for place, label in enumerate(labels):
        hits, said, total = (float(part[place]) for part in (right, predicted, support))
        there = total > 0
        entries.append(
            ClassScore(
                label=label,
                support=int(total),
                predicted=int(said),
                average_precision=float(areas[place]) if there else None,
                precision=hits / max(said, 1) if there else None,
                recall=hits / total if there else None,
                f1=2 * hits / (said + total) if there else None,
                intervals={
                    name: intervals.bounds.get(f"{name}/{place}") if there else None
                    for name in NAMES
                },
            )
        )
    return entries


def micro(right: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> Mean:
    """Over all samples and classes together; each argument ``(K,)``."""
    hits, said, total = float(right.sum()), float(predicted.sum()), float(support.sum())
    return Mean(
        precision=hits / max(said, 1), recall=hits / total, f1=2 * hits / max(said + total, 1)
    )


def macro(entries: Sequence[ClassScore], *, weighted: bool = False) -> Mean:
    """The mean over the classes that have samples, or that weighted by their samples."""
    present = [entry for entry in entries if entry.support]
    weights = [entry.support if weighted else 1 for entry in present]
    table = np.array([[getattr(e, name) for name in NAMES] for e in present], dtype=np.float64)
    return Mean(*np.average(table, axis=0, weights=weights).tolist())


def macro_draws(
    right: np.ndarray, predicted: np.ndarray, support: np.ndarray
) -> dict[str, np.ndarray]:
    """``macro_f1`` and ``balanced_accuracy`` of draws, over the classes that a draw has.

    The arguments are those of `class_draws`.
    """
    present = support > 0
    classes = np.maximum(present.sum(axis=1), 1)
    f1 = 2 * right / np.maximum(predicted + support, 1)
    recall = right / np.maximum(support, 1)
    return {
        "macro_f1": (f1 * present).sum(axis=1) / classes,
        "balanced_accuracy": recall.sum(axis=1) / classes,
    }


def mean_of_present(areas: np.ndarray) -> np.ndarray:
    """``(draws, K)`` average precisions to ``(draws,)`` means of those that are no NaN."""
    there = ~np.isnan(areas)
    return np.asarray(np.where(there, areas, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
