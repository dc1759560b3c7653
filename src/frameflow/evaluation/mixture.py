"""How much each member of an ensemble counts, found on samples that none of them learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frameflow.evaluation._words import plural
from frameflow.evaluation.calibration import folds_of, standard_error
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.reliability import sample_losses

_TINY = 1e-12
_ROUNDS = 2000
_STILL = 1e-9  # no weight moves more: done
PRIOR = 10.0  # samples that speak for equal weights, beside those that were scored


@dataclass(frozen=True)
class Weights:
    """What was chosen, and what it was chosen by.

    Attributes:
        weights: of the M members, together 1.
        rule: ``equal`` or ``validation``.
        learnt: the weights found on all samples, whether or not they were taken.
        losses: mean log loss of each member, of the equal mean and of learnt weights, the last
            on folds of groups that they were not found on.
        gain: the loss of the equal mean less that of learnt weights, and ``error`` its standard
            error over groups.
        sentence: the choice and its reason.
        held_out: ``(N, K)`` probabilities of the ensemble, fair to calibrate on.
    """

    weights: tuple[float, ...]
    rule: str
    learnt: tuple[float, ...]
    losses: dict[str, Any]
    gain: float
    error: float
    sentence: str
    held_out: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the probabilities."""
        return {
            "weights": list(self.weights),
            "rule": self.rule,
            "learnt": list(self.learnt),
            "losses": self.losses,
            "gain": self.gain,
            "error": self.error,
            "sentence": self.sentence,
        }


def mix(members: np.ndarray, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """``(N, K)``: the weighted mean of ``(M, N, K)`` probabilities."""
    return np.einsum("m,mnk->nk", np.asarray(weights, dtype=np.float64), members)


def fit_weights(truth: np.ndarray, members: np.ndarray, *, prior: float = PRIOR) -> np.ndarray:
    """The weights under which the samples are likeliest, drawn towards equal ones.

    By expectation and maximisation (Dempster, Laird and Rubin, 1977): a sample is shared out among
    the members as each makes its label likely, and a member's weight is its part of all samples.
    The problem is convex, so the result does not depend on where it begins.

    Args:
        truth: ``(N,)`` class numbers, or ``(N, K)`` 0 and 1 in multi-label.
        members: ``(M, N, K)`` probabilities.
        prior: so many further samples are shared out equally: a Dirichlet prior.

    Returns:
        ``(M,)``, at least 0, together 1.
    """
    said = _of_truth(truth, members)  # (M, N, labels that are asked for)
    count = len(members)
    weights = np.full(count, 1 / count)
    for _ in range(_ROUNDS):
        shares = weights[:, None, None] * said
        shares /= shares.sum(axis=0)
        found = shares.mean(axis=2).sum(axis=1) + prior / count
        found /= found.sum()
        moved, weights = np.abs(found - weights).max(), found
        if moved < _STILL:
            break
    return weights


def choose_weights(
    truth: np.ndarray,
    members: np.ndarray,
    groups: Sequence[str] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> Weights:
    """Equal weights, unless learnt ones are better on folds of groups they were not learnt from.

    Better by more than one standard error over groups: the simpler of two that cannot be told
    apart is taken.

    Args:
        truth: as `fit_weights` takes it.
        members: ``(M, N, K)`` probabilities of samples that no member learnt from.
        groups: of the samples.
        folds: of groups.
        seed: of the folds.
    """
    count, samples = len(members), len(truth)
    equal = np.full(count, 1 / count)
    number = folds_of(groups, samples, folds, seed)
    crossed = np.empty(members.shape[1:])
    for fold in np.unique(number):
        rest = number != fold
        own = fit_weights(truth[rest], members[:, rest]) if rest.any() else equal
        crossed[~rest] = mix(members[:, ~rest], own)
    mean = mix(members, equal)
    gains = sample_losses(truth, mean) - sample_losses(truth, crossed)
    units = units_of(groups, samples)
    gain, error = float(gains.mean()), standard_error(gains, units.index, units.count)
    learnt = fit_weights(truth, members)
    better = units.count > 1 and gain > error
    losses = {
        "members": [float(sample_losses(truth, each).mean()) for each in members],
        "equal": float(sample_losses(truth, mean).mean()),
        "learnt": float(sample_losses(truth, crossed).mean()),
    }
    how = (
        f"learnt weights give a log loss of {losses['learnt']:.3f} on groups they were not learnt "
        f"from, equal ones {losses['equal']:.3f}"
    )
    told = f"a gain of {gain:.3f}, and its standard error is {error:.3f}"
    verdict = (
        f"Weights learnt on {plural(samples, 'sample')}: {how} ({told})."
        if better
        else f"Equal weights: {how}, no more than chance ({told})."
    )
    return Weights(
        weights=tuple(float(w) for w in (learnt if better else equal)),
        rule="validation" if better else "equal",
        learnt=tuple(float(w) for w in learnt),
        losses=losses,
        gain=gain,
        error=error,
        sentence=verdict,
        held_out=crossed if better else mean,
    )


def _of_truth(truth: np.ndarray, members: np.ndarray) -> np.ndarray:
    """``(M, N, L)``: how likely each member makes what is true, of one label or of every label."""
    shares = np.clip(members.astype(np.float64), _TINY, 1 - _TINY)
    if truth.ndim == 1:
        return shares[:, np.arange(len(truth)), truth][:, :, None]
    return np.where(truth > 0, shares, 1 - shares)
