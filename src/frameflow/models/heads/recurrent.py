"""Recurrent layers that skip hidden frames, shared by the recurrent heads."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from frameflow.models.heads.base import Head, take, visible_first

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Recurrent(nn.Module):
    """Stacked recurrent layers over clips whose frames all lie at the front.

    Each direction is a recurrent layer of its own; the backward one reads the visible frames in
    reverse, so padding at the end is reached after all that counts::

        forward    a b c - -
        backward   c b a - -

    Nothing depends on the data's lengths in Python, so the layers can be exported.
    """

    def __init__(
        self,
        kind: str,
        dim: int,
        *,
        hidden: int,
        layers: int,
        bidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.ways = 2 if bidirectional else 1
        self.width = hidden * self.ways
        self.dropout = nn.Dropout(dropout)
        cell = _CELLS[kind]
        self.cells = nn.ModuleList(
            cell(dim if layer == 0 else self.width, hidden, batch_first=True)
            for layer in range(layers)
            for _ in range(self.ways)
        )

    def forward(self, features: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Run the layers.

        Args:
            features: ``(B, T, D)``, the visible frames at the front.
            count: ``(B,)`` how many are visible, at least 1.

        Returns:
            ``(B, T, width)`` the last layer's states, of meaning for visible frames only, and
            ``(B, width)`` its final ones: after the last frame forwards, the first backwards.
        """
        position = torch.arange(features.shape[1], device=features.device)
        last = count.unsqueeze(1) - 1
        # Past the last visible frame any index will do: it is read after all that counts.
        reverse = (last - position).clamp(min=0)
        states = features
        final = features
        for start in range(0, len(self.cells), self.ways):
            if start > 0:
                states = self.dropout(states)
            forward = self.cells[start](states)[0]
            final = take(forward, last).squeeze(1)
            if self.ways == 1:
                states = forward
                continue
            backward = self.cells[start + 1](take(states, reverse))[0]
            final = torch.cat([final, take(backward, last).squeeze(1)], dim=-1)
            states = torch.cat([forward, take(backward, reverse)], dim=-1)
        return states, final


class RecurrentHead(Head):
    """Recurrent layers over time, then a classifier on the final state.

    Hidden frames are skipped: the state is carried over them.

    Args:
        hidden: units of each layer and direction.
        layers: how many are stacked, 1 to 3.
        bidirectional: also read the clip backwards.
        dropout: share of the units dropped in training, between layers and before the classifier.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    cell: ClassVar[str]

    def __init__(
        self,
        *,
        hidden: int = 256,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.2,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self._whole("hidden", hidden)
        self._whole("layers", layers, most=3)
        self._flag("bidirectional", bidirectional)
        self._share("dropout", dropout)
        self.recurrent = Recurrent(
            self.cell,
            self.dim,
            hidden=hidden,
            layers=layers,
            bidirectional=bidirectional,
            dropout=dropout,
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.recurrent.width, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        _, final = self.recurrent(*visible_first(features, mask))
        return self.classifier(self.dropout(final))
