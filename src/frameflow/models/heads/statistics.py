"""Statistics of the features over time, then a linear classifier."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import (
    Head,
    Standardise,
    StandardiseBlocks,
    hide,
    max_over,
    visible_first,
    zeroed,
)


class StatisticsHead(Head):
    """What each feature does over time, in a few numbers, then a linear classifier.

    Mean, maximum, standard deviation, mean absolute change from a frame to the next, and the
    means of equal parts of the clip, which tell the order apart. Strong on few clips: nothing
    but the linear classifier is learnt. The S statistics are standardised and divided by the
    square root of S, so that one learning rate serves any number of them.

    Args:
        segments: parts of the clip whose means are taken; 0 for none.
        spread: take maximum, deviation and change too, not the means alone.
        blocks: three weights, of the mean, of the parts' means and of the change: these are the
            statistics then, and each is brought to one size over all its numbers, stream by
            stream, instead of number by number. None: `spread` says which there are.
        dropout: share of the statistics that is dropped in training.
        dims: the length of each stream's features, for ``blocks``; one stream where None.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise`` (of the statistics), ``centre``
            (of the parts' means only: they are taken from the mean of the whole clip).
    """

    name: ClassVar[str] = "statistics"
    summarises: ClassVar[bool] = True
    paper: ClassVar[str] = "Ng et al. 2015 (pooling); Wang et al., Temporal segment networks, 2016"

    def __init__(
        self,
        *,
        segments: int = 4,
        spread: bool = True,
        blocks: Sequence[float] | None = None,
        dropout: float = 0.5,
        dims: Sequence[int] | None = None,
        **shape: Any,
    ) -> None:
        self._whole("segments", segments, least=0)
        self._flag("spread", spread)
        self._share("dropout", dropout)
        if blocks is not None:
            self._weights("blocks", blocks, count=3)
        self.segments = segments
        self.spread = spread
        self.blocks = blocks
        self.dims = dims
        super().__init__(**shape)
        self.dropout = nn.Dropout(dropout)
        self.classifier = zeroed(nn.Linear(self.length, self.classes))

    @property
    def length(self) -> int:
        """How many statistics there are."""
        if self.blocks is not None:
            return self.dim * (2 + self.segments)
        return self.dim * ((4 if self.spread else 1) + self.segments)

    def make_standardise(self) -> Standardise:
        if self.blocks is None:
            return Standardise(self.length)
        dims = [self.dim] if self.dims is None else self.dims
        if sum(dims) != self.dim:
            raise UsageError(
                f"dims ({list(dims)}) of the {self.name} head must add up to dim ({self.dim})."
            )
        mean, parts, change = self.blocks
        weights = torch.tensor([mean, change, parts]) / (mean + change + parts) / len(dims)
        stream = torch.arange(len(dims)).repeat_interleave(torch.tensor(dims))
        kinds = torch.tensor([0, 1] + [2] * self.segments)
        block = kinds.unsqueeze(1) * len(dims) + stream
        return StandardiseBlocks(block.flatten(), weights.repeat_interleave(len(dims)))

    def centred(self, features: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        return features

    def standardised(self, features: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        return features

    def summarise(self, features: Tensor, mask: Tensor) -> Tensor:
        statistics = self.statistics(features, mask)
        if self.standardise is None:
            return statistics
        found = self.standardise(statistics)
        return found if self.blocks is not None else found / self.length**0.5

    def decide(self, summary: Tensor) -> Tensor:
        return self.classifier(self.dropout(summary))

    def rows(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.statistics(hide(features, mask), mask)[mask.any(dim=1)]

    def statistics(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, D)``, zero where hidden, to ``(B, length)``."""
        features, count = visible_first(features, mask)
        front = torch.arange(mask.shape[1], device=mask.device) < count.unsqueeze(1)
        # Weights that average the visible frames, and the steps between them, in one product.
        visible = share(front, count).to(features.dtype)
        steps = share(front[:, 1:], count - 1).to(features.dtype)
        weights = segment_weights(count, mask.shape[1], self.segments).to(features.dtype)
        means = torch.cat([visible, weights], dim=1) @ features
        mean = means[:, :1]
        parts = means[:, 1:] - mean if self.centre else means[:, 1:]
        if not self.spread and self.blocks is None:
            return torch.cat([mean, parts], dim=1).flatten(1)
        change = steps @ (features[:, 1:] - features[:, :-1]).abs()
        if self.blocks is not None:
            return torch.cat([mean, change, parts], dim=1).flatten(1)
        spread = (visible @ (features - mean).square() + 1e-12).sqrt()
        largest = max_over(features, front).unsqueeze(1)
        return torch.cat([mean, largest, spread, change, parts], dim=1).flatten(1)


def share(front: Tensor, count: Tensor) -> Tensor:
    """``(B, 1, T)`` weights that average the places in front, of which there are ``count``."""
    return front.unsqueeze(1) / count.clamp(min=1).view(-1, 1, 1)


def segment_weights(count: Tensor, frames: int, segments: int) -> Tensor:
    """``(B, segments, frames)`` weights that average equal parts of the first ``count`` frames.

    Where there are fewer frames than parts, a part is the frame it falls on::

        6 frames, 4 parts   0 | 1 2 | 3 | 4 5
        2 frames, 4 parts   0 | 0 | 1 | 1
    """
    part = torch.arange(segments, device=count.device)
    total = count.unsqueeze(1)
    start = torch.div(part * total, segments, rounding_mode="floor")
    end = torch.div((part + 1) * total, segments, rounding_mode="floor")
    end = torch.maximum(end, start + 1)
    place = torch.arange(frames, device=count.device)
    inside = (place >= start.unsqueeze(-1)) & (place < end.unsqueeze(-1))
    return inside / (end - start).unsqueeze(-1)
