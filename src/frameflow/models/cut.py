"""Cut-layer training: the activations of a layer are stored once, and what follows it learns.

The part of a backbone up to the cut is frozen, so what it gives for a frame never changes. With
its activations stored as if they were features, a step of training costs what follows the cut
alone, and the videos are read once.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError, listing, near_names
from frameflow.models._graph import Halves, halves, passed_layers
from frameflow.models.backbones import Backbone

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

_Found = TypeVar("_Found")


class Prefix(Backbone):
    """What of a backbone lies before its cut: ``(N, 3, H, W)`` frames to flat activations.

    It looks at each frame on its own, and shares its modules with the whole backbone.
    """

    def __init__(self, whole: Backbone, before: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__(
            before,
            name=whole.name,
            dim=math.prod(shape),
            preprocess=whole.preprocess,
            weights=whole.weights,
        )
        self.shape = shape
        self.at = str(whole.cut)

    def encode_frames(self, frames: Tensor) -> Tensor:
        return self.model(frames).flatten(1)

    @property
    def layer(self) -> str:
        return self.at


class Tail(nn.Module):
    """What of a backbone follows its cut; what it learns the backbone has learnt.

    Attributes:
        shape: of the activations of a frame, as they leave the cut: ``(C, H, W)``.
        dim: the length of the features.
    """

    def __init__(self, whole: Backbone, after: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.after = after
        self.shape = shape
        self.dim = whole.dim
        # Not a part of this module: it would bring what lies before the cut with it.
        object.__setattr__(self, "whole", whole)
        self.training = whole.training

    whole: Backbone

    def forward(self, activations: Tensor) -> Tensor:
        """``(B, T, C * H * W)`` stored activations to ``(B, T, dim)`` features."""
        batch, frames = activations.shape[:2]
        if self.whole.shifting is not None:
            self.whole.shifting.frames = int(frames)
        maps = activations.reshape(batch * frames, *self.shape)
        if maps.ndim == 4:  # as the whole backbone has them; and a copy that may be overwritten
            maps = maps.clone(memory_format=torch.channels_last)
        else:
            maps = maps.clone()
        return self.after(maps).unflatten(0, (batch, frames))

    def train(self, mode: bool = True) -> "Tail":
        """Training mode for the parts that learn alone, as the whole backbone has it."""
        self.training = mode
        self.whole.train(mode)
        return self


class CutRecognizer(nn.Module):
    """A recognizer that starts from stored activations where its backbones are cut.

    Attributes:
        recognizer: the whole one, which learns what is learnt here.
    """

    def __init__(self, recognizer: "Recognizer") -> None:
        super().__init__()
        self.recognizer = recognizer
        made: dict[int, tuple[Backbone, Tail | None]] = {}
        for backbone in recognizer.backbones():
            if id(backbone) not in made:
                made[id(backbone)] = backbone.parts() if backbone.cut else (backbone, None)
        pairs = [made[id(backbone)] for backbone in recognizer.backbones()]
        self.dims = [encoder.dim for encoder, _ in pairs]
        # In tuples, so not registered: their modules are the recognizer's, under its names.
        self._encoders = tuple(encoder for encoder, _ in pairs)
        self._tails = tuple(tail for _, tail in pairs)

    def encoders(self) -> list[Backbone]:
        """For each stream what makes its stored features: all up to the cut, or all."""
        return list(self._encoders)

    def learners(self) -> list[Backbone]:
        """The backbones that are cut, each once: parts of them can learn from here."""
        unique = {id(backbone): backbone for backbone in self.recognizer.backbones()}
        return [backbone for backbone in unique.values() if backbone.cut]

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Score the classes.

        Args:
            features: ``(B, T, D)``, those of all `encoders` end to end.
            mask: ``(B, T)`` bool, False for frames that are padding.

        Returns:
            Logits as the recognizer's head gives them.
        """
        return self.recognizer.logits(self.encode(features), mask)

    def encode(self, features: Tensor) -> Tensor:
        """From what is stored to the ``(B, T, dim)`` features that the head takes."""
        if features.ndim != 3 or features.shape[2] != sum(self.dims):
            raise UsageError(
                f"The recognizer takes stored activations (batch, frames, {sum(self.dims)}), "
                f"not {tuple(features.shape)}."
            )
        given = features.split(self.dims, dim=2)
        return torch.cat(
            [part if tail is None else tail(part) for part, tail in zip(given, self._tails)], dim=2
        )


