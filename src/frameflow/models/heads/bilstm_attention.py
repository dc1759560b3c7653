"""Dot-product attention over the states of a bidirectional LSTM."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from frameflow.models.heads.base import Head, hide, mean_over, visible_first
from frameflow.models.heads.recurrent import Recurrent


class BilstmAttentionHead(Head):
    """A bidirectional LSTM, dot-product attention between its states, the mean over time.

    Queries and keys are projections of the states to ``attention`` dimensions, values to the
    states' own width; hidden frames are neither attended to nor averaged.

    Args:
        hidden: units of each layer and direction.
        layers: how many are stacked, 1 to 3.
        attention: dimensions of queries and keys.
        dropout: share of the units dropped in training, between layers and before the classifier.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "bilstm-attention"
    paper: ClassVar[str] = "Luong et al., Effective approaches to attention-based NMT, EMNLP 2015"

    def __init__(
        self,
        *,
        hidden: int = 256,
        layers: int = 1,
        attention: int = 256,
        dropout: float = 0.2,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self._whole("hidden", hidden)
        self._whole("layers", layers, most=3)
        self._whole("attention", attention)
        self._share("dropout", dropout)
        self.recurrent = Recurrent(
            "lstm", self.dim, hidden=hidden, layers=layers, bidirectional=True, dropout=dropout
        )
        width = self.recurrent.width
        self.query = nn.Linear(width, attention)
        self.key = nn.Linear(width, attention)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        states, attention, front = self._look(features, mask)
        context = attention @ self.value(states)
        return self.classifier(self.dropout(mean_over(hide(context, front), front)))

    def attend(self, features: Tensor, mask: Tensor) -> Tensor:
        """The mean over all states of how much each looks at a frame's."""
        _, attention, front = self._look(features, mask)
        weights = mean_over(hide(attention, front), front)
        place = mask.cumsum(dim=1) - 1  # of a visible frame among those moved to the front
        return weights.gather(1, place.clamp(min=0)).masked_fill(~mask, 0.0)

    def _look(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States, attention (B, query, key) between them, and which are of visible frames."""
        features, count = visible_first(features, mask)
        states, _ = self.recurrent(features, count)
        front = torch.arange(mask.shape[1], device=mask.device) < count.unsqueeze(1)
        states = hide(states, front)
        scores = self.query(states) @ self.key(states).transpose(1, 2)
        scores = scores / math.sqrt(self.key.out_features)
        hidden = ~front.unsqueeze(1)
        attention = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1)
        return states, attention, front
