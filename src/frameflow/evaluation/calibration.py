"""Probabilities that mean what they say: of what is said with 0.8, eight in ten are right.

A `Calibration` is fitted on predictions of clips that taught nothing, and is kept beside the
model. Temperature scaling: Guo et al., "On calibration of modern neural networks", ICML 2017.
Vector scaling, with a ridge towards one temperature: the same, and Kull et al., "Beyond
temperature scaling", NeurIPS 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from frameflow.errors import UsageError
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.reliability import SMALLEST, sample_losses

Method = Literal["none", "temperature", "vector"]
Choice = Literal["auto", "none", "temperature", "vector"]

FEW = 20  # samples: below this nothing is fitted
_RANGE = (0.05, 20.0)  # of a scale: a temperature from 20 to 0.05
# Ridge, in nats: towards a scale of 1, and of classes towards one another, as a normal prior of
# deviation 1 and 0.5. Thousands of samples overrule it; twenty that are all right do not become
# certainty.
_COMMON, _APART = 1.0, 4.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns the probabilities of a model into calibrated ones: softmax(scale * log p + bias).

    With ``multilabel`` each label is on its own: sigmoid(scale * logit p + bias).

    Attributes:
        method: ``temperature``: all scales are 1 / temperature, no bias. ``vector``: each class
            has its own. ``none``: probabilities stay as they are.
        scale: K factors, > 0.
        bias: K terms.
        fitted_on: which predictions, in words.
        samples: how many of them.
        reason: why the method is none, or an empty string.
        multilabel: each label has a probability of its own.
    """

    method: Method
    scale: tuple[float, ...]
    bias: tuple[float, ...]
    fitted_on: str = ""
    samples: int = 0
    reason: str = ""
    multilabel: bool = False

    @classmethod
    def identity(cls, classes: int, *, reason: str = "", multilabel: bool = False) -> "Calibration":
        """The one that changes nothing."""
        scale, bias = (1.0,) * classes, (0.0,) * classes
        return cls("none", scale, bias, reason=reason, multilabel=multilabel)

    @property
    def temperature(self) -> float | None:
        """Above 1 where the model was too sure; None for other methods."""
        return 1 / self.scale[0] if self.method == "temperature" else None

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """``(N, K)`` probabilities of the model to calibrated ones, in the type they came in.

        Temperature scaling keeps their order.

        Raises:
            UsageError: K is another than the calibration was fitted for.

        Example:
            >>> sharper = Calibration("temperature", (2.0, 2.0), (0.0, 0.0))
            >>> sharper.apply(np.array([[0.75, 0.25]])).round(2)
            array([[0.9, 0.1]])
        """
        if probabilities.shape[-1] != len(self.scale):
            raise UsageError(
                f"probabilities of {probabilities.shape[-1]} classes, and a calibration for "
                f"{len(self.scale)}: take the one that was saved with the model."
            )
        if self.method == "none":
            return probabilities
        scores = _scores(probabilities, self.multilabel) * self.scale + self.bias
        found = _sigmoid(scores) if self.multilabel else _softmax(scores)
        return found.astype(probabilities.dtype, copy=False)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON; `from_dict` is the inverse."""
        return {
            "method": self.method,
            "temperature": self.temperature,
            "scale": list(self.scale),
            "bias": list(self.bias),
            "fitted_on": self.fitted_on,
            "samples": self.samples,
            "reason": self.reason,
            "multilabel": self.multilabel,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Calibration":
        """What `to_dict` made.

        Raises:
            UsageError: it is damaged.
        """
        try:
            found = cls(
                saved["method"],
                tuple(float(value) for value in saved["scale"]),
                tuple(float(value) for value in saved["bias"]),
                fitted_on=str(saved["fitted_on"]),
                samples=int(saved["samples"]),
                reason=str(saved["reason"]),
                multilabel=bool(saved["multilabel"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"The calibration saved with the model is damaged: {error}.") from None
        values = np.array([found.scale, found.bias]) if found._whole else np.array([[np.nan]])
        if not np.isfinite(values).all() or (values[0] <= 0).any():
            raise UsageError(
                "The calibration saved with the model is damaged: it needs a method, and a "
                "positive scale and a bias for each class. Copy the run folder again."
            )
        return found

    @property
    def _whole(self) -> bool:
        same = len(self.scale) == len(self.bias) > 0
        return self.method in get_args(Method) and same


def fit_calibration(
    truth: np.ndarray,
    probabilities: np.ndarray,
    method: Choice = "auto",
    groups: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = 0,
    fitted_on: str = "",
) -> Calibration:
    """Fit a calibration by the least log loss.

    ``auto`` compares none, temperature and vector by the log loss of folds of groups that were
    not fitted to, and takes the simplest that is within one standard error (over groups) of the
    best: Breiman et al., *Classification and Regression Trees*, 1984, section 3.4.3.

    Args:
        truth: ``(N,)`` int, the class of each sample; or ``(N, K)`` bool, the labels it has.
        probabilities: ``(N, K)`` of the model, on samples that taught it nothing.
        method: which, or ``auto``.
        groups: of the samples, as in `frameflow.evaluation.intervals.units_of`.
        folds: of groups, for ``auto``; as many as there are groups where those are fewer.
        seed: of the folds.
        fitted_on: which predictions these are, in words, to be kept with it.

    Returns:
        Never one of a greater log loss on these samples than the probabilities had. ``none``, with
        the reason, where there are fewer than 20 samples or fewer than two groups.

    Example:
        >>> said = np.tile([0.9, 0.1], (100, 1))  # too sure: three in ten are wrong
        >>> truth = (np.arange(100) % 10 < 3).astype(int)
        >>> fit_calibration(truth, said, "temperature").apply(said[:1]).round(1)
        array([[0.7, 0.3]])
    """
    several, classes = truth.ndim == 2, probabilities.shape[1]
    units = units_of(groups, len(truth))
    reason = ""
    if method == "none":
        reason = "The recipe asks for none."
    elif len(truth) < FEW:
        reason = f"{len(truth)} samples are too few to fit to (at least {FEW})."
    elif units.count < 2:
        reason = "All samples are of one group, so nothing shows that a fit carries over to others."
    if reason:
        found = Calibration.identity(classes, reason=reason, multilabel=several)
        return replace(found, fitted_on=fitted_on, samples=len(truth))
    chosen: Method = (
        _choose(truth, probabilities, groups, folds, seed) if method == "auto" else method
    )
    scale, bias = _fit(chosen, truth, probabilities)
    if chosen == "none":
        reason = "Neither temperature nor vector scaling is clearly better on folds not fitted to."
    return Calibration(
        chosen,
        tuple(scale.tolist()),
        tuple(bias.tolist()),
        fitted_on=fitted_on,
        samples=len(truth),
        reason=reason,
        multilabel=several,
    )


def cross_fitted(
    truth: np.ndarray,
    probabilities: np.ndarray,
    method: Method,
    groups: Sequence[str] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """``(N, K)`` calibrated probabilities, those of each fold by a fit to the other folds.

    What is reported of held-out samples, or decided on them, is to rest on these.

    The arguments are those of `fit_calibration`.
    """
    if method == "none":
        return probabilities
    found = np.empty_like(probabilities)
    number = folds_of(groups, len(truth), folds, seed)
    blank = Calibration.identity(probabilities.shape[1], multilabel=truth.ndim == 2)
    for fold in np.unique(number):
        rest, held = number != fold, number == fold
        scale, bias = _fit(method, truth[rest], probabilities[rest])
        fitted = replace(blank, method=method, scale=tuple(scale), bias=tuple(bias))
        found[held] = fitted.apply(probabilities[held])
    return found


def folds_of(groups: Sequence[str] | None, samples: int, folds: int, seed: int = 0) -> np.ndarray:
    """``(N,)`` the fold of each sample: whole groups, folds of about equal size."""
    units = units_of(groups, samples)
    sizes = np.bincount(units.index, minlength=units.count)
    order = np.random.default_rng(seed).permutation(units.count)
    order = order[np.argsort(-sizes[order], kind="stable")]
    held = np.zeros(max(1, min(folds, units.count)), dtype=np.int64)
    fold_of = np.empty(units.count, dtype=np.int64)
    for unit in order:
        fold_of[unit] = held.argmin()
        held[fold_of[unit]] += sizes[unit]
    return fold_of[units.index]


def _choose(
    truth: np.ndarray,
    probabilities: np.ndarray,
    groups: Sequence[str] | None,
    folds: int,
    seed: int,
) -> Method:
    methods: tuple[Method, ...] = get_args(Method)  # the simplest first
    losses = [
        sample_losses(truth, cross_fitted(truth, probabilities, each, groups, folds, seed))
        for each in methods
    ]
    best = min(losses, key=lambda loss: float(loss.mean()))
    units = units_of(groups, len(truth))
    for method, loss in zip(methods, losses):
        worse = loss - best
        if worse.mean() <= standard_error(worse, units.index, units.count):
            return method
    raise AssertionError("the best is no worse than itself")


def standard_error(values: np.ndarray, index: np.ndarray, units: int) -> float:
    """Of a mean over samples, where those of one unit go together."""
    sums = np.bincount(index, values - values.mean(), minlength=units)
    return float(np.sqrt((sums**2).sum() * units / max(1, units - 1)) / len(values))


def _fit(
    method: Method, truth: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``(K,)`` scale and ``(K,)`` bias of the least log loss plus ridge: a convex problem."""
    from scipy.optimize import minimize

    classes = probabilities.shape[1]
    one, zero = np.ones(classes), np.zeros(classes)
    if method == "none":
        return one, zero
    scores = _scores(probabilities, truth.ndim == 2)

    def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (
            (values[0] * one, zero)
            if method == "temperature"
            else (values[:classes], values[classes:])
        )

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale, bias = parts(values)
        loss, by_scale, by_bias = _loss(truth, scores, scale, bias)
        common, apart = scale.mean() - 1, scale - scale.mean()
        loss += 0.5 * (_COMMON * common**2 + _APART * ((apart**2).sum() + (bias**2).sum()))
        by_scale = by_scale + _COMMON * common / classes + _APART * apart
        by_bias = by_bias + _APART * bias
        if method == "temperature":
            return loss, np.array([by_scale.sum()])
        return loss, np.concatenate([by_scale, by_bias])

    start = one[:1] if method == "temperature" else np.concatenate([one, zero])
    bounds = [_RANGE] * (1 if method == "temperature" else classes)
    bounds += [(None, None)] * (len(start) - len(bounds))  # type: ignore[list-item]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return parts(found.x)


def _loss(
    truth: np.ndarray, scores: np.ndarray, scale: np.ndarray, bias: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The summed log loss of ``scale * scores + bias``, and its ``(K,)`` gradients."""
    shifted = scores * scale + bias
    if truth.ndim == 2:
        loss = float((np.logaddexp(0, shifted) - truth * shifted).sum())
        slope = _sigmoid(shifted) - truth
    else:
        rows = np.arange(len(truth))
        slope = _softmax(shifted)
        top = shifted.max(axis=1)
        total = top + np.log(np.exp(shifted - top[:, None]).sum(axis=1))
        loss = float((total - shifted[rows, truth]).sum())
        slope[rows, truth] -= 1
    return loss, (slope * scores).sum(axis=0), slope.sum(axis=0)


def _scores(probabilities: np.ndarray, several: bool) -> np.ndarray:
    """``(N, K)`` log p, or logit p where each label has a probability of its own."""
    shares = np.clip(probabilities.astype(np.float64), SMALLEST, 1 - SMALLEST * several)
    return np.log(shares) - (np.log1p(-shares) if several else 0)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _sigmoid(scores: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * scores))
