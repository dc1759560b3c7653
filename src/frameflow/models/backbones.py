"""Backbones: pretrained encoders of frames, and which of their parts learn.

A backbone is a timm model without classifier, together with the preprocessing its weights were
trained with and a digest of those weights. Video models (`frameflow.models.clips`) are backbones
too: they look at all frames of a clip at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from frameflow.errors import UsageError, listing, near_names
from frameflow.models import weights as _weights
from frameflow.models._learning import Norm, groups_by_place, matches, set_mode
from frameflow.models.pooling import Pooling, drop_unused, last_maps
from frameflow.models.shift import add_shift
from frameflow.models.weights import Weights

if TYPE_CHECKING:
    from frameflow.models.cut import Prefix, Tail

_LEARNT = ", trained further"


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What a backbone expects: frames of ``size`` x ``size`` px, ``(x / 255 - mean) / std``."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"


class Backbone(nn.Module):
    """An encoder of normalised float frames, frozen until `learn` says what learns.

    Where ``temporal`` is False: ``(N, 3, H, W)`` frames in, ``(N, dim)`` features out, each frame
    on its own. Where it is True: ``(B, T, 3, H, W)`` clips in, ``(B, S, dim)`` features out, with
    S = `steps` of T.

    Attributes:
        name: what recipes call it; the timm name of an image model.
        model: the network; the names of parts and parameters are relative to it.
        dim: the length of the features.
        preprocess: size and normalisation of the frames.
        weights: source and digest of the weights (without the tensors themselves).
        grid: 1 for the features the model pools itself; g for the means of its last stage over
            g x g parts of the frame, row by row, which keep where something is.
        pool: ``own``, or ``max`` for the maximum over the last stage (over each part of a grid).
        shift: 0, or one of so many channels moves a frame each way (`frameflow.models.shift`).
        cut: the layer up to which it stays frozen, whose activations `parts` lets be stored.
        temporal: it sees frames together.
        framewise: its features are one a frame, in their order.
        frozen: nothing learns.
    """

    temporal: bool
    framewise = True
    frozen: bool

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        dim: int,
        preprocess: Preprocess,
        weights: Weights,
        grid: int = 1,
        pool: str = "own",
        shift: int = 0,
        cut: str | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.dim = dim
        self.preprocess = preprocess
        self.weights = Weights(weights.source, weights.digest)
        self.grid, self.pool, self.shift, self.cut = grid, pool, shift, cut
        self.temporal = shift > 0
        self.pooling = Pooling(grid, "max") if pool == "max" else None
        if grid > 1 and pool == "own":
            self.pooling = Pooling(grid, "own")
        self._before_cut = self._names_before_cut()
        self.shifting = (
            add_shift(model, shift, name=name, before_cut=self._before_cut) if shift else None
        )
        self.norm: Norm = "fixed"
        self.learn([])

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames to features; see the class for the shapes."""
        if self.shifting is None:
            return self.encode_frames(frames)
        self.shifting.frames = int(frames.shape[1])
        return self.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def encode_frames(self, frames: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, dim)``; those of a clip follow one another."""
        if self.pooling is None:
            return self.model(frames)
        return self.pooling(last_maps(self.model, frames))

    def steps(self, frames: int) -> int:
        """S, how many features a clip of so many frames has."""
        return frames

    @property
    def layer(self) -> str:
        """What of the model its features are, in a word: features of two are never alike."""
        pooled = "pooled" if self.grid == 1 else f"grid{self.grid}"
        pooled = f"{self.pool}-{pooled}" if self.pool != "own" else pooled
        return f"{pooled}-shift{self.shift}" if self.shift else pooled

    def learn(self, parts: Sequence[str], *, norm: Norm = "fixed") -> list[str]:
        """Let exactly these parts learn; nothing at or before the cut does.

        Modules that do not learn stay in evaluation mode when the backbone is trained.

        Args:
            parts: names of modules or parameters, relative to ``model``: ``layer4``,
                ``blocks.6``, or patterns: ``blocks.[56]``, ``*``. None freezes all.
            norm: ``fixed`` keeps the statistics of batch normalisation as they are, ``learn``
                lets those of parts that learn follow the data. Scale and shift learn either way.

        Returns:
            The names of the parameters that learn.

        Raises:
            UsageError: a part names nothing, or nothing behind the cut.
        """
        parameters = dict(self.model.named_parameters())
        learning: set[str] = set()
        for part in parts:
            named = {key for key in parameters if matches(part, key)}
            behind = named - self._before_cut
            if not behind:
                raise self._no_part(part, before_cut=bool(named))
            learning |= behind
        for key, parameter in parameters.items():
            parameter.requires_grad_(key in learning)
        self.frozen = not learning
        self.norm = norm
        self.train(self.training)
        return [key for key in parameters if key in learning]

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for the parts that learn alone, see `learn`."""
        self.training = mode
        set_mode(self.model, mode, self.norm, parent_learns=False)
        return self

    def layers(self) -> list[list[str]]:
        """The names of all parameters, in groups from the input to the output."""
        if not hasattr(self.model, "group_matcher"):
            return list(groups_by_place(self.model))
        from timm.models import group_parameters

        found: Any = group_parameters(self.model, self.model.group_matcher(coarse=False))  # type: ignore[operator]
        return [list(found[place]) for place in sorted(found)]

    def parts(self) -> "tuple[Prefix, Tail]":
        """The frozen part up to the cut, and what follows it, which shares the modules.

        ``tail(prefix(frames))`` is what the whole backbone gives.

        Raises:
            UsageError: there is no cut.
        """
        from frameflow.models.cut import split

        return split(self)

    def describe(self) -> dict[str, Any]:
        """What `restore_backbone` needs to build it again, for JSON; the weights are apart."""
        now = _weights.digest(self.model.state_dict())
        changed = now != self.weights.digest and not self.weights.source.endswith(_LEARNT)
        return {
            "kind": "image",
            "name": self.name,
            "dim": self.dim,
            "grid": self.grid,
            "pool": self.pool,
            "shift": self.shift,
            "cut": self.cut,
            "preprocess": asdict(self.preprocess),
            "source": self.weights.source + (_LEARNT if changed else ""),
            "digest": now,
        }

    def _names_before_cut(self) -> frozenset[str]:
        if self.cut is None:
            return frozenset()
        from frameflow.models.cut import names_before

        return names_before(self, self.cut)

    def _no_part(self, part: str, *, before_cut: bool) -> UsageError:
        if before_cut:
            return UsageError(
                f"The part {part!r} of {self.name} lies before the cut {self.cut!r}, where nothing "
                f"learns: name a part behind it, or '*' for all that follows."
            )
        names = [
            name
            for name, module in self.model.named_modules()
            if name and next(module.parameters(), None) is not None
        ]
        near = near_names(part, names)
        shown = "" if near else f" It has {listing([n for n in names if '.' not in n], most=9)}."
        return UsageError(
            f"{self.name} has no part {part!r}.{near}{shown} Parts are modules of the network or "
            f"patterns, for instance '*' for all."
        )


