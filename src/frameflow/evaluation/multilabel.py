"""The figures of an evaluation in which a sample may have several labels, or none."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from frameflow.errors import UsageError, listing
from frameflow.evaluation.intervals import FEW_UNITS, Intervals, Units, resample, units_of

Figures = Callable[[np.ndarray], dict[str, np.ndarray]]

THRESHOLD = 0.5  # a label is said to be present where its probability is above this
_SMALLEST = 1e-12  # a certain mistake costs 27.6 nats, not infinity
_CHUNK = 1 << 20  # draws x samples held at once


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The figures of one label.

    ``average_precision``, ``precision``, ``recall`` and ``f1`` are None where no sample has the
    label. ``predicted`` counts the samples whose probability is above the threshold.
    """

    label: str
    support: int
    predicted: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over labels."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class SetScores:
    """All figures of one evaluation.

    Attributes:
        samples: how many samples were scored.
        groups: how many groups they are of; None where no group is named.
        mean_average_precision: the mean over the labels that have samples of the average
            precision: the area under precision over recall, as scikit-learn computes it.
        micro: over all pairs of a sample and a label.
        macro: the mean over the labels that have samples.
        exact_match: share of samples whose labels are all right, and no other.
        log_loss: mean over samples and labels of the binary cross-entropy, in nats.
        chance: the mean average precision of a ranking by chance: the mean share of samples.
        per_class: one entry per label, in the order of ``labels``.
        intervals: of the mean average precision, micro and macro F1 and the exact match.
        notes: what a reader must know to read the figures right; full sentences.
    """

    labels: list[str]
    samples: int
    groups: int | None
    mean_average_precision: float
    micro: Mean
    macro: Mean
    exact_match: float
    log_loss: float
    chance: float
    per_class: list[LabelScore]
    intervals: Intervals
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON: no NaN, no infinity; ``map`` is the mean average precision."""
        return {
            "multilabel": True,
            "samples": self.samples,
            "groups": self.groups,
            "labels": list(self.labels),
            "threshold": THRESHOLD,
            "map": self.mean_average_precision,
            "chance": self.chance,
            "micro": asdict(self.micro),
            "macro": asdict(self.macro),
            "exact_match": self.exact_match,
            "log_loss": self.log_loss,
            "intervals": self.intervals.to_dict(),
            "notes": list(self.notes),
            "per_class": [asdict(entry) for entry in self.per_class],
        }


def score_sets(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> SetScores:
    """Score the probabilities of labels against which of them apply.

    Args:
        truth: ``(N, K)``, 1 or True where a sample has a label.
        probabilities: ``(N, K)``, each label's own.
        labels: the K labels.
        groups: the group of each sample, ``""`` where unknown; the intervals resample groups.
        resamples: draws of the bootstrap.
        confidence: of the intervals.
        seed: of the bootstrap.

    Raises:
        UsageError: shapes that do not fit, nothing to score, no label that any sample has, a
            truth that is neither 0 nor 1, or a probability that is not a finite number.

    Example:
        >>> truth = np.array([[1, 0], [1, 1], [0, 0]])
        >>> found = score_sets(truth, np.array([[0.9, 0.6], [0.7, 0.8], [0.2, 0.1]]), ["run", "up"])
        >>> found.mean_average_precision, round(found.exact_match, 3)
        (1.0, 0.667)
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    truth = _checked(np.asarray(truth), probabilities, labels)
    units = units_of(groups, len(truth))
    every = np.ones((1, len(truth)))
    precisions = average_precisions(truth, probabilities, every)[0]
    sums = _Sums(truth, probabilities > THRESHOLD)
    counts = sums.of(every)
    values = {n: float(v[0]) for n, v in (_ranking(precisions[None]) | _decisions(counts)).items()}

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = weights[:, units.index]
        found = average_precisions(truth, probabilities, drawn)
        return _ranking(found) | _decisions(sums.of(drawn))

    intervals = resample(
        values,
        _by_chunks(figures, len(truth)),
        units=units,
        draws=resamples,
        confidence=confidence,
        seed=seed,
        centred=("map", "macro_f1"),
    )
    per_class = _per_class(labels, precisions, *(part[0] for part in counts[:3]))
    present = [entry for entry in per_class if entry.support]
    return SetScores(
        labels=list(labels),
        samples=len(truth),
        groups=units.count if units.over == "groups" else None,
        mean_average_precision=values["map"],
        micro=_micro(*(part[0] for part in counts[:3])),
        macro=_macro(present),
        exact_match=values["exact_match"],
        log_loss=_log_loss(truth, probabilities),
        chance=float(np.mean([entry.support for entry in present]) / len(truth)),
        per_class=per_class,
        intervals=intervals,
        notes=_notes(per_class, truth, units, intervals),
    )


