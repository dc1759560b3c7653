"""The figures of an evaluation, from true classes and probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frameflow.errors import UsageError, listing
from frameflow.evaluation.intervals import FEW_UNITS, Intervals, Units, bootstrap, units_of

_SMALLEST = 1e-12  # a true class given probability 0 costs 27.6 nats, not infinity


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The figures of one class.

    ``precision``, ``recall`` and ``f1`` are None where no sample is of the class. A class that has
    samples and is never predicted has precision 0, as in scikit-learn.
    """

    label: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over the classes that have samples."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Scores:
    """All figures of one evaluation.

    Attributes:
        samples: how many samples were scored.
        groups: how many groups they are of; None where no group is named.
        topk: the k that was asked for.
        k: the k that was used: no more than there are classes.
        top1: share of samples whose likeliest class is the true one.
        topk_accuracy: share of samples whose true class is among the k likeliest.
        log_loss: mean of -log(probability of the true class), in nats.
        per_class: one entry per label, in the order of ``labels``.
        macro: mean over the classes that have samples.
        weighted: the same, weighted by their samples.
        confusion: ``(K, K)`` counts; rows are true classes, columns predicted ones.
        intervals: of top1, top-k and macro F1.
        notes: what a reader must know to read the figures right; full sentences.
    """

    labels: list[str]
    samples: int
    groups: int | None
    topk: int
    k: int
    top1: float
    topk_accuracy: float
    log_loss: float
    per_class: list[ClassScore]
    macro: Mean
    weighted: Mean
    confusion: np.ndarray
    intervals: Intervals
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON: no NaN, no infinity; the key of top-k is ``top5`` for k = 5."""
        return {
            "samples": self.samples,
            "groups": self.groups,
            "top1": self.top1,
            f"top{self.topk}": self.topk_accuracy,
            "k": self.k,
            "log_loss": self.log_loss,
            "macro": _plain(self.macro),
            "weighted": _plain(self.weighted),
            "intervals": self.intervals.to_dict(),
            "notes": list(self.notes),
            "per_class": [_plain(entry) for entry in self.per_class],
            "confusion": {"labels": list(self.labels), "counts": self.confusion.tolist()},
        }


def score(
    truth: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    topk: int = 5,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Score probabilities against the truth.

    Args:
        truth: ``(N,)`` the true class of each sample, an index into ``labels``.
        probabilities: ``(N, K)``.
        labels: the K labels.
        groups: the group of each sample, ``""`` where unknown; the intervals resample groups.
        topk: the k of the top-k accuracy; with fewer classes, all of them, which a note says.
        resamples: draws of the bootstrap.
        confidence: of the intervals.
        seed: of the bootstrap.

    Raises:
        UsageError: shapes that do not fit, nothing to score, a class out of range, or a
            probability that is not a finite number.

    Example:
        >>> scores = score([0, 1], np.array([[0.9, 0.1], [0.2, 0.8]]), ["run", "walk"])
        >>> scores.top1, scores.macro.f1
        (1.0, 1.0)
    """
    truth = np.asarray(truth, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _check(truth, probabilities, labels, topk)
    samples, classes = probabilities.shape
    k = min(topk, classes)
    ranking = rank(probabilities)
    predicted = ranking[:, 0]
    hit = predicted == truth
    hit_k = (ranking[:, :k] == truth[:, None]).any(axis=1)
    units = units_of(groups, samples)

    one_hot = np.eye(classes)
    counts = np.concatenate(
        [
            np.stack([np.ones(samples), hit, hit_k], axis=1),
            one_hot[truth] * hit[:, None],
            one_hot[predicted],
            one_hot[truth],
        ],
        axis=1,
    )

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        right, guessed, support = np.split(sums[:, 3:], 3, axis=1)
        return {
            "top1": sums[:, 1] / sums[:, 0],
            f"top{topk}": sums[:, 2] / sums[:, 0],
            "macro_f1": _macro_f1(right, guessed, support),
        }

    intervals = bootstrap(
        counts,
        figures,
        units=units,
        draws=resamples,
        confidence=confidence,
        seed=seed,
        centred=("macro_f1",),
    )
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    per_class = _per_class(confusion, labels)
    chosen = probabilities[np.arange(samples), truth]
    return Scores(
        labels=list(labels),
        samples=samples,
        groups=units.count if units.over == "groups" else None,
        topk=topk,
        k=k,
        top1=float(hit.mean()),
        topk_accuracy=float(hit_k.mean()),
        log_loss=float(-np.log(np.clip(chosen, _SMALLEST, 1.0)).mean()),
        per_class=per_class,
        macro=_mean(per_class, weighted=False),
        weighted=_mean(per_class, weighted=True),
        confusion=confusion,
        intervals=intervals,
        notes=_notes(per_class, topk, classes, units, intervals),
    )


def rank(probabilities: np.ndarray) -> np.ndarray:
    """``(N, K)`` class indices, likeliest first; of equals the first, as ``argmax`` has it."""
    return np.argsort(-probabilities, axis=1, kind="stable")


def confused_pairs(
    confusion: np.ndarray, labels: Sequence[str], *, most: int = 10
) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: ``(true, predicted, count)``, most frequent first.

    Example:
        >>> confused_pairs(np.array([[3, 2], [0, 4]]), ["run", "walk"])
        [('run', 'walk', 2)]
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [
        (labels[row], labels[column], int(wrong[row, column]))
        for row, column in zip(rows, columns)
        if wrong[row, column]
    ]


def _check(truth: np.ndarray, probabilities: np.ndarray, labels: Sequence[str], topk: int) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise UsageError(
            f"probabilities {probabilities.shape} must be (N, {len(labels)}): one per label."
        )
    if truth.shape != probabilities.shape[:1]:
        raise UsageError(
            f"truth {truth.shape} must hold one class for each of {len(probabilities)} samples."
        )
    if not len(truth):
        raise UsageError("There is no sample to score (0 were given).")
    if not len(labels):
        raise UsageError("labels must name at least one class.")
    if truth.min() < 0 or truth.max() >= len(labels):
        raise UsageError(
            f"truth holds {truth.min()} to {truth.max()}, allowed are 0 to {len(labels) - 1}."
        )
    if topk < 1:
        raise UsageError(f"topk ({topk}) must be > 0.")
    broken = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if broken:
        raise UsageError(
            f"{broken} of {len(truth)} samples have a probability that is not a finite number: "
            f"the model has diverged; train again with a lower train.lr."
        )


def _macro_f1(right: np.ndarray, guessed: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that have samples in the draw; each argument ``(draws, K)``."""
    present = support > 0
    f1 = 2 * right / np.maximum(guessed + support, 1)
    return (f1 * present).sum(axis=1) / present.sum(axis=1)


def _per_class(confusion: np.ndarray, labels: Sequence[str]) -> list[ClassScore]:
    right = np.diag(confusion)
    guessed, support = confusion.sum(axis=0), confusion.sum(axis=1)
    entries = []
    for label, hits, predicted, total in zip(labels, right, guessed, support):
        present = total > 0
        entries.append(
            ClassScore(
                label=label,
                support=int(total),
                predicted=int(predicted),
                precision=float(hits / max(predicted, 1)) if present else None,
                recall=float(hits / total) if present else None,
                f1=float(2 * hits / (predicted + total)) if present else None,
            )
        )
    return entries


def _mean(entries: Sequence[ClassScore], *, weighted: bool) -> Mean:
    present = [entry for entry in entries if entry.support]
    weights = [entry.support if weighted else 1 for entry in present]

    def mean(values: list[float | None]) -> float:
        return float(np.average(np.array(values, dtype=np.float64), weights=weights))

    return Mean(
        precision=mean([entry.precision for entry in present]),
        recall=mean([entry.recall for entry in present]),
        f1=mean([entry.f1 for entry in present]),
    )


def _notes(
    entries: Sequence[ClassScore], topk: int, classes: int, units: Units, intervals: Intervals
) -> list[str]:
    notes = []
    if topk > classes:
        notes.append(
            f"There are only {classes} classes, so top-{topk} is top-{classes}, which is always 1."
        )
    elif topk == classes:
        notes.append(f"There are {classes} classes, so top-{topk} is always 1.")
    absent = [entry.label for entry in entries if not entry.support]
    if absent:
        notes.append(
            f"No sample is of {len(absent)} of the {classes} classes ({listing(absent)}): they "
            f"have no figures and do not count in the means."
        )
    if intervals.reason:
        notes.append(intervals.reason)
    elif units.count < FEW_UNITS:
        notes.append(
            f"With only {units.count} {units.over} the intervals are rough and likely too narrow."
        )
    if units.note and not intervals.reason:
        notes.append(units.note)
    return notes


def _plain(entry: ClassScore | Mean) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}
