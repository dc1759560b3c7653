"""Convolutions over time."""

from typing import Any, ClassVar

from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import Head, hide, max_over, mean_over


class Conv1dHead(Head):
    """Convolutions over time, then the largest response over time and a linear classifier.

    Hidden frames are zero before each convolution, as the padding at the ends is.

    Args:
        hidden: filters of each layer.
        layers: how many are stacked, 1 to 3.
        kernel: frames one filter sees; odd.
        pool: ``max`` or ``mean`` over time.
        dropout: share of the responses dropped in training, after each layer.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "conv1d"
    paper: ClassVar[str] = "Kim, Convolutional neural networks for sentence classification, 2014"

    def __init__(
        self,
        *,
        hidden: int = 256,
        layers: int = 1,
        kernel: int = 3,
        pool: str = "max",
        dropout: float = 0.2,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self._whole("hidden", hidden)
        self._whole("layers", layers, most=3)
        self._whole("kernel", kernel)
        self._share("dropout", dropout)
        if kernel % 2 == 0:
            raise UsageError(f"kernel ({kernel}) of the {self.name} head must be odd.")
        if pool not in ("max", "mean"):
            raise UsageError(f"pool ({pool!r}) of the {self.name} head must be 'max' or 'mean'.")
        self.pool = max_over if pool == "max" else mean_over
        self.convolutions = nn.ModuleList(
            nn.Conv1d(self.dim if layer == 0 else hidden, hidden, kernel, padding="same")
            for layer in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        for convolution in self.convolutions:
            responses = convolution(features.transpose(1, 2)).relu().transpose(1, 2)
            features = hide(self.dropout(responses), mask)
        return self.classifier(self.pool(features, mask))
