"""When not to answer with one label: a set of labels, or "none of these".

A prediction set holds the true label at a stated rate, by split conformal prediction with the
score 1 - p (least ambiguous sets: Sadinle, Lei and Wasserman, "Least ambiguous set-valued
classifiers with bounded error levels", JASA 2019). Adaptive sets (Romano, Sesia and Candès,
"Classification with valid and adaptive coverage", NeurIPS 2020) are `adaptive_scores`.

Clips of one group are alike, so a new clip is exchangeable with those seen only as a clip of a new
group among groups. Quantiles therefore weigh each group the same and leave one group's weight for
the new one (Lee, Barber and Willett, "Distribution-free inference with hierarchical data", 2023):
the rate holds for a clip drawn from a new group, and needs groups, not clips, in number. Without
groups each clip is one, which is the ordinary rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from frameflow.errors import UsageError
from frameflow.evaluation.intervals import bootstrap, units_of

_ROUNDING = 1e-9
_SURE = 0.9  # that the errors among the answered are below the rate that was asked for


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a model holds itself to, set on held-out predictions.

    Attributes:
        alpha: the error rate of the sets.
        quantile: a label is in the set where 1 - p is at most this; None where there are too few
            groups for ``alpha``: then every label is.
        threshold: a clip is answered where its greatest probability is at least this; None where
            no threshold keeps to ``at_error``: then none is.
        answered: the share of clips of known classes that were to be answered; None where
            ``at_error`` was asked for.
        at_error: the share of errors among the answered that was asked for, or None.
        samples: how many held-out predictions it rests on.
        units: of how many groups (or clips, where no group is named).
        over: ``groups`` or ``clips``.
        fitted_on: which predictions, in words.
    """

    alpha: float
    quantile: float | None
    threshold: float | None
    answered: float | None
    at_error: float | None
    samples: int
    units: int
    over: Literal["groups", "clips"]
    fitted_on: str = ""

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """``(N, K)`` bool of calibrated probabilities: the labels of each clip's set.

        The likeliest label is always in it: an empty set would say less than "none of these"
        does, and its label can only add to the coverage.
        """
        found = self._within(probabilities)
        found[np.arange(len(found)), probabilities.argmax(axis=1)] = True
        return found

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        """``(N,)`` bool of calibrated probabilities: False means "none of these"."""
        if self.threshold is None:
            return np.zeros(len(probabilities), dtype=bool)
        return probabilities.max(axis=1) >= self.threshold - _ROUNDING

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Refusal":
        """What `to_dict` made.

        Raises:
            UsageError: it is damaged.
        """
        try:
            found = cls(**saved)
            numbers = [found.alpha, *_known(found.quantile, found.threshold)]
            damaged = not np.isfinite(np.array(numbers, dtype=np.float64)).all()
        except (TypeError, ValueError):
            damaged = True
        if damaged:
            raise UsageError(
                "The prediction sets saved with the model are damaged. Copy the run folder again, "
                "or train again."
            )
        return found

    def _within(self, probabilities: np.ndarray) -> np.ndarray:
        if self.quantile is None:
            return np.ones(probabilities.shape, dtype=bool)
        return np.asarray(1 - probabilities <= self.quantile + _ROUNDING)


def fit_refusal(
    truth: np.ndarray,
    probabilities: np.ndarray,
    *,
    alpha: float = 0.1,
    answered: float = 0.95,
    at_error: float | None = None,
    groups: Sequence[str] | None = None,
    fitted_on: str = "",
) -> Refusal:
    """Set the sets' quantile and the threshold of "none of these".

    Args:
        truth: ``(N,)`` int, the class of each sample.
        probabilities: ``(N, K)`` calibrated, by a fit that did not see the sample.
        alpha: the error rate of the sets: 1 - alpha of them shall hold the true label.
        answered: the share of clips of known classes that shall be answered: the threshold is the
            conformal quantile of the greatest probability (Bates et al., "Testing for outliers
            with conformal p-values", Annals of Statistics 2023).
        at_error: instead of ``answered``: the share of the answered that may be wrong. The lowest
            threshold above which it is less, with a confidence of 0.9 (Geifman and El-Yaniv,
            "Selective classification for deep neural networks", NeurIPS 2017), for as many
            independent clips as there are groups.
        groups: of the samples, as in `frameflow.evaluation.intervals.units_of`.
        fitted_on: which predictions these are, in words, to be kept with it.

    Example:
        >>> said = np.repeat([[0.9, 0.1], [0.6, 0.4]], 50, axis=0)
        >>> truth = np.repeat([0, 0, 1], [50, 30, 20])  # two in five of the unsure ones are wrong
        >>> found = fit_refusal(truth, said, at_error=0.05)
        >>> found.sets(said)[[0, 50]].tolist(), found.answers(said)[[0, 50]].tolist()
        ([[True, False], [True, True]], [True, False])
    """
    units = units_of(groups, len(truth))
    shares = probabilities.astype(np.float64)
    strange = 1 - shares[np.arange(len(truth)), truth]
    quantile = conformal_quantile(strange, 1 - alpha, groups)
    top = shares.max(axis=1)
    if at_error is not None:
        threshold = _by_error(top, shares.argmax(axis=1) != truth, units.index, at_error)
    else:
        lowest = conformal_quantile(1 - top, answered, groups)
        threshold = 0.0 if lowest is None else 1 - lowest
    return Refusal(
        alpha=alpha,
        quantile=quantile,
        threshold=threshold,
        answered=answered if at_error is None else None,
        at_error=at_error,
        samples=len(truth),
        units=units.count,
        over=units.over,
        fitted_on=fitted_on,
    )