def average_precisions(
    truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The average precision of each label, with samples that count more than once.

    The sum over the thresholds of the precision times the gain in recall; samples of equal
    probability are taken together (`sklearn.metrics.average_precision_score`).

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


class _Sums:
    """What of the truth and the decisions is counted, by label and by sample."""

    def __init__(self, truth: np.ndarray, said: np.ndarray) -> None:
        self.hits = (truth & said).astype(np.float64)
        self.said, self.truth = said.astype(np.float64), truth.astype(np.float64)
        self.exact = (truth == said).all(axis=1).astype(np.float64)

    def of(self, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """Hits, predictions and samples of each label, ``(W, K)``; exact matches, ``(W,)``."""
        shares = weights @ self.exact / weights.sum(axis=1)
        return weights @ self.hits, weights @ self.said, weights @ self.truth, shares


def _ranking(precisions: np.ndarray) -> dict[str, np.ndarray]:
    there = ~np.isnan(precisions)
    total = np.where(there, precisions, 0).sum(axis=1)
    return {"map": total / np.maximum(there.sum(axis=1), 1)}


def _decisions(counts: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    hits, said, support, exact = counts
    f1 = 2 * hits / np.maximum(said + support, 1)
    present = support > 0
    every = np.maximum((said + support).sum(axis=1), 1)
    return {
        "micro_f1": 2 * hits.sum(axis=1) / every,
        "macro_f1": (f1 * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1),
        "exact_match": exact,
    }


def _by_chunks(figures: Figures, samples: int) -> Figures:
    """The same figures of a few draws at a time, so that memory stays small."""
    step = max(1, _CHUNK // samples)

    def chunked(weights: np.ndarray) -> dict[str, np.ndarray]:
        parts = [figures(weights[at : at + step]) for at in range(0, len(weights), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return chunked


def _checked(truth: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """The truth as bool."""
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise UsageError(
            f"probabilities {probabilities.shape} must be (N, {len(labels)}): one per label."
        )
    if truth.shape != probabilities.shape:
        raise UsageError(f"truth {truth.shape} must be {probabilities.shape}, as probabilities.")
    if not len(truth):
        raise UsageError("There is no sample to score (0 were given).")
    if not np.isin(truth, (0, 1)).all():
        raise UsageError("truth must be 0 or 1 for each sample and label.")
    if not truth.any():
        raise UsageError("No sample has any of the labels, so there is no figure.")
    broken = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if broken:
        raise UsageError(
            f"{broken} of {len(truth)} samples have a probability that is not a finite number: "
            f"the model has diverged; train again with a lower train.lr."
        )
    return truth.astype(bool)


def _per_class(
    labels: Sequence[str],
    precisions: np.ndarray,
    hits: np.ndarray,
    said: np.ndarray,
    support: np.ndarray,
) -> list[LabelScore]:
    entries = []
    for label, area, right, predicted, total in zip(labels, precisions, hits, said, support):
        there = total > 0
        entries.append(
            LabelScore(
                label=label,
                support=int(total),
                predicted=int(predicted),
                average_precision=float(area) if there else None,
                precision=float(right / max(predicted, 1)) if there else None,
                recall=float(right / total) if there else None,
                f1=float(2 * right / (predicted + total)) if there else None,
            )
        )
    return entries


def _micro(hits: np.ndarray, said: np.ndarray, support: np.ndarray) -> Mean:
    right, predicted, total = hits.sum(), said.sum(), support.sum()
    return Mean(
        precision=float(right / max(predicted, 1)),
        recall=float(right / total),
        f1=float(2 * right / (predicted + total)),
    )


def _macro(present: Sequence[LabelScore]) -> Mean:
    columns = zip(*((entry.precision, entry.recall, entry.f1) for entry in present))
    return Mean(*(float(np.mean(column)) for column in columns))


def _log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    chosen = np.where(truth, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(chosen, _SMALLEST, 1.0)).mean())


def _notes(
    entries: Sequence[LabelScore], truth: np.ndarray, units: Units, intervals: Intervals
) -> list[str]:
    notes = []
    absent = [entry.label for entry in entries if not entry.support]
    if absent:
        notes.append(
            f"No sample has {len(absent)} of the {len(entries)} labels ({listing(absent)}): they "
            f"have no figures and do not count in the means over labels."
        )
    full = [entry.label for entry in entries if entry.support == len(truth)]
    if full:
        notes.append(f"Every sample has {listing(full)}, so the average precision is always 1.")
    if intervals.reason:
        notes.append(intervals.reason)
    elif units.count < FEW_UNITS:
        notes.append(
            f"With only {units.count} {units.over} the intervals are rough and likely too narrow."
        )
    if units.note and not intervals.reason:
        notes.append(units.note)
    return notes