def build_backbone(
    name: str,
    *,
    weights: str | Path = "auto",
    size: int | None = None,
    grid: int = 1,
    pool: str = "own",
    shift: int = 0,
    cut: str | None = None,
) -> Backbone:
    """A pretrained backbone by name, frozen and in evaluation mode.

    Args:
        name: a timm model, or ``lite0``, ``lite1``, ``lite2``.
        weights: ``auto``, ``none``, ``hub``, or a file (see `frameflow.models.weights.resolve`).
        size: side of the frames in px; the model's own where None.
        grid: see `Backbone`.
        pool: ``own`` or ``max``, see `Backbone`.
        shift: see `Backbone`.
        cut: a layer that everything passes through, see `frameflow.models.cut.cut_points`.

    Raises:
        UsageError: unknown name, no weights to be had, a size the model cannot take, or a model
            that cannot be pooled, shifted or cut like this.

    Example:
        >>> backbone = build_backbone("resnet10t", weights="none", size=64)
        >>> backbone(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
    """
    full = _weights.model_name(name)
    if size is not None and size < 1:
        raise UsageError(f"The size of the backbone's frames ({size}) must be > 0.")
    if pool not in ("own", "max"):
        raise UsageError(
            f"pool ({pool!r}) of {full} must be own or max: "
            f"tokens are what video models give, and {full} looks at single frames."
        )
    try:
        model = _weights.create_model(full, size=size)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise _bad_size(full, size, error) from None
    found = _weights.resolve(full, weights, size=size, model=model)
    assert found.state is not None
    model.load_state_dict({key: found.state[key] for key in model.state_dict()})
    if pool == "max":
        drop_unused(model)
        found = Weights(found.source, _weights.digest(model.state_dict()))
    backbone = Backbone(
        model,
        name=full,
        dim=0,
        preprocess=_preprocess(model, size),
        weights=found,
        grid=grid,
        pool=pool,
        shift=shift,
        cut=cut,
    ).eval()
    backbone.dim = _dimension(backbone)
    return backbone


def restore_backbone(described: Mapping[str, Any]) -> Backbone:
    """A backbone as `Backbone.describe` tells, its weights to be filled in afterwards.

    Neither installed weights nor the hub are asked.

    Raises:
        KeyError, TypeError, ValueError, UsageError: the description is damaged.
    """
    if described["kind"] == "video":
        from frameflow.models import clips

        return clips.restore(described)
    if described["kind"] != "image":
        raise ValueError(f"no backbone is of kind {described['kind']!r}")
    preprocess = restore_preprocess(described["preprocess"])
    name, pool = str(described["name"]), str(described["pool"])
    model = _weights.create_model(_weights.model_name(name), size=preprocess.size)
    if pool == "max":
        drop_unused(model)
    return Backbone(
        model,
        name=name,
        dim=int(described["dim"]),
        preprocess=preprocess,
        weights=Weights(described["source"], described["digest"]),
        grid=int(described["grid"]),
        pool=pool,
        shift=int(described["shift"]),
        cut=described["cut"],
    ).eval()


def restore_preprocess(given: Mapping[str, Any]) -> Preprocess:
    """The preprocessing that a description holds."""
    return Preprocess(
        size=int(given["size"]),
        mean=_triple(given["mean"]),
        std=_triple(given["std"]),
        interpolation=str(given["interpolation"]),
    )


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


def _dimension(backbone: Backbone) -> int:
    """The length of the features, by trying: timm's ``num_features`` leaves out some layers."""
    name, size = backbone.name, backbone.preprocess.size
    if backbone.shifting is not None:
        backbone.shifting.frames = 1
    try:
        with torch.no_grad():
            features = backbone.encode_frames(torch.zeros(1, 3, size, size))
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
