"""A multilayer perceptron over the frames' features laid end to end."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import Head


class MlpConcatHead(Head):
    """Dense layers over all frames' features laid end to end: each place in time has its weights.

    Args:
        hidden: units of the hidden layers.
        dropout: share of each hidden layer's units that is dropped in training.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "mlp-concat"
    paper: ClassVar[str] = "Karpathy et al., Large-scale video classification (early fusion), 2014"
    any_length: ClassVar[bool] = False

    def __init__(
        self, *, hidden: Sequence[int] = (256, 512, 256), dropout: float = 0.2, **shape: Any
    ) -> None:
        super().__init__(**shape)
        self._share("dropout", dropout)
        if not isinstance(hidden, list | tuple):
            raise UsageError(
                f"hidden ({hidden!r}) of the {self.name} head must be a list of units, "
                f"for instance [256, 512, 256]."
            )
        layers: list[nn.Module] = []
        width = self.frames * self.dim
        for units in hidden:
            self._whole("hidden", units)
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.hidden = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        return self.classifier(self.hidden(features.flatten(1)))
