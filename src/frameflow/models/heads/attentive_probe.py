"""Attention with one learnt query over tokens: what frozen video models are judged with."""

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import Head
from frameflow.models.heads.self_attention import Block, look, rollout

_USUAL = 64  # channels of an attention head in transformers of all sizes


class CrossAttention(nn.Module):
    """One learnt query looks at all tokens, then a two-layer network; each is added."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.before_attention = nn.LayerNorm(width)
        self.project_query = nn.Linear(width, width)
        self.project_tokens = nn.Linear(width, 2 * width)
        self.network = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """``(B, S, D)`` tokens and ``(B, S)`` mask to ``(B, D)``."""
        asked, key, value = self._project(tokens)
        found = F.scaled_dot_product_attention(asked, key, value, mask[:, None, None, :])
        query = self.query.expand(tokens.shape[0], -1, -1)
        x = query + self.dropout(found.transpose(1, 2).flatten(2))
        return (x + self.dropout(self.network(x))).squeeze(1)

    def weights(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """``(B, S)``: how much the query looks at each token, the mean over the heads."""
        asked, key, _ = self._project(tokens)
        return look(asked, key, mask).mean(dim=1).squeeze(1)

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        known = self.project_tokens(self.before_attention(tokens))
        key, value = known.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = self.query.expand(tokens.shape[0], -1, -1)
        asked = self.project_query(query).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return asked, key, value


class AttentiveProbeHead(Head):
    """Cross-attention of one learnt query over the tokens of a clip, then a linear classifier.

    The features are the tokens of a video model (``pool: tokens``), or those of the frames; they
    are looked at as a set: their places are known only as far as the backbone put them in.

    Args:
        heads: of attention; they divide the length of the features. 0: as many as there are 64
            channels, or the next fewer that divide it.
        depth: 1 for the cross-attention alone; more put blocks of self-attention before it, as
            V-JEPA 2 does with 4.
        dropout: share of the units dropped in training.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "attentive-probe"
    paper: ClassVar[str] = (
        "Bardes et al., Revisiting feature prediction for learning visual representations from "
        "video, TMLR 2024"
    )

    def __init__(
        self, *, heads: int = 0, depth: int = 1, dropout: float = 0.0, **shape: Any
    ) -> None:
        super().__init__(**shape)
        self._whole("heads", heads, least=0)
        self._whole("depth", depth, most=12)
        self._share("dropout", dropout)
        heads = heads or _heads(self.dim)
        if self.dim % heads:
            raise UsageError(
                f"heads ({heads}) of the {self.name} head must divide the length of the features "
                f"({self.dim})."
            )
        blocks = (Block(self.dim, heads, dropout) for _ in range(depth - 1))
        self.blocks = nn.ModuleList(blocks)
        self.attention = CrossAttention(self.dim, heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.dim, self.classes)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features, mask)
        return self.classifier(self.dropout(self.attention(features, mask)))

    def attend(self, features: Tensor, mask: Tensor) -> Tensor:
        """How much the query looks at each token, and through the blocks at those before them."""
        tokens, flow = rollout(self._blocks(), features, mask)
        return (self.attention.weights(tokens, mask).unsqueeze(1) @ flow).squeeze(1)

    def _blocks(self) -> Iterator[Block]:
        return (cast(Block, block) for block in self.blocks)


def _heads(dim: int) -> int:
    most = max(1, dim // _USUAL)
    return next(heads for heads in range(most, 0, -1) if dim % heads == 0)
