"""A transformer encoder over time."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import Head, hide, mean_over


class Block(nn.Module):
    """Attention between frames and a two-layer network, each normalised before and added."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values, ``(3, B, heads, T, width / heads)``."""
        projected = self.project_in(self.before_attention(x))
        return projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, T)``: how much each frame looks at each, the mean over the heads."""
        query, key, _ = self.project(x)
        return look(query, key, mask).mean(dim=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.project(x)
        attended = F.scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
        x = x + self.dropout(self.project_out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.network(x))


def look(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """Attention weights, ``(B, heads, queries, keys)``; none on keys that the mask hides."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask[:, None, None, :], lowest).softmax(dim=-1)


def rollout(blocks: Iterable[Block], x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Through blocks, with how much of each frame has come to be in each.

    A block adds what it attends to: half of what leaves it counts as what entered (Abnar and
    Zuidema, "Quantifying attention flow in transformers", ACL 2020).

    Returns:
        ``(B, T, width)`` what the last block gives, and ``(B, T, T)`` shares: rows add up to 1.
    """
    stays = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    flow = stays.expand(x.shape[0], -1, -1)
    for block in blocks:
        flow = (block.weights(x, mask) + stays) / 2 @ flow
        x = block(x, mask)
    return x, flow


class SelfAttentionHead(Head):
    """A transformer encoder with sinusoidal positions, the mean over time, a linear classifier.

    Args:
        width: dimensions of the encoder, to which the features are projected.
        layers: how many blocks, 1 to 6.
        heads: attention heads per block; they divide ``width``.
        dropout: share of the units dropped in training.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "self-attention"
    paper: ClassVar[str] = "Vaswani et al., Attention is all you need, NeurIPS 2017"

    def __init__(
        self,
        *,
        width: int = 256,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
        **shape: Any,
    ) -> None:
        super().__init__(**shape)
        self._whole("width", width, least=2)
        self._whole("layers", layers, most=6)
        self._whole("heads", heads)
        self._share("dropout", dropout)
        if width % heads or width % 2:
            raise UsageError(
                f"width ({width}) of the {self.name} head must be even and a multiple of "
                f"heads ({heads})."
            )
        self.width = width
        self.project = nn.Linear(self.dim, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.normalise = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        x = self.dropout(self._placed(features))
        for block in self.blocks:
            x = block(x, mask)
        return self.classifier(self.dropout(mean_over(hide(self.normalise(x), mask), mask)))

    def attend(self, features: Tensor, mask: Tensor) -> Tensor:
        """See `rollout`; the mean over what the classifier averages."""
        _, flow = rollout(self._blocks(), self._placed(features), mask)
        return mean_over(hide(flow, mask), mask)

    def _placed(self, features: Tensor) -> Tensor:
        return self.project(features) + positions(features.shape[1], self.width, features)

    def _blocks(self) -> Iterator[Block]:
        return (cast(Block, block) for block in self.blocks)


def positions(frames: int, width: int, like: Tensor) -> Tensor:
    """``(frames, width)`` sines and cosines of the frame's place at falling frequencies."""
    place = torch.arange(frames, device=like.device, dtype=torch.float32).unsqueeze(1)
    half = torch.arange(0, width, 2, device=like.device, dtype=torch.float32)
    angle = place * torch.exp(half * (-math.log(10000.0) / width))
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(like.dtype)
