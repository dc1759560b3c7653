"""What training minimises: cross-entropy or focal loss, over one label a clip or several."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from frameflow.config import Train

Loss = Callable[[Tensor, Tensor], Tensor]

EFFECTIVE = 0.999  # beta of the effective number of samples; Cui et al. try 0.9 to 0.9999


def make_loss(settings: Train, targets: np.ndarray, *, multilabel: bool | None = None) -> Loss:
    """The loss that the settings name.

    One label a clip: cross-entropy, or focal loss (Lin et al., "Focal loss for dense object
    detection", 2017), with label smoothing. Several: the same of a sigmoid for each label, the
    mean over labels; smoothing then moves the targets towards a half.

    Args:
        settings: of the loss, smoothing and balance.
        targets: of all training samples, ``(N,)`` classes or ``(N, K)`` with 1 for each label;
            classes are counted in them, for ``balance``.
        multilabel: several labels a clip; None: where the targets are ``(N, K)``.

    Returns:
        from logits ``(B, K)`` and targets, ``(B,)`` int64 or ``(B, K)`` shares, to a scalar.
        Logits ``(B, S, K)`` of S streams that learn on their own give the mean of their losses.
    """
    several = targets.ndim == 2 if multilabel is None else multilabel
    gamma = settings.focal if settings.loss == "focal" else None
    weights = class_weights(settings, targets) if settings.balance in _WEIGHING else None
    smoothing = settings.label_smoothing

    def loss(logits: Tensor, truth: Tensor) -> Tensor:
        if logits.ndim == 3:
            return torch.stack([loss(stream, truth) for stream in logits.unbind(dim=1)]).mean()
        weight = None if weights is None else _padded(weights, logits)
        if several:
            return _sigmoid_loss(logits, truth, weight, smoothing, gamma)
        if gamma is not None:
            return _focal(logits, truth, weight, smoothing, gamma)
        return functional.cross_entropy(logits, truth, weight=weight, label_smoothing=smoothing)

    return loss


_WEIGHING = ("weights", "effective")


def class_weights(settings: Train, targets: np.ndarray) -> np.ndarray:
    """How much each class weighs against unequal numbers of samples.

    ``weights``: in inverse proportion to its samples n, so that each class adds the same.
    ``effective``: in inverse proportion to ``(1 - beta^n) / (1 - beta)``, since one more clip of a
    class that has many brings less that is new (Cui et al., "Class-balanced loss based on
    effective number of samples", 2019).

    Args:
        settings: their ``balance``.
        targets: ``(N,)`` classes, or ``(N, K)`` with 1 for each label.

    Returns:
        ``(K,)``. For one label a clip, weights whose mean over the samples is 1. For several, how
        much having a label weighs against not having it.
    """

    def volume(counts: np.ndarray) -> np.ndarray:
        counts = np.maximum(counts, 1)
        if settings.balance == "effective":
            return (1 - EFFECTIVE**counts) / (1 - EFFECTIVE)
        return counts

    if targets.ndim == 2:
        counts = targets.sum(axis=0, dtype=np.float64)
        return volume(len(targets) - counts) / volume(counts)
    counts = np.bincount(targets)
    if settings.balance == "weights":
        return len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    raw = 1 / volume(counts.astype(np.float64))
    return raw * len(targets) / (raw * counts).sum()


def held_out_loss(logits: Tensor, targets: np.ndarray) -> float:
    """Cross-entropy in nats, without smoothing or weights; of sigmoids where targets are (N, K)."""
    truth = torch.from_numpy(targets)
    if targets.ndim == 2:
        return float(functional.binary_cross_entropy_with_logits(logits, truth.to(logits)))
    return float(functional.cross_entropy(logits, truth))


def right(logits: Tensor, truth: Tensor) -> Tensor:
    """``(B,)`` bool: the likeliest class is the true one, one of them, or the larger part of it.

    Args:
        logits: ``(B, K)``, or ``(B, S, K)``: then the streams' probabilities are averaged.
        truth: ``(B,)`` classes or ``(B, K)`` shares.
    """
    if logits.ndim == 3:
        logits = logits.softmax(dim=2).mean(dim=1)
    best = logits.argmax(dim=1)
    if truth.ndim == 1:
        return best == truth
    share = truth.gather(1, best[:, None])[:, 0]
    return (share > 0) & (share == truth.amax(dim=1))


def _focal(
    logits: Tensor, truth: Tensor, weight: Tensor | None, smoothing: float, gamma: float
) -> Tensor:
    """``sum_k y_k (1 - p_k)^gamma (-log p_k)``; gamma 0 is cross-entropy."""
    shares = _shares(truth, logits)
    smooth = shares * (1 - smoothing) + smoothing / logits.shape[1]
    logs = logits.log_softmax(dim=1)
    terms = -smooth * (1 - logs.exp()).pow(gamma) * logs
    if weight is None:
        return terms.sum(dim=1).mean()
    return (terms @ weight).sum() / (shares @ weight).sum()


def _sigmoid_loss(
    logits: Tensor, truth: Tensor, weight: Tensor | None, smoothing: float, gamma: float | None
) -> Tensor:
    shares = _shares(truth, logits)
    smooth = shares * (1 - smoothing) + smoothing / 2
    terms = functional.binary_cross_entropy_with_logits(
        logits, smooth, pos_weight=weight, reduction="none"
    )
    if gamma is not None:
        terms = (shares - logits.sigmoid()).abs().pow(gamma) * terms
    return terms.mean()


def _shares(truth: Tensor, logits: Tensor) -> Tensor:
    if truth.ndim == 2:
        return truth.to(logits)
    return functional.one_hot(truth, logits.shape[1]).to(logits)


def _padded(weights: np.ndarray, logits: Tensor) -> Tensor:
    """One weight a class; classes after the last that training has weigh 1."""
    weight = logits.new_ones(logits.shape[-1])
    weight[: len(weights)] = torch.from_numpy(weights).to(weight)
    return weight
