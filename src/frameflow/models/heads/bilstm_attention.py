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
    states' own width; hidden frames are neither attended to nor averaged. Either part can be left
    out, to see what it does.

    Args:
        hidden: units of each layer and direction.
        layers: how many are stacked, 1 to 3.
        bidirectional: also read the clip backwards.
        attention: dimensions of queries and keys; 0 for the mean of the states without attention.
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
        bidirectional: bool = True,
        attention: int = 256,
        dropout: float = 0.2,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self._whole("hidden", hidden)
        self._whole("layers", layers, most=3)
        self._flag("bidirectional", bidirectional)
        self._whole("attention", attention, least=0)
        self._share("dropout", dropout)
        self.recurrent = Recurrent(
            "lstm",
            self.dim,
            hidden=hidden,
            layers=layers,
            bidirectional=bidirectional,
            dropout=dropout,
        )
        width = self.recurrent.width
        self.attends = attention > 0
        if self.attends:
            self.query = nn.Linear(width, attention)
            self.key = nn.Linear(width, attention)
            self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        states, front = self._states(features, mask)
        if self.attends:
            states = _sums(self._attention(states, front), self.value(states))
        return self.classifier(self.dropout(mean_over(hide(states, front), front)))

    def attend(self, features: Tensor, mask: Tensor) -> Tensor | None:
        """The mean over all states of how much each looks at a frame's."""
        if not self.attends:
            return None
        states, front = self._states(features, mask)
        weights = mean_over(hide(self._attention(states, front), front), front)
        place = mask.cumsum(dim=1) - 1  # of a visible frame among those moved to the front
        return weights.gather(1, place.clamp(min=0)).masked_fill(~mask, 0.0)

    def _states(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The states of the visible frames, moved to the front, and which places those are."""
        features, count = visible_first(features, mask)
        states, _ = self.recurrent(features, count)
        front = torch.arange(mask.shape[1], device=mask.device) < count.unsqueeze(1)
        return hide(states, front), front

    def _attention(self, states: Tensor, front: Tensor) -> Tensor:
        """``(B, query, key)``: how much each state looks at each other."""
        scores = self.query(states) @ self.key(states).transpose(1, 2)
        scores = scores / math.sqrt(self.key.out_features)
        hidden = ~front.unsqueeze(1)
        return scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1)


def _sums(weights: Tensor, values: Tensor) -> Tensor:
    """``weights @ values``.

    In an export the other way round: OpenVINO 2026.4 joins this product to the one before the
    softmax, and what comes out is something else.
    """
    if torch.onnx.is_in_onnx_export():
        return (values.transpose(1, 2) @ weights.transpose(1, 2)).transpose(1, 2)
    return weights @ values
