"""A moving average of the weights, which is what is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of a module's parameters and statistics.

    The decay starts low, ``(1 + n) / (10 + n)`` after n updates, so that a short training is not
    held at where it began (Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992, and the schedule that TensorFlow made common).

    Args:
        module: being trained.
        decay: 0.999 averages over about a thousand updates.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.updates = 0
        self.values = {name: t.detach().clone() for name, t in self._tensors()}

    @torch.no_grad()
    def update(self) -> None:
        """After an update of the weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        # What does not learn yet is equal to its average.
        moving = [
            (name, tensor)
            for name, tensor in self._tensors()
            if tensor.requires_grad or not isinstance(tensor, nn.Parameter)
        ]
        torch._foreach_lerp_(
            [self.values[name] for name, _ in moving], [now for _, now in moving], 1 - decay
        )

    @torch.no_grad()
    def restart(self) -> None:
        """Begin again from the module's weights."""
        self.updates = 0
        for name, tensor in self._tensors():
            self.values[name].copy_(tensor)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor], updates: int) -> None:
        """Put back what a checkpoint holds of ``values`` and ``updates``."""
        self.updates = updates
        for name, value in self.values.items():
            value.copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module holds the average while the block runs."""
        own = {name: tensor.detach().clone() for name, tensor in self._tensors()}
        self._fill(self.values)
        try:
            yield
        finally:
            self._fill(own)

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor]) -> None:
        for name, tensor in self._tensors():
            tensor.copy_(values[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.module.named_parameters()
        for name, buffer in self.module.named_buffers():
            if buffer.is_floating_point():
                yield name, buffer
