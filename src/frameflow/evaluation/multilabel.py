"""The figures of an evaluation in which a sample may have several labels, or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frameflow.errors import UsageError, listing
from frameflow.evaluation.average_precision import average_precisions
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
    clips,
    interval_notes,
    resample,
    units_of,
)
from frameflow.evaluation.reliability import reliability, sample_losses, squared_errors

Figures = Callable[[np.ndarray], dict[str, np.ndarray]]

THRESHOLD = 0.5  # a label is said to be present where its probability is above this
_CHUNK = 1 << 20  # draws x samples held at once
_ROUNDING = 1e-3  # by which a probability may miss 0 to 1


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
        reliability: `frameflow.evaluation.reliability.reliability`, over all pairs of a sample and
            a label: log loss, Brier score, calibration error, what it would be were the
            probabilities perfect, and its bins.
        chance: the mean average precision of a ranking by chance: the mean share of samples.
        per_class: one entry per label, in the order of ``labels``.
        intervals: of the mean average precision, micro and macro F1, the exact match, log loss
            and Brier score.
        notes: what a reader must know to read the figures right; full sentences.
    """

    labels: list[str]
    samples: int
    groups: int | None
    mean_average_precision: float
    micro: Mean
    macro: Mean
    exact_match: float
    reliability: dict[str, Any]
    chance: float
    per_class: list[ClassScore]
    intervals: Intervals
    notes: list[str]

    @property
    def log_loss(self) -> float:
        """The mean over samples and labels of the binary cross-entropy, in nats."""
        return float(self.reliability["log_loss"])

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
            "micro": self.micro.to_dict(),
            "macro": self.macro.to_dict(),
            "exact_match": self.exact_match,
            **self.reliability,
            "intervals": self.intervals.to_dict(),
            "notes": list(self.notes),
            "per_class": [entry.to_dict() for entry in self.per_class],
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
            truth that is neither 0 nor 1, or a probability that is not from 0 to 1.

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
    areas = average_precisions(truth, probabilities, every)
    draws = _Draws(truth, probabilities, areas)
    right, said, support = (part[0] for part in draws.counts(every))
    found = draws.intervals(units, draws=resamples, confidence=confidence, seed=seed)
    per_class = class_scores(labels, areas[0], right, said, support, found)
    intervals = found.only([name for name in found.bounds if "/" not in name])
    named = interval_notes(intervals, units, name="mean average precision", figure="map")
    present = [entry.support for entry in per_class if entry.support]
    return SetScores(
        labels=list(labels),
        samples=len(truth),
        groups=units.count if units.over == "groups" else None,
        mean_average_precision=float(mean_of_present(areas)[0]),
        micro=micro(right, said, support),
        macro=macro(per_class),
        exact_match=float(draws.exact.mean()),
        reliability=reliability(truth, probabilities, seed=seed),
        chance=float(np.mean(present) / len(truth)),
        per_class=per_class,
        intervals=intervals,
        notes=[*_notes(per_class, truth), *named],
    )


class _Draws:
    """The figures of draws of units."""

    def __init__(self, truth: np.ndarray, probabilities: np.ndarray, areas: np.ndarray) -> None:
        self.truth, self.probabilities, self.areas = truth, probabilities, areas
        self.said = probabilities > THRESHOLD
        self.exact = (truth == self.said).all(axis=1).astype(np.float64)
        self.sums = [part.astype(np.float64) for part in (truth & self.said, self.said, truth)]
        self.means = {
            "exact_match": self.exact,
            "log_loss": sample_losses(truth, probabilities),
            "brier": squared_errors(truth, probabilities),
        }

    def counts(self, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """Hits, predictions and samples of each label, ``(W, K)``, of ``(W, N)`` weights."""
        return tuple(weights @ part for part in self.sums)

    def intervals(self, units: Units, **options: Any) -> Intervals:
        """All intervals, those of the labels under names like ``recall/0``."""
        found = self._resampled(units, **options)
        if units.over == "clips" or found.reason:
            return found
        naive = self._resampled(clips(len(self.truth)), classwise=False, **options)
        return replace(found, naive=naive.bounds)

    def _resampled(self, units: Units, *, classwise: bool = True, **options: Any) -> Intervals:
        def figures(drawn: np.ndarray, areas: np.ndarray) -> dict[str, np.ndarray]:
            counts, total = self.counts(drawn), drawn.sum(axis=1)
            right, said, support = counts
            every = np.maximum((said + support).sum(axis=1), 1)
            each = class_draws(right, said, support) if classwise else {}
            return {
                "map": mean_of_present(areas),
                "micro_f1": 2 * right.sum(axis=1) / every,
                "macro_f1": macro_draws(right, said, support)["macro_f1"],
                **{name: drawn @ part / total for name, part in self.means.items()},
                **each,
            }

        def of_units(weights: np.ndarray) -> dict[str, np.ndarray]:
            drawn = weights[:, units.index]
            return figures(drawn, average_precisions(self.truth, self.probabilities, drawn))

        whole = figures(np.ones((1, len(self.truth))), self.areas)
        resting = dict.fromkeys(("map", "micro_f1", "macro_f1", "exact_match"), units.count)
        return resample(
            {name: float(values[0]) for name, values in whole.items()},
            _by_chunks(of_units, len(self.truth)),
            units=units,
            centred=("map", "macro_f1"),
            rests_on=resting | class_units(units.index, self.truth, self.said),
            **options,
        )


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
    outside = (probabilities < -_ROUNDING) | (probabilities > 1 + _ROUNDING)
    odd = int(outside.any(axis=1).sum())
    if odd:
        raise UsageError(
            f"{odd} of {len(truth)} samples have numbers that are no probabilities: they must be "
            f"from 0 to 1. Give the sigmoid of the model's scores."
        )
    return truth.astype(bool)


def _notes(entries: Sequence[ClassScore], truth: np.ndarray) -> list[str]:
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
    return notes