def conformal_quantile(
    scores: np.ndarray, level: float, groups: Sequence[str] | None = None
) -> float | None:
    """The value that the score of a clip of a new group does not exceed with ``level`` or more.

    Each of G groups weighs 1 / (G + 1), shared by its samples; the last weight is the new one's,
    at infinity. Without groups: the ceil((N + 1) level)-th smallest score.

    Returns:
        None where ``level`` is not reached: fewer than level / (1 - level) groups.

    Example:
        >>> conformal_quantile(np.arange(1.0, 10.0), 0.9), conformal_quantile(np.ones(8), 0.9)
        (9.0, None)
    """
    units = units_of(groups, len(scores))
    held = np.bincount(units.index, minlength=units.count)
    weights = 1 / (held[units.index] * (units.count + 1))
    order = np.argsort(scores, kind="stable")
    reached = np.flatnonzero(np.cumsum(weights[order]) >= level - _ROUNDING)
    return float(scores[order[reached[0]]]) if len(reached) else None


def adaptive_scores(probabilities: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """``(N, K)`` the score of each label in adaptive sets: the share of what is likelier than it,
    and a part of its own.

    Larger sets than those of 1 - p on average, but of a size that follows how hard a clip is.

    Args:
        probabilities: ``(N, K)``.
        draws: ``(N,)`` from 0 to 1, the part of the label's own share that counts.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    scores = np.empty_like(ranked)
    reached = np.cumsum(ranked, axis=1) - ranked + draws[:, None] * ranked
    np.put_along_axis(scores, order, reached, axis=1)
    return scores


def refusal_metrics(
    refusal: Refusal,
    truth: np.ndarray,
    probabilities: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """How sets and answers did on scored samples; for JSON.

    Args:
        refusal: of the model.
        truth: ``(N,)`` int, N > 0.
        probabilities: ``(N, K)`` calibrated.
        groups: of the samples, for the intervals, as are the others.
        draws: of the bootstrap.
        confidence: of the intervals.
        seed: of the draws.
    """
    rows = np.arange(len(truth))
    sets, answers = refusal.sets(probabilities), refusal.answers(probabilities)
    covered = sets[rows, truth]
    right = probabilities.argmax(axis=1) == truth
    share = float(answers.mean())
    intervals = bootstrap(
        np.stack([np.ones(len(truth)), covered, answers, answers & right], axis=1),
        lambda sums: {
            "coverage": sums[:, 1] / sums[:, 0],
            "share_answered": sums[:, 2] / sums[:, 0],
            "accuracy_answered": sums[:, 3] / np.maximum(sums[:, 2], 1),
        },
        units=units_of(groups, len(truth)),
        draws=draws,
        confidence=confidence,
        seed=seed,
    ).to_dict()
    return {
        "fitted_on": refusal.fitted_on,
        "samples": refusal.samples,
        "units": refusal.units,
        "over": refusal.over,
        "error_rate": refusal.alpha,
        "conformal": {
            "alpha": refusal.alpha,
            "quantile": refusal.quantile,
            "coverage": float(covered.mean()),
            "coverage_interval": intervals["coverage"],
            "mean_size": float(sets.sum(axis=1).mean()),
            "single_share": float((sets.sum(axis=1) == 1).mean()),
            "empty_share": float((~refusal._within(probabilities).any(axis=1)).mean()),
        },
        "abstain": {
            "threshold": refusal.threshold,
            "answered_asked": refusal.answered,
            "error_asked": refusal.at_error,
            "share_answered": share,
            "share_answered_interval": intervals["share_answered"],
            "accuracy_answered": float(right[answers].mean()) if share else None,
            "accuracy_answered_interval": intervals["accuracy_answered"] if share else None,
            "accuracy_all": float(right.mean()),
        },
    }


def _by_error(top: np.ndarray, wrong: np.ndarray, units: np.ndarray, rate: float) -> float | None:
    """The lowest threshold on ``top`` that keeps the share of errors above it to a rate."""
    from scipy.special import betaincinv

    order = np.argsort(-top, kind="stable")
    share = np.cumsum(wrong[order]) / np.arange(1, len(top) + 1)
    first = np.zeros(len(top), dtype=bool)
    first[np.unique(units[order], return_index=True)[1]] = True
    seen = np.cumsum(first)  # groups of the clips so far
    # Clopper and Pearson's limit. Clips of one group are wrong together: a group counts once.
    limit = np.where(
        share < 1, betaincinv(share * seen + 1, np.maximum(seen * (1 - share), 1e-9), _SURE), 1
    )
    last = np.append(np.diff(top[order]) != 0, True)  # of equal values
    within = np.flatnonzero(last & (limit <= rate))
    return float(top[order[within[-1]]]) if len(within) else None


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]
