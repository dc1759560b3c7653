"""From a backbone's last feature map to a vector: parts of a grid, means or maxima."""

from typing import Literal

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError

FramePool = Literal["own", "max"]


class Pooling(nn.Module):
    """``(N, C, H, W)`` maps to ``(N, grid * grid * C)`` features.

    Args:
        grid: parts along each side; parts overlap where they do not divide the map.
        pool: ``own`` averages a part, ``max`` takes its maximum.
    """

    def __init__(self, grid: int, pool: FramePool) -> None:
        super().__init__()
        self.grid = grid
        self.pool = pool

    def forward(self, maps: Tensor) -> Tensor:
        """The C channels of the first part, then of the next in its row."""
        height, width = int(maps.shape[2]), int(maps.shape[3])
        if self.pool == "max":
            parts = [
                maps[:, :, top:bottom, left:right].amax(dim=(2, 3))
                for top, bottom in spans(height, self.grid)
                for left, right in spans(width, self.grid)
            ]
            return torch.cat(parts, dim=1)
        rows = part_weights(height, self.grid).to(maps)
        columns = part_weights(width, self.grid).to(maps)
        means = rows @ maps @ columns.T
        return means.permute(0, 2, 3, 1).flatten(1)


def last_maps(model: nn.Module, frames: Tensor) -> Tensor:
    """The feature maps of a timm model's last stage, ``(N, C, H, W)``.

    Raises:
        UsageError: the model has no feature maps.
    """
    if not hasattr(model, "forward_intermediates"):
        raise UsageError(
            f"{type(model).__name__} gives no feature maps, which grid > 1 and pool: max are "
            f"made from. Take grid: 1 and pool: own, or another backbone."
        )
    (maps,) = model.forward_intermediates(frames, indices=1, intermediates_only=True)  # type: ignore[operator]
    return maps


def drop_unused(model: nn.Module) -> None:
    """Drop what follows the last stage of a timm model: 119 of VGG16's 134 million weights."""
    if hasattr(model, "prune_intermediate_layers"):
        model.prune_intermediate_layers(1, prune_head=True)  # type: ignore[operator]


def spans(length: int, parts: int) -> list[tuple[int, int]]:
    """Where equal parts of a line start and end, as adaptive pooling cuts them."""
    return [(part * length // parts, -(-(part + 1) * length // parts)) for part in range(parts)]


def part_weights(length: int, parts: int) -> Tensor:
    """``(parts, length)`` rows that average equal parts of a line, as adaptive pooling does.

    A product with them exports to ONNX, where adaptive pooling needs parts that divide evenly.
    """
    weights = torch.zeros(parts, length)
    for part, (start, end) in enumerate(spans(length, parts)):
        weights[part, start:end] = 1 / (end - start)
    return weights
