"""Backbones: pretrained image encoders, run over each frame of a clip on its own.

A backbone is a timm model without classifier, together with the preprocessing its weights were
trained with and a digest of those weights.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frameflow.config import Stream
from frameflow.errors import UsageError
from frameflow.models import weights as _weights
from frameflow.models.weights import Weights


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What a backbone expects: frames of ``size`` x ``size`` px, ``(x / 255 - mean) / std``."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"


class Backbone(nn.Module):
    """An image encoder: ``(N, 3, H, W)`` normalised float frames in, ``(N, dim)`` features out.

    Attributes:
        name: the timm name.
        dim: the length of the features.
        preprocess: size and normalisation of the frames.
        weights: source and digest of the weights (without the tensors themselves).
        grid: 1 for the features the model pools itself; g for the means of its last stage over
            g x g parts of the frame, row by row, which keep where something is.
        frozen: a frozen backbone takes no gradients and stays in evaluation mode, so the running
            statistics of its normalisation layers stay as they are while a head trains.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        dim: int,
        preprocess: Preprocess,
        weights: Weights,
        grid: int = 1,
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.dim = dim
        self.preprocess = preprocess
        self.weights = Weights(weights.source, weights.digest)
        self.grid = grid
        self.frozen = True
        self.freeze()

    def freeze(self, frozen: bool = True) -> "Backbone":
        """Freeze all parameters, or let them learn."""
        self.frozen = frozen
        self.model.requires_grad_(not frozen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode and not self.frozen)
        return self

    def forward(self, frames: Tensor) -> Tensor:
        return (
            self.model(frames) if self.grid == 1 else grid_features(self.model, frames, self.grid)
        )


def build_backbone(
    name: str, *, weights: str | Path = "auto", size: int | None = None, grid: int = 1
) -> Backbone:
    """A pretrained backbone by name, frozen and in evaluation mode.

    Args:
        name: a timm model, or ``lite0``, ``lite1``, ``lite2``.
        weights: ``auto``, ``none``, ``hub``, or a file (see `frameflow.models.weights.resolve`).
        size: side of the frames in px; the model's own where None.
        grid: see `Backbone`.

    Raises:
        UsageError: unknown name, no weights to be had, or a size the model cannot take.

    Example:
        >>> backbone = build_backbone("resnet10t", weights="none", size=64)
        >>> backbone(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
    """
    full = _weights.model_name(name)
    if size is not None and size < 1:
        raise UsageError(f"The size of the backbone's frames ({size}) must be > 0.")
    try:
        model = _weights.create_model(full, size=size)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise _bad_size(full, size, error) from None
    found = _weights.resolve(full, weights, size=size, model=model)
    assert found.state is not None
    model.load_state_dict({key: found.state[key] for key in model.state_dict()})
    preprocess = _preprocess(model, size)
    return Backbone(
        model,
        name=full,
        dim=_dimension(model, full, preprocess.size, grid),
        preprocess=preprocess,
        weights=found,
        grid=grid,
    ).eval()


def restore_backbone(
    name: str, *, dim: int, preprocess: Preprocess, weights: Weights, grid: int = 1
) -> Backbone:
    """A backbone whose weights are filled in afterwards: neither wheel nor hub is asked."""
    model = _weights.create_model(_weights.model_name(name), size=preprocess.size)
    return Backbone(
        model, name=name, dim=dim, preprocess=preprocess, weights=weights, grid=grid
    ).eval()


def grid_features(model: nn.Module, frames: Tensor, grid: int) -> Tensor:
    """The last stage of a timm model, averaged over ``grid`` x ``grid`` parts of the frame.

    Args:
        model: a timm model that can give intermediate feature maps.
        frames: ``(N, 3, H, W)``.
        grid: parts along each side; parts overlap where they do not divide the map.

    Returns:
        ``(N, grid * grid * C)``: the C channels of the first part, then of the next in its row.
    """
    (maps,) = model.forward_intermediates(frames, indices=1, intermediates_only=True)  # type: ignore[operator]
    rows = _part_weights(int(maps.shape[2]), grid).to(maps)
    columns = _part_weights(int(maps.shape[3]), grid).to(maps)
    parts = rows @ maps @ columns.T
    return parts.permute(0, 2, 3, 1).flatten(1)


