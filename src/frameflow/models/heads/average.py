"""A classifier per frame whose probabilities are averaged."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from frameflow.models.heads.base import Head, logsumexp, zeroed


class AverageHead(Head):
    """Classify each frame on its own, then average the probabilities over time.

    The logits are the logarithms of the averaged probabilities, so their softmax is the average;
    where the labels are independent, the log odds, so their sigmoid is.

    Args:
        hidden: units of a hidden layer before the classifier; 0 for none.
        dropout: share of the classifier's inputs that is dropped in training.
        independent: several labels may hold at once, so probabilities are those of a sigmoid.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "average"
    paper: ClassVar[str] = "Simonyan and Zisserman, Two-stream convolutional networks, NeurIPS 2014"

    def __init__(
        self, *, hidden: int = 0, dropout: float = 0.2, independent: bool = False, **shape: Any
    ) -> None:
        super().__init__(**shape)
        self._whole("hidden", hidden, least=0)
        self._share("dropout", dropout)
        self._flag("independent", independent)
        self.independent = independent
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Linear(self.dim, hidden), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        # One choice of dropped features for all frames of a clip (Gal and Ghahramani, 2016).
        self.dropout = nn.Dropout1d(dropout)
        self.classifier = zeroed(nn.Linear(hidden or self.dim, self.classes))

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        hidden = self.dropout(self.hidden(features).transpose(1, 2)).transpose(1, 2)
        scores = self.classifier(hidden)
        if self.independent:
            return _over_time(logsigmoid(scores), mask) - _over_time(logsigmoid(-scores), mask)
        scores = _over_time(scores.log_softmax(dim=-1), mask)
        count = mask.sum(dim=1, keepdim=True).to(scores.dtype)  # ONNX knows no log of integers
        return scores - count.log()


def _over_time(scores: Tensor, mask: Tensor) -> Tensor:
    """``(B, T, K)`` logarithms to the ``(B, K)`` logarithm of their sum over what is seen."""
    lowest = torch.finfo(scores.dtype).min / 2
    return logsumexp(scores.masked_fill(~mask.unsqueeze(-1), lowest), dim=1)