def cut_points(backbone: Backbone) -> list[str]:
    """The layers at which a backbone can be cut, from the input to the output.

    Everything passes through each of them, and something that can learn follows.

    Raises:
        UsageError: a network that cannot be cut, as video models and those that are no plain
            chain of modules.
    """
    learnable = [name for name, _ in backbone.model.named_parameters()]
    names = _traced(backbone, lambda: passed_layers(backbone))
    own = [name.removeprefix("model.") for name in names if name.startswith("model.")]
    return [name for name in own if _some_follow(backbone, name, learnable)]


def names_before(backbone: Backbone, layer: str) -> frozenset[str]:
    """The names of the parameters at or before a layer.

    Raises:
        UsageError: the backbone cannot be cut there.
    """
    found = _halves(backbone, layer)
    names = frozenset(_own_names(found.before))
    if names == {name for name, _ in backbone.model.named_parameters()}:
        raise UsageError(
            f"Nothing that can learn follows the layer {layer!r} of {backbone.name}: cut earlier, "
            f"for instance at {_some_points(backbone)}."
        )
    return names


def split(backbone: Backbone) -> tuple[Prefix, Tail]:
    """See `Backbone.parts`."""
    if backbone.cut is None:
        raise UsageError(f"{backbone.name} has no cut: name a layer in the stream's cut.")
    found = _halves(backbone, backbone.cut)
    size = backbone.preprocess.size
    parameter = next(backbone.parameters())
    frames = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    with torch.no_grad():
        shape = tuple(found.before(frames).shape[1:])
    prefix = Prefix(backbone, found.before, shape)
    return prefix, Tail(backbone, found.after, shape)


def _halves(backbone: Backbone, layer: str) -> Halves:
    modules = [name for name, _ in backbone.model.named_modules() if name]
    if layer not in modules:
        raise UsageError(
            f"{backbone.name} has no layer {layer!r} to be cut at.{near_names(layer, modules)} "
            f"It can be cut at {_some_points(backbone)}."
        )
    found = _traced(backbone, lambda: halves(backbone, f"model.{layer}"))
    if found is None:
        raise UsageError(
            f"{backbone.name} cannot be cut at {layer!r}: not everything passes through it. "
            f"It can be cut at {_some_points(backbone)}."
        )
    return found


def _traced(backbone: Backbone, trace: Callable[[], _Found]) -> _Found:
    try:
        return trace()
    except UsageError:
        raise
    except Exception as error:  # whatever its code does with what are not tensors now
        said = " ".join(str(error).split())[:120]
        raise UsageError(
            f"{backbone.name} cannot be cut: its layers are no plain graph ({said}). "
            f"Take a network of convolutions (EfficientNet, MobileNet, ResNet, VGG), or no cut."
        ) from None


def _own_names(part: nn.Module) -> list[str]:
    return [name.removeprefix("model.") for name, _ in part.named_parameters()]


def _some_follow(backbone: Backbone, layer: str, learnable: list[str]) -> bool:
    found = halves(backbone, f"model.{layer}")
    return found is not None and set(_own_names(found.before)) < set(learnable)


def _some_points(backbone: Backbone) -> str:
    """The deeper cut points of stages, where there are any: near the output training is cheap."""
    points = cut_points(backbone)
    short = [name for name in points if name.count(".") <= 1]
    return listing((short or points)[::-1], most=8) or "no layer"