def _part_weights(length: int, parts: int) -> Tensor:
    """``(parts, length)`` rows that average equal parts of a line, as adaptive pooling does.

    A product with them exports to ONNX, where adaptive pooling needs parts that divide evenly.
    """
    weights = torch.zeros(parts, length)
    for part in range(parts):
        start, end = part * length // parts, -(-(part + 1) * length // parts)
        weights[part, start:end] = 1 / (end - start)
    return weights


def normalise(frames: np.ndarray | Tensor, preprocess: Preprocess) -> Tensor:
    """Frames as the backbone expects them.

    Args:
        frames: ``(..., H, W, 3)`` uint8 RGB.
        preprocess: the backbone's.

    Returns:
        ``(..., 3, H, W)`` float32, channels last in memory, on the device of the frames.
    """
    pixels = torch.from_numpy(frames) if isinstance(frames, np.ndarray) else frames
    if pixels.dtype != torch.uint8 or pixels.shape[-1] != 3:
        raise UsageError(
            f"Frames must be uint8 of shape (..., height, width, 3), "
            f"not {pixels.dtype} of shape {tuple(pixels.shape)}."
        )
    std = pixels.new_tensor(preprocess.std, dtype=torch.float32)
    mean = pixels.new_tensor(preprocess.mean, dtype=torch.float32)
    return pixels.float().mul_(1 / (255 * std)).sub_(mean / std).movedim(-1, -3)


def difference(frames: np.ndarray, later: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """How the frames change, as images: ``128 + gain * (later - frames)``.

    Still parts are mid grey. Values are rounded to the nearest (halves to even, so that a
    change and its reverse are alike) and clipped to 0..255.

    Args:
        frames: ``(..., H, W, 3)`` uint8.
        later: the same shape, the frames some steps later.
        gain: factor on the difference.

    Returns:
        uint8 of the same shape.

    Example:
        >>> difference(np.array([10, 10], np.uint8), np.array([10, 30], np.uint8), 2.0)
        array([128, 168], dtype=uint8)
    """
    if frames.dtype != np.uint8 or later.dtype != np.uint8 or frames.shape != later.shape:
        raise UsageError(
            f"Frames and later frames must be uint8 of one shape, "
            f"not {frames.dtype} {frames.shape} and {later.dtype} {later.shape}."
        )
    change = np.subtract(later, frames, dtype=np.int16)
    if gain == 1:
        change += 128
        return np.clip(change, 0, 255, out=change).astype(np.uint8)
    scaled = change.astype(np.float32)
    scaled *= np.float32(gain)
    np.rint(scaled, out=scaled)
    scaled += 128
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def stream_frames(stream: Stream, frames: np.ndarray, later: np.ndarray | None) -> np.ndarray:
    """What a stream's backbone looks at: the frames, or how they change.

    Args:
        stream: the recipe's.
        frames: ``(..., H, W, 3)`` uint8.
        later: the frames ``stream.gap`` later; needed by ``kind: difference`` only.
    """
    if stream.kind == "rgb":
        return frames
    if later is None:
        raise UsageError(f"The difference stream needs the frames {stream.gap} later as well.")
    return difference(frames, later, stream.gain)


def _preprocess(model: nn.Module, size: int | None) -> Preprocess:
    from timm.data import resolve_model_data_config

    config: dict[str, Any] = resolve_model_data_config(model)
    return Preprocess(
        size=size or int(config["input_size"][-1]),
        mean=_triple(config["mean"]),
        std=_triple(config["std"]),
        interpolation=str(config["interpolation"]),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _dimension(model: nn.Module, name: str, size: int, grid: int) -> int:
    """The length of the features, by trying: timm's ``num_features`` leaves out some layers."""
    try:
        with torch.no_grad():
            frames = torch.zeros(1, 3, size, size)
            features = model(frames) if grid == 1 else grid_features(model, frames, grid)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise _bad_size(name, size, error) from None
    if features.ndim != 2:
        raise UsageError(
            f"{name} gives {tuple(features.shape[1:])} values per frame, not one vector: "
            f"choose a backbone that pools its features."
        )
    return int(features.shape[1])


def _bad_size(name: str, size: int | None, error: Exception) -> UsageError:
    said = " ".join(str(error).split())[:160]
    return UsageError(f"{name} cannot take frames of {size} px: {said}")
