"""The learning-rate range test: which rates make the loss fall, before it bursts."""

import copy
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from torch import nn

from frameflow.config import Train
from frameflow.errors import UsageError
from frameflow.models.backbones import Backbone
from frameflow.progress import progress
from frameflow.training._device import memory_told
from frameflow.training._learner import Learner
from frameflow.training._random import reproducible
from frameflow.training.examples import Batch, Examples
from frameflow.training.loader import load
from frameflow.training.loop import batches
from frameflow.training.losses import Loss, make_loss

BURST = 3.0  # times the lowest loss: no higher rate is worth a look
_MEMORY = 0.9  # of the running mean of the loss
_ROWS = 13  # of the printed table


@dataclass(frozen=True)
class LrRange:
    """What each rate did to the loss.

    Attributes:
        rates: of the updates, rising.
        losses: the running mean of the loss before each of them.
        suggestion: the rate at which the loss fell fastest, in losses a decade; None where it
            did not fall.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    suggestion: float | None

    def __str__(self) -> str:
        shown = np.unique(np.linspace(0, len(self.rates) - 1, _ROWS).round().astype(int))
        lines = [f"{'lr':>9}  loss"]
        lines += [f"{self.rates[row]:9.2g}  {self.losses[row]:.3f}" for row in shown]
        if self.suggestion is None:
            lines.append("The loss did not fall at any rate: is there anything to learn?")
        else:
            lines.append(
                f"It falls fastest at {self.suggestion:.2g}: --set train.lr={self.suggestion:.2g}"
            )
        return "\n".join(lines)


def lr_range(
    module: nn.Module,
    training: Examples,
    settings: Train,
    *,
    loss: Loss | None = None,
    backbones: Sequence[Backbone] = (),
    updates: int = 100,
    lowest: float = 1e-6,
    highest: float = 1.0,
) -> LrRange:
    """Train for a moment while the rate rises evenly in its logarithm, and look at the loss.

    After Smith, "Cyclical learning rates for training neural networks", 2017. The module is given
    back as it was, on the CPU. Parts that learn from a later epoch are still.

    Args:
        module: what would be trained.
        training: what it would learn.
        settings: the recipe's ``train``; its ``lr`` and schedule are left out.
        loss: as for `fit`.
        backbones: as for `fit`.
        updates: how many rates are tried.
        lowest: the first rate.
        highest: the last, unless the loss grows to three times its lowest before.

    Raises:
        UsageError: nothing to train on, or a range that is none.
    """
    if not len(training):
        raise UsageError("There is no training sample left to learn from.")
    if updates < 10 or not 0 < lowest < highest:
        raise UsageError(
            f"The range test needs 10 updates or more ({updates}) and rates that rise from above "
            f"0 ({lowest:g} to {highest:g})."
        )
    before = copy.deepcopy(module.state_dict())
    loss = loss or make_loss(settings, training.targets)
    rates: list[float] = []
    losses: list[float] = []
    with reproducible(settings.seed), memory_told(settings):
        learner = Learner(module, settings, loss, backbones=backbones)
        learner.policy.start(0)
        learner.module.train()
        stream = _endless(training, settings)
        with closing(stream), progress("Rates", total=updates, unit="updates") as advance:
            mean = 0.0
            for update, lr in enumerate(np.geomspace(lowest, highest, updates).tolist()):
                cost = _update(learner, stream, lr)
                mean = _MEMORY * mean + (1 - _MEMORY) * cost
                smooth = mean / (1 - _MEMORY ** (update + 1))
                if not math.isfinite(smooth) or (losses and smooth > BURST * min(losses)):
                    break
                rates.append(lr)
                losses.append(smooth)
                advance()
    module.cpu().load_state_dict(before)
    return LrRange(rates, losses, steepest(rates, losses))


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate where the loss falls most a decade; None where it never does.

    Slopes are taken over an eighth of the range, lest chance decides.

    Example:
        >>> steepest([0.001, 0.01, 0.1, 1.0], [2.0, 1.9, 1.0, 3.0])
        0.0316...
    """
    span = max(1, len(rates) // 8)
    if len(rates) <= span:
        return None
    logs, values = np.log10(rates), np.asarray(losses)
    slopes = (values[span:] - values[:-span]) / (logs[span:] - logs[:-span])
    best = int(slopes.argmin())
    return float(10 ** ((logs[best] + logs[best + span]) / 2)) if slopes[best] < 0 else None


def _update(learner: Learner, stream: Iterator[tuple[np.ndarray, Batch]], lr: float) -> float:
    """One update; its mean loss."""
    count = learner.settings.accumulate
    costs = [float(learner.learn(next(stream)[1], lr=lr, share=1 / count)[0]) for _ in range(count)]
    if all(map(math.isfinite, costs)):
        learner.update()
    return sum(costs) / count


def _endless(
    training: Examples, settings: Train
) -> Generator[tuple[np.ndarray, Batch], None, None]:
    """Epoch after epoch."""
    rng = np.random.default_rng(settings.seed)
    workers = getattr(training, "workers", 0)
    while True:
        order = list(batches(training.targets, settings, rng))
        yield from load(training, order, rng, workers=workers)
