"""A module, and all that moves its weights: the loop says with what and when."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError
from frameflow.models.backbones import Backbone
from frameflow.training._average import Average
from frameflow.training._device import Precision, arrange, compiling, training_device
from frameflow.training._team import team
from frameflow.training.distill import Distilled
from frameflow.training.examples import Batch
from frameflow.training.losses import Loss, right
from frameflow.training.optimizer import make_optimizer
from frameflow.training.policy import Policy


class Learner:
    """Takes a module to its device and learns from batches.

    Args:
        module: called with the inputs and the mask of a batch, gives logits.
        settings: the recipe's ``train``.
        loss: of logits and targets.
        backbones: those in the module to which ``settings.learn`` applies.

    Attributes:
        policy: which parameters learn.
        optimizer: of all that will ever learn.
        average: of the weights, where the settings ask for it.
        precision: that of the settings where backbones learn; heads are too small to gain.
    """

    def __init__(
        self,
        module: nn.Module,
        settings: Train,
        loss: Loss,
        *,
        backbones: Sequence[Backbone] = (),
    ) -> None:
        self.module, self.settings, self.loss = module, settings, loss
        self.team = team()
        self.device = training_device()
        self.policy = Policy(module, backbones, settings)
        wanted = settings.precision if self.policy.backbones_learn else "float32"
        self.precision = Precision(wanted, self.device, module)
        module.to(self.device)
        if self.policy.backbones_learn:
            arrange(module, torch.channels_last)
        self.optimizer = make_optimizer(self.policy.groups, settings)
        self.optimizer.zero_grad()
        self.average = Average(module, settings.ema) if settings.ema else None
        # Validation and checkpoints use the module itself, under its own names.
        self._forward = torch.compile(module) if settings.compile else module

    def learn(
        self, batch: Batch, *, lr: float, share: float = 1.0, count: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of a batch.

        Args:
            batch: what to learn from; of several processes, the part of this one.
            lr: the learning rate of the update that follows; groups scale it.
            share: of the samples of that update, which may take several batches.
            count: samples of the whole batch, where several processes have parts of it.

        Returns:
            the loss and how many were right, of the whole batch, scalars on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["scale"]
        inputs, mask, targets, taught = batch.on(self.device)
        with compiling(self.settings), self.precision.autocast():
            logits = self._forward(inputs, mask)
        logits = logits.float()
        if count is not None:
            logits, targets = self.team.join(logits, count), self.team.join(targets, count)
        if isinstance(self.loss, Distilled) and taught is not None:
            taught = taught if count is None else self.team.join(taught, count)
            cost, logits = self.loss.of(logits, targets, taught)
        else:
            cost = self.loss(logits, targets)
        self.precision.scaler.scale(cost if share == 1.0 else cost * share).backward()
        return cost.detach(), right(logits.detach(), targets).sum()

    def update(self) -> None:
        """Move the weights by the gradients that were added up, and forget these."""
        scaler = self.precision.scaler
        self.team.add_gradients(self.module.parameters())
        self.team.mean_statistics(self.module)
        if self.settings.clip_grad is not None:
            scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_grad)
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update()

    def kept(self) -> AbstractContextManager[None]:
        """While the block runs the module holds the weights that are kept: the average's."""
        return nullcontext() if self.average is None else self.average.applied()

    def restart(self, weights: dict[str, Tensor]) -> None:
        """Go on from these weights, with no memory of past gradients."""
        self.module.load_state_dict(weights)
        self.optimizer.state.clear()
        if self.average is not None:
            self.average.restart()

    def is_whole(self) -> bool:
        """Whether all that learns is still finite numbers."""
        learning = (p for group in self.optimizer.param_groups for p in group["params"])
        return all(bool(torch.isfinite(parameter).all()) for parameter in learning)


def diverged(said: str, settings: Train) -> FrameFlowError:
    """The error of a training that has left the numbers."""
    clip = "" if settings.clip_grad else " or clip the gradients (--set train.clip_grad=1)"
    return FrameFlowError(
        f"{said}: the training diverged. "
        f"Lower the learning rate (--set train.lr={settings.lr / 10:g}){clip}."
    )
