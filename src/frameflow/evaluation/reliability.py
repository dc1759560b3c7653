"""How well probabilities fit what happens: log loss, Brier score, calibration error.

``truth`` is ``(N,)``, the class of each sample; or ``(N, K)`` bool, the labels it has, where each
label has a probability of its own. Then every pair of a sample and a label is judged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from frameflow.errors import UsageError
from frameflow.evaluation.trend import wilson

BINS = 15
FEWEST = 10  # samples of a bin: with fewer its share of right answers says nothing
SMALLEST = 1e-12  # a true class given probability 0 costs 27.6 nats, not infinity
_DRAWS = (50, 1000)
_WORK = 4_000_000  # draws x answers
_CHUNK = 1 << 20  # draws x samples held at once


def sample_losses(truth: np.ndarray, p: np.ndarray) -> np.ndarray:
    """``(N,)`` -log(probability of what is true), in nats; the mean over labels in multi-label."""
    p = np.asarray(p, dtype=np.float64)
    if truth.ndim == 1:
        return -np.log(np.clip(p[np.arange(len(truth)), truth], SMALLEST, 1.0))
    return -np.log(np.clip(np.where(truth, p, 1 - p), SMALLEST, 1.0)).mean(axis=1)


def squared_errors(truth: np.ndarray, p: np.ndarray) -> np.ndarray:
    """``(N,)`` the sum over classes of the squared error; the mean over labels in multi-label."""
    p = np.asarray(p, dtype=np.float64)
    if truth.ndim == 2:
        return ((p - truth) ** 2).mean(axis=1)
    chosen = p[np.arange(len(truth)), truth]
    others = np.maximum((p**2).sum(axis=1) - chosen**2, 0)
    return np.asarray((1 - chosen) ** 2 + others)


def log_loss(truth: np.ndarray, p: np.ndarray) -> float:
    """The mean negative log-likelihood in nats.

    Args:
        truth: ``(N,)`` int, or ``(N, K)`` bool.
        p: ``(N, K)`` probabilities.

    Example:
        >>> round(log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])), 3)
        0.693
    """
    return float(sample_losses(*_checked(truth, p)).mean())


def brier(truth: np.ndarray, p: np.ndarray) -> float:
    """The Brier score: 0 is perfect; 2, or 1 in multi-label, is certain and always wrong.

    The mean over samples of the sum over classes of the squared difference from 1 for the true
    class and 0 for the others; with two classes twice the score of either (G. W. Brier,
    "Verification of forecasts expressed in terms of probability", Monthly Weather Review, 1950).

    Args:
        truth: ``(N,)`` int, or ``(N, K)`` bool.
        p: ``(N, K)`` probabilities.

    Example:
        >>> brier(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
        0.5
    """
    return float(squared_errors(*_checked(truth, p)).mean())


def calibration_error(truth: np.ndarray, p: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error of the likeliest class, over bins of equal mass.

    How far the stated probability lies from the share that is right, the mean over bins by their
    samples (Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI
    2015; bins of equal mass: Nixon et al., "Measuring calibration in deep learning", 2019). It is
    never 0 on a finite sample: hold it against `expected_calibration_error_if_perfect`.

    Args:
        truth: ``(N,)`` int, or ``(N, K)`` bool.
        p: ``(N, K)`` probabilities.
        bins: at most so many, and fewer where one would hold less than 10 samples. Equal
            probabilities share a bin.

    Example:
        >>> round(calibration_error(np.array([0, 0, 0, 1]), np.tile([0.9, 0.1], (4, 1))), 3)
        0.15
    """
    stated, right = _answers(*_checked(truth, p))
    found = _Bins.of(stated, bins)
    return float(found.error(np.bincount(found.index, right, minlength=len(found.size))))


def expected_calibration_error_if_perfect(
    p: np.ndarray, bins: int = BINS, seed: int = 0, multilabel: bool = False
) -> float:
    """The calibration error that such probabilities would show were they perfectly calibrated.

    Simulated: each answer is right with the probability that it states, independently of the
    others; the mean over 1,000 draws (fewer beyond 4,000 answers, of which each draw says more)
    of the error that `calibration_error` finds. Clips of one scene are right together, so with
    groups the true value lies somewhat higher.

    Args:
        p: ``(N, K)`` probabilities.
        bins: as in `calibration_error`.
        seed: of the draws.
        multilabel: each label has a probability of its own.

    Example:
        >>> expected_calibration_error_if_perfect(np.eye(3))
        0.0
    """
    p = np.asarray(p, dtype=np.float64)
    truth = np.zeros(p.shape if multilabel else len(p), dtype=bool if multilabel else np.int64)
    stated, _ = _answers(*_checked(truth, p))
    found = _Bins.of(stated, bins)
    starts, chances = np.cumsum(found.size)[:-1], np.sort(stated)
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // len(stated))
    errors = []
    draws = int(np.clip(_WORK // len(stated), *_DRAWS))
    for at in range(0, draws, step):
        right = rng.random((min(step, draws - at), len(stated))) < chances
        sums = np.add.reduceat(right, np.append(0, starts), axis=1, dtype=np.float64)
        errors.append(found.error(sums))
    return float(np.concatenate(errors).mean())


def reliability_bins(truth: np.ndarray, p: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """The bins of `calibration_error`, the least sure first: what a reliability diagram shows.

    Args:
        truth: ``(N,)`` int, or ``(N, K)`` bool.
        p: ``(N, K)`` probabilities.
        bins: as in `calibration_error`.

    Returns:
        For JSON, one entry a bin: ``confidence`` (the mean stated), ``accuracy``, ``count``, and
        ``low`` and ``high``, the 95 % interval of the accuracy (Wilson), as of independent samples.

    Example:
        >>> found = reliability_bins(np.array([0, 0, 0, 1]), np.tile([0.9, 0.1], (4, 1)))
        >>> len(found), round(found[0]["confidence"], 3), found[0]["accuracy"], found[0]["count"]
        (1, 0.9, 0.75, 4)
    """
    stated, right = _answers(*_checked(truth, p))
    found = _Bins.of(stated, bins)
    hits = np.bincount(found.index, right, minlength=len(found.size))
    entries = []
    for count, sure, hit in zip(found.size.tolist(), found.stated.tolist(), hits.tolist()):
        low, high = wilson(hit, count)
        entries.append(
            {
                "confidence": sure / count,
                "accuracy": hit / count,
                "count": int(count),
                "low": low,
                "high": high,
            }
        )
    return entries


def reliability(
    truth: np.ndarray, p: np.ndarray, *, bins: int = BINS, seed: int = 0
) -> dict[str, Any]:
    """All of it, for JSON: ``log_loss``, ``brier``, ``ece``, ``ece_expected``, ``reliability``."""
    several = np.asarray(truth).ndim == 2
    return {
        "log_loss": log_loss(truth, p),
        "brier": brier(truth, p),
        "ece": calibration_error(truth, p, bins),
        "ece_expected": expected_calibration_error_if_perfect(p, bins, seed, several),
        "reliability": reliability_bins(truth, p, bins),
    }


@dataclass(frozen=True)
class _Bins:
    """Answers by how sure they are.

    Attributes:
        index: ``(N,)`` the bin of each answer.
        size: ``(B,)`` how many each holds, > 0.
        stated: ``(B,)`` the sum of the probabilities they state.
    """

    index: np.ndarray
    size: np.ndarray
    stated: np.ndarray

    @classmethod
    def of(cls, stated: np.ndarray, most: int) -> "_Bins":
        if most < 1:
            raise UsageError(f"bins ({most}) must be > 0.")
        count = int(np.clip(len(stated) // FEWEST, 1, most))
        _, place, times = np.unique(stated, return_inverse=True, return_counts=True)
        after = np.cumsum(times)
        # Of equal values, which share a bin, the middle one says which.
        middle = (2 * after - times) * count // (2 * len(stated))
        index = np.unique(middle, return_inverse=True)[1][place]
        return cls(index, np.bincount(index), np.bincount(index, stated))

    def error(self, right: np.ndarray) -> np.ndarray:
        """The calibration error for ``(..., B)`` right answers of each bin."""
        return np.asarray(np.abs(right - self.stated).sum(axis=-1) / self.size.sum())


def _answers(truth: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is stated, from 0 to 1, and whether it is so."""
    if truth.ndim == 2:
        return np.clip(p, 0, 1).ravel(), truth.astype(np.float64).ravel()
    right = p.argmax(axis=1) == truth
    return np.clip(p.max(axis=1), 0, 1), right.astype(np.float64)


def _checked(truth: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, p = np.asarray(truth), np.asarray(p, dtype=np.float64)
    if p.ndim != 2 or truth.shape not in (p.shape, p.shape[:1]):
        raise UsageError(f"truth {truth.shape} does not fit the probabilities {p.shape}.")
    if not p.size:
        raise UsageError("There is no sample to score (0 were given).")
    if not np.isfinite(p).all():
        raise UsageError("A probability is not a finite number: the model has diverged.")
    return truth, p
