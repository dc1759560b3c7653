"""The figures of an evaluation, from true classes and probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frameflow.errors import UsageError, listing
from frameflow.evaluation.average_precision import average_precisions, mean_average_precisions
from frameflow.evaluation.class_scores import (
    ClassScore,
    Mean,
    class_draws,
    class_scores,
    class_units,
    macro,
    macro_draws,
    mean_of_present,
    micro,
)
from frameflow.evaluation.intervals import (
    Intervals,
    Units,
    bootstrap,
    clips,
    interval_notes,
    resample,
    units_of,
)
from frameflow.evaluation.reliability import reliability, sample_losses, squared_errors

_ROUNDING = 1e-3  # by which the probabilities of a sample may miss 1


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
        balanced_accuracy: the mean recall of the classes that have samples.
        mean_average_precision: the mean over these classes of the average precision: the area
            under precision over recall, as scikit-learn computes it.
        reliability: `frameflow.evaluation.reliability.reliability`: log loss, Brier score,
            calibration error, what it would be were the probabilities perfect, and its bins.
        per_class: one entry per label, in the order of ``labels``.
        macro: mean over the classes that have samples.
        weighted: the same, weighted by their samples.
        micro: over all samples; as each has one class and one answer, all three are top-1.
        confusion: ``(K, K)`` counts; rows are true classes, columns predicted ones.
        intervals: of top-1, top-k, macro F1, balanced accuracy, log loss, Brier score and mean
            average precision.
        notes: what a reader must know to read the figures right; full sentences.
    """

    labels: list[str]
    samples: int
    groups: int | None
    topk: int
    k: int
    top1: float
    topk_accuracy: float
    balanced_accuracy: float
    mean_average_precision: float
    reliability: dict[str, Any]
    per_class: list[ClassScore]
    macro: Mean
    weighted: Mean
    micro: Mean
    confusion: np.ndarray
    intervals: Intervals
    notes: list[str]

    @property
    def log_loss(self) -> float:
        """The mean of -log(probability of the true class), in nats."""
        return float(self.reliability["log_loss"])

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON: no NaN, no infinity; the key of top-k is ``top5`` for k = 5."""
        return {
            "samples": self.samples,
            "groups": self.groups,
            "top1": self.top1,
            f"top{self.topk}": self.topk_accuracy,
            "k": self.k,
            "balanced_accuracy": self.balanced_accuracy,
            "map": self.mean_average_precision,
            **self.reliability,
            "macro": self.macro.to_dict(),
            "weighted": self.weighted.to_dict(),
            "micro": self.micro.to_dict(),
            "intervals": self.intervals.to_dict(),
            "notes": list(self.notes),
            "per_class": [entry.to_dict() for entry in self.per_class],
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
        UsageError: shapes that do not fit, nothing to score, a class out of range, or
            probabilities that are not finite or do not sum to 1.

    Example:
        >>> scores = score([0, 1], np.array([[0.9, 0.1], [0.2, 0.8]]), ["run", "walk"])
        >>> scores.top1, scores.macro.f1
        (1.0, 1.0)
    """
    truth = np.asarray(truth, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _check(truth, probabilities, labels, topk)
    samples, classes = probabilities.shape
    ranking, units = rank(probabilities), units_of(groups, samples)
    predicted = ranking[:, 0]
    found = _Intervals(truth, probabilities, ranking, topk, units).settled(
        draws=resamples, confidence=confidence, seed=seed
    )
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    one_hot, every = np.eye(classes, dtype=bool)[truth], np.ones((1, samples))
    areas = average_precisions(one_hot, probabilities, every)
    counts = (np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))
    per_class = class_scores(labels, areas[0], *counts, found)
    intervals = found.only([name for name in found.bounds if "/" not in name])
    named = interval_notes(intervals, units, name="top-1", figure="top1")
    return Scores(
        labels=list(labels),
        samples=samples,
        groups=units.count if units.over == "groups" else None,
        topk=topk,
        k=min(topk, classes),
        top1=float((predicted == truth).mean()),
        topk_accuracy=float((ranking[:, :topk] == truth[:, None]).any(axis=1).mean()),
        balanced_accuracy=macro(per_class).recall,
        mean_average_precision=float(mean_of_present(areas)[0]),
        reliability=reliability(truth, probabilities, seed=seed),
        per_class=per_class,
        macro=macro(per_class),
        weighted=macro(per_class, weighted=True),
        micro=micro(*counts),
        confusion=confusion,
        intervals=intervals,
        notes=[*_notes(per_class, topk), *named],
    )


@dataclass(frozen=True)
class _Intervals:
    """What the bootstrap sums and what it makes of the sums."""

    truth: np.ndarray
    probabilities: np.ndarray
    ranking: np.ndarray
    topk: int
    units: Units

    def settled(self, **options: Any) -> Intervals:
        """All intervals, those of the classes under names like ``recall/0``."""
        classes, predicted = self.probabilities.shape[1], self.ranking[:, 0]
        hit, hit_k = (
            (self.ranking[:, :most] == self.truth[:, None]).any(axis=1) for most in (1, self.topk)
        )
        one_hot = np.eye(classes)
        counts = np.concatenate(
            [
                np.stack([np.ones(len(hit)), hit, hit_k], axis=1),
                sample_losses(self.truth, self.probabilities)[:, None],
                squared_errors(self.truth, self.probabilities)[:, None],
                one_hot[self.truth] * hit[:, None],
                one_hot[predicted],
                one_hot[self.truth],
            ],
            axis=1,
        )
        shares = ["top1", "macro_f1", "balanced_accuracy"]
        if self.topk < classes:  # else it is 1 for certain
            shares.append(f"top{self.topk}")
        resting = dict.fromkeys(shares, self.units.count)
        resting |= class_units(self.units.index, self.truth, predicted)
        overall = {"centred": ("macro_f1",), **options}
        found = bootstrap(
            counts, self._figures(True), units=self.units, rests_on=resting, **overall
        )
        areas = mean_average_precisions(self.truth, self.probabilities, self.units)
        every = np.ones((1, self.units.count))
        ranked = resample(
            {"map": float(areas(every)[0])},
            lambda weights: {"map": areas(weights)},
            units=self.units,
            rests_on={"map": self.units.count},
            **options | {"centred": ("map",)},
        )
        naive: Intervals | None = None
        if self.units.over == "groups" and found.reason is None:
            naive = bootstrap(
                counts, self._figures(False), units=clips(len(hit)), rests_on=resting, **overall
            )
        return replace(
            found,
            bounds=found.bounds | ranked.bounds,
            centred=(*found.centred, "map"),
            naive=naive.bounds if naive else {},
        )

    def _figures(self, classwise: bool) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
            right, said, support = np.split(sums[:, 5:], 3, axis=1)
            names = ("top1", f"top{self.topk}", "log_loss", "brier")
            means = {name: sums[:, at] / sums[:, 0] for at, name in enumerate(names, start=1)}
            each = class_draws(right, said, support) if classwise else {}
            return means | macro_draws(right, said, support) | each

        return figures


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
    outside = (probabilities < -_ROUNDING) | (probabilities > 1 + _ROUNDING)
    odd = (np.abs(probabilities.sum(axis=1) - 1) > _ROUNDING) | outside.any(axis=1)
    if odd.any():
        raise UsageError(
            f"{int(odd.sum())} of {len(truth)} samples have numbers that are no probabilities: "
            f"they must be from 0 to 1 and sum to 1. Give the softmax of the model's scores."
        )


def _notes(entries: Sequence[ClassScore], topk: int) -> list[str]:
    notes, classes = [], len(entries)
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
    return notes
