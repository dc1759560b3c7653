"""The optimiser and its learning rate."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from frameflow.config import Train

PLATEAU = 0.1  # factor on the rate when the loss has stopped to fall


def make_optimizer(groups: Sequence[dict[str, Any]], settings: Train) -> torch.optim.Optimizer:
    """The optimiser of the settings over the parameter groups of a `Policy`."""
    match settings.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr)
        case "adam":
            return torch.optim.Adam(groups, lr=settings.lr)
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)


def learning_rate(settings: Train, epoch: float) -> float:
    """The rate at a point of a round, counted in epochs from 0.

    It rises linearly from near 0 over ``warmup_epochs`` (at most half of the round), then stays,
    or falls along half a cosine to 0 (Loshchilov and Hutter, SGDR, 2017, without restarts).
    `plateau_factor` comes on top where the schedule is ``plateau``.

    Example:
        >>> settings = Train(epochs=10, warmup_epochs=2, lr=1.0)
        >>> [round(learning_rate(settings, epoch), 2) for epoch in (0, 1, 2, 6, 10)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    warmup = min(settings.warmup_epochs, settings.epochs / 2)
    if epoch < warmup:
        return settings.lr * epoch / warmup
    if settings.schedule != "cosine":
        return settings.lr
    gone = (epoch - warmup) / (settings.epochs - warmup)
    return settings.lr * (1 + math.cos(math.pi * gone)) / 2


def plateau_factor(losses: Sequence[float], settings: Train) -> float:
    """What the rate is multiplied by after epochs with these losses.

    A tenth for each time that ``settings.plateau`` epochs in a row brought no lower loss. It
    follows from the losses alone, so a resumed training has it too.

    Example:
        >>> plateau_factor([3, 2, 2, 2], Train(schedule="plateau", plateau=2))
        0.1
    """
    if settings.schedule != "plateau":
        return 1.0
    factor, best, waited = 1.0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == settings.plateau:
            factor, waited = factor * PLATEAU, 0
    return factor
