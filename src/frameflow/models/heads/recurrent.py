"""Recurrent layers that skip hidden frames, shared by the recurrent heads."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
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
        hidden: int | Sequence[int],
        layers: int = 1,
        bidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.ways = 2 if bidirectional else 1
        units = [hidden] * layers if isinstance(hidden, int) else list(hidden)
        self.width = units[-1] * self.ways
        self.dropout = nn.Dropout(dropout)
        cell = _CELLS[kind]
        before = [dim, *(own * self.ways for own in units)]
        self.cells = nn.ModuleList(
            cell(width, own, batch_first=True)
            for width, own in zip(before, units)
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
            final = take(forward, last)[:, 0]
            if self.ways == 1:
                states = forward
                continue
            backward = self.cells[start + 1](take(states, reverse))[0]
            final = torch.cat([final, take(backward, last)[:, 0]], dim=-1)
            states = torch.cat([forward, take(backward, reverse)], dim=-1)
        return states, final


class RecurrentHead(Head):
    """Recurrent layers over time, then a classifier on the final state.

    Hidden frames are skipped: the state is carried over them.

    Args:
        hidden: units of each layer and direction; a list gives each layer its own.
        layers: how many are stacked, 1 to 3.
        bidirectional: also read the clip backwards.
        dense: units of a layer between the final state and the classifier; 0 for none.
        dropout: share of the units dropped in training, between layers and after the last.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    cell: ClassVar[str]

    def __init__(
        self,
        *,
        hidden: int | Sequence[int] = 256,
        layers: int = 1,
        bidirectional: bool = False,
        dense: int = 0,
        dropout: float = 0.2,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self._flag("bidirectional", bidirectional)
        self._whole("dense", dense, least=0)
        self._share("dropout", dropout)
        self.recurrent = Recurrent(
            self.cell,
            self.dim,
            hidden=self._units(hidden, layers),
            bidirectional=bidirectional,
            dropout=dropout,
        )
        self.dropout = nn.Dropout(dropout)
        width = self.recurrent.width
        self.dense = nn.Sequential(*[nn.Linear(width, dense), nn.ReLU()] if dense else [])
        self.classifier = nn.Linear(dense or width, self.classes)

    def _units(self, hidden: int | Sequence[int], layers: int) -> list[int]:
        """The units of each layer."""
        self._whole("layers", layers, most=3)
        if not isinstance(hidden, list | tuple):
            self._whole("hidden", hidden)
            return [hidden] * layers  # type: ignore[list-item]
        if not 1 <= len(hidden) <= 3 or layers not in (1, len(hidden)):
            raise UsageError(
                f"hidden ({list(hidden)!r}) of the {self.name} head must be a whole number, or a "
                f"list of 1 to 3, one for each layer (layers: {layers})."
            )
        for units in hidden:
            self._whole("hidden", units)
        return list(hidden)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        _, final = self.recurrent(*visible_first(features, mask))
        return self.classifier(self.dense(self.dropout(final)))
