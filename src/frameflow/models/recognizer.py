"""The recognizer: backbones, a head, labels and preprocessing; what is saved and loaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from frameflow.config import Recipe, Stream
from frameflow.errors import UsageError
from frameflow.models import _files
from frameflow.models.backbones import Backbone, build_backbone, normalise
from frameflow.models.heads import Head, build_head, head_options


class Recognizer(nn.Module):
    """Backbones that look at the frames of a clip, and a head that names the action.

    Attributes:
        recipe: how frames are chosen and fitted, and all other choices.
        labels: the K class names, in the order of the logits.
        streams: one backbone for each stream of the recipe; streams that look through the same
            backbone share it.
        head: from ``(B, T, dim)`` features to ``(B, K)`` logits.
        extra: what was saved beside the model, free of form.
        folder: where `load` read it from, None for one that was made here.
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
        self.folder: Path | None = None

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
        """``(B, T, dim)`` features and ``(B, T)`` bool mask to ``(B, K)`` probabilities.

        They add up to 1, or are each label's own where a clip may have several.
        """
        logits = self.logits(features, mask)
        return logits.sigmoid() if self.recipe.multilabel else logits.softmax(dim=-1)

    def encode(self, frames: Sequence[np.ndarray | Tensor]) -> Tensor:
        """From frames to features.

        Args:
            frames: for each stream what its backbone looks at (`stream_frames` makes it),
                ``(B, T, H, W, 3)`` uint8.

        Returns:
            ``(B, S, dim)`` features, S = T for image models; gradients flow to what learns.

        Raises:
            UsageError: inputs that are not one for each stream, or streams of unequal S.
        """
        if len(frames) != len(self.streams):
            raise UsageError(f"{len(frames)} inputs for {len(self.streams)} streams.")
        features = [_encode(backbone, given) for backbone, given in zip(self.backbones(), frames)]
        steps = [int(part.shape[1]) for part in features]
        if len(set(steps)) > 1:
            raise _unequal(self.backbones(), steps)
        return torch.cat(features, dim=-1)

    def forward(self, frames: Sequence[np.ndarray | Tensor], mask: Tensor) -> Tensor:
        """From frames (see `encode`) to logits.

        Args:
            frames: as `encode` takes them.
            mask: ``(B, T)`` bool, False for frames that are padding. All features of a video
                model count.
        """
        features = self.encode(frames)
        if not any(backbone.framewise for backbone in self.backbones()):
            mask = mask.new_ones(features.shape[:2])
        return self.logits(features, mask)

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


def _encode(backbone: Backbone, frames: np.ndarray | Tensor) -> Tensor:
    """``(B, T, H, W, 3)`` uint8 to ``(B, S, dim)``."""
    device = next(backbone.parameters()).device
    pixels = (torch.from_numpy(frames) if isinstance(frames, np.ndarray) else frames).to(device)
    if backbone.temporal:
        return backbone(normalise(pixels, backbone.preprocess))
    normal = normalise(pixels.flatten(0, 1), backbone.preprocess)
    return backbone(normal).unflatten(0, pixels.shape[:2])


def _unequal(backbones: Sequence[Backbone], steps: Sequence[int]) -> UsageError:
    given = ", ".join(f"{backbone.name} {count}" for backbone, count in zip(backbones, steps))
    return UsageError(
        f"The streams give different numbers of features for a clip ({given}), which cannot be "
        f"joined: take backbones that give as many, or train one run for each and combine them."
    )


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
        >>> recipe = load_recipe("frozen-gru", ["streams.0.weights=none", "streams.0.size=64"])
        >>> build_recognizer(recipe, ["run", "walk"]).dim
        1280
    """
    if not labels or len(set(labels)) < len(labels):
        raise UsageError(f"The labels ({list(labels)!r}) must be different and at least one.")
    streams = list(backbones) if backbones is not None else build_streams(recipe)
    steps = [stream.steps(recipe.sampling.frames) for stream in streams]
    if len(set(steps)) > 1:
        raise _unequal(streams, steps)
    options = recipe.head.options
    if fixed := {"dim", "dims", "frames", "classes"} & set(options):
        raise UsageError(
            f"head.{min(fixed)} is no option: it follows from the backbones, "
            f"sampling.frames and the labels."
        )
    dims = [stream.dim for stream in streams]
    if recipe.multilabel and "independent" in head_options(recipe.head.name):
        options["independent"] = True  # probabilities that are averaged are each label's own
    head = build_head(
        recipe.head.name,
        dim=sum(dims),
        dims=dims,
        frames=steps[0],
        classes=len(labels),
        **options,
    )
    return Recognizer(recipe, labels, streams, head)


def build_stream(stream: Stream, frames: int) -> Backbone:
    """The backbone of one stream, an image or a video model.

    Args:
        stream: the recipe's.
        frames: T, frames of a clip, which some video models are built for.

    Raises:
        UsageError: unknown backbone, no weights to be had, or an option the model cannot take.
    """
    from frameflow.models import clips

    if not clips.is_clip_model(stream.backbone):
        return build_backbone(
            stream.backbone,
            weights=stream.weights,
            size=stream.size,
            grid=stream.grid,
            pool=stream.pool,
            shift=stream.shift,
            cut=stream.cut,
        )
    for what, value, none in (("grid", stream.grid, 1), ("shift", stream.shift, 0)):
        if value != none:
            raise UsageError(
                f"{what} ({value}) is for image models, and {stream.backbone} is a video model: "
                f"leave {what} at {none}."
            )
    if stream.cut is not None:
        raise UsageError(
            f"cut ({stream.cut!r}) is for image models, and {stream.backbone} is a video model: "
            f"leave it out, and name what learns in train.learn."
        )
    return clips.build_clip_backbone(
        stream.backbone, weights=stream.weights, size=stream.size, frames=frames, pool=stream.pool
    )


def build_streams(recipe: Recipe) -> list[Backbone]:
    """The backbone of each stream; streams that look alike at the same kind of images share it.

    A frozen backbone is shared between kinds (frames, differences, flow) as well. One that learns
    is not: frames and motion each get their own, as in Simonyan and Zisserman, "Two-stream
    convolutional networks for action recognition in videos", NeurIPS 2014.
    """
    built: dict[tuple[object, ...], Backbone] = {}
    streams = []
    for stream in recipe.streams:
        kind = stream.kind if recipe.train.learn else None
        look = (stream.backbone, stream.weights, stream.size, stream.grid, stream.pool)
        key = (*look, stream.shift, stream.cut, kind)
        if key not in built:
            built[key] = build_stream(stream, recipe.sampling.frames)
        streams.append(built[key])
    return streams
