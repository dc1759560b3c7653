"""The recognizer: backbones, a head, labels and preprocessing; what is saved and loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from frameflow.config import Recipe
from frameflow.errors import UsageError
from frameflow.models import _files
from frameflow.models.backbones import Backbone, build_backbone, normalise
from frameflow.models.heads import Head, build_head


class Recognizer(nn.Module):
    """Backbones that look at the frames of a clip, and a head that names the action.

    Attributes:
        recipe: how frames are chosen and fitted, and all other choices.
        labels: the K class names, in the order of the logits.
        streams: one backbone for each stream of the recipe; streams that look through the same
            backbone share it.
        head: from ``(B, T, dim)`` features to ``(B, K)`` logits.
        extra: what was saved beside the model, free of form.
    """

    def __init__(
        self,
        recipe: Recipe,
        labels: Sequence[str],
        streams: Sequence[Backbone],
        head: Head,
        *,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if len(labels) != head.classes or len(streams) != len(recipe.streams):
            raise UsageError(
                f"{len(labels)} labels for a head of {head.classes} classes, "
                f"{len(streams)} backbones for {len(recipe.streams)} streams: they must be equal."
            )
        self.recipe = recipe
        self.labels = list(labels)
        self.streams = nn.ModuleList(streams)
        self.head = head
        self.extra = dict(extra or {})

    @property
    def dim(self) -> int:
        """The length of one frame's features, those of all streams laid end to end."""
        return sum(stream.dim for stream in self.backbones())

    @property
    def frames(self) -> int:
        """T, how many frames make a clip."""
        return self.recipe.sampling.frames

    def backbones(self) -> list[Backbone]:
        """The backbone of each stream, in the order of the recipe."""
        return [cast(Backbone, stream) for stream in self.streams]

    def logits(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, dim)`` features and ``(B, T)`` bool mask to ``(B, K)`` logits."""
        return self.head(features, mask)

    def probabilities(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, dim)`` features and ``(B, T)`` bool mask to ``(B, K)`` probabilities."""
        return self.logits(features, mask).softmax(dim=-1)

    def encode(self, frames: Sequence[np.ndarray | Tensor]) -> Tensor:
        """From frames to features.

        Args:
            frames: for each stream what its backbone looks at (`stream_frames` makes it),
                ``(B, T, H, W, 3)`` uint8.

        Returns:
            ``(B, T, dim)`` features; gradients flow where a backbone is not frozen.
        """
        if len(frames) != len(self.streams):
            raise UsageError(f"{len(frames)} inputs for {len(self.streams)} streams.")
        features = []
        for backbone, images in zip(self.backbones(), frames):
            device = next(backbone.parameters()).device
            pixels = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
            normal = normalise(pixels.to(device).flatten(0, 1), backbone.preprocess)
            features.append(backbone(normal).unflatten(0, pixels.shape[:2]))
        return torch.cat(features, dim=-1)

    def forward(self, frames: Sequence[np.ndarray | Tensor], mask: Tensor) -> Tensor:
        """From frames (see `encode`) to ``(B, K)`` logits."""
        return self.logits(self.encode(frames), mask)

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write ``model.safetensors`` and ``model.json``: all that `load` needs, and no pickle.

        Each file is complete or absent, even where the machine stops in between.

        Args:
            folder: where to; made where it does not exist.
            extra: values for JSON to be kept beside the model.
        """
        self.extra = dict(self.extra if extra is None else extra)
        _files.save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "Recognizer":
        """Read what `save` wrote; neither network nor installed weights are needed.

        Returns:
            The recognizer on the CPU, in evaluation mode.

        Raises:
            UsageError: a file is missing or damaged, or was written by a later version.
        """
        return _files.load(Path(folder), cls)


def build_recognizer(
    recipe: Recipe, labels: Sequence[str], *, backbones: Sequence[Backbone] | None = None
) -> Recognizer:
    """The recognizer that a recipe describes, its head untrained.

    Args:
        recipe: names backbones, head and their options.
        labels: the class names, in the order of the logits.
        backbones: one for each stream, where they are built already.

    Raises:
        UsageError: no labels or the same one twice; unknown backbone, head or option.

    Example:
        >>> from frameflow.config import load_recipe
        >>> recipe = load_recipe("default", ["streams.0.weights=none", "streams.0.size=64"])
        >>> build_recognizer(recipe, ["run", "walk"]).dim
        1280
    """
    if not labels or len(set(labels)) < len(labels):
        raise UsageError(f"The labels ({list(labels)!r}) must be different and at least one.")
    streams = list(backbones) if backbones is not None else build_streams(recipe)
    options = recipe.head.options
    if fixed := {"dim", "frames", "classes"} & set(options):
        raise UsageError(
            f"head.{min(fixed)} is no option: it follows from the backbones, "
            f"sampling.frames and the labels."
        )
    head = build_head(
        recipe.head.name,
        dim=sum(stream.dim for stream in streams),
        frames=recipe.sampling.frames,
        classes=len(labels),
        **options,
    )
    return Recognizer(recipe, labels, streams, head)


def build_streams(recipe: Recipe) -> list[Backbone]:
    """The backbone of each stream; streams with the same one share it."""
    built: dict[tuple[str, str, int | None, int], Backbone] = {}
    for stream in recipe.streams:
        key = (stream.backbone, stream.weights, stream.size, stream.grid)
        if key not in built:
            name, weights, size, grid = key
            built[key] = build_backbone(name, weights=weights, size=size, grid=grid)
    return [built[(s.backbone, s.weights, s.size, s.grid)] for s in recipe.streams]
