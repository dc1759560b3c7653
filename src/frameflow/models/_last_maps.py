"""A backbone in two halves: up to its last spatial layer, and what makes features of that."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.backbones import Backbone
from frameflow.models.clips.backbone import ClipBackbone
from frameflow.models.clips.c3d import C3d
from frameflow.models.clips.torchvision_models import pool_s3d
from frameflow.models.pooling import last_maps

_AT_ONCE = 32  # frames; more are computed in parts, where each is looked at on its own


@dataclass(frozen=True, slots=True)
class LastMaps:
    """The activations of one clip where places can still be told apart.

    Attributes:
        maps: ``(t, C, h, w)``; t is T for a backbone of single frames.
        finish: makes ``(1, S, dim)`` features of such maps.
        prefix: how many of the S features come before those of the places; None where features
            are no places.
    """

    maps: Tensor
    finish: Callable[[Tensor], Tensor]
    prefix: int | None = None


@torch.no_grad()
def last_maps_of(backbone: Backbone, frames: Tensor) -> LastMaps:
    """Look at one clip up to the last spatial layer.

    Args:
        backbone: of images, or a video model.
        frames: ``(T, 3, H, W)``, normalised.

    Raises:
        UsageError: its features cannot be traced to places.
    """
    if isinstance(backbone, ClipBackbone):
        return _of_clip(backbone, frames)
    return _of_images(backbone, frames)


# Backbones of images ----------------------------------------------------------------------------


def _of_images(backbone: Backbone, frames: Tensor) -> LastMaps:
    model: Any = backbone.model
    pool = backbone.pooling
    if pool is not None:
        maps = _in_parts(backbone, lambda part: last_maps(model, part), frames)
        return LastMaps(maps, lambda given: pool(given).unsqueeze(0))
    if _is_vision_transformer(model):
        return _of_tokens(backbone, frames)
    found = _in_parts(backbone, model.forward_features, frames)
    last = getattr(model, "output_fmt", "NCHW") == "NHWC"  # channels
    if found.ndim != 4:
        raise _no_places(backbone, "its tokens are not laid out as a picture")
    maps = found.movedim(-1, 1) if last else found

    def finish(given: Tensor) -> Tensor:
        return model.forward_head(given.movedim(1, -1) if last else given).unsqueeze(0)

    return LastMaps(maps, finish)


def _is_vision_transformer(model: nn.Module) -> bool:
    from timm.models.vision_transformer import VisionTransformer

    return isinstance(model, VisionTransformer)


def _of_tokens(backbone: Backbone, frames: Tensor) -> LastMaps:
    """Of a vision transformer what enters its last block, after which the class token is alone."""
    model: Any = backbone.model
    entered: list[Tensor] = []
    hook = model.blocks[-1].register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    try:
        _in_parts(backbone, model.forward_features, frames)
    finally:
        hook.remove()
    tokens = torch.cat(entered)
    before, grid = int(model.num_prefix_tokens), tuple(model.patch_embed.grid_size)
    if tokens.shape[1] - before != math.prod(grid):
        raise _no_places(backbone, "its tokens are not laid out as a picture")
    prefix = tokens[:, :before]
    maps = tokens[:, before:].transpose(1, 2).unflatten(2, grid)

    def finish(given: Tensor) -> Tensor:
        places = given.flatten(2).transpose(1, 2)
        last = model.blocks[-1](torch.cat([prefix, places], dim=1))
        return model.forward_head(model.norm(last)).unsqueeze(0)

    return LastMaps(maps, finish)


def _in_parts(backbone: Backbone, compute: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    if backbone.shifting is not None:  # frames see one another
        backbone.shifting.frames = len(frames)
        return compute(frames)
    return torch.cat([compute(part) for part in frames.split(_AT_ONCE)])


# Video models -----------------------------------------------------------------------------------


def _of_clip(backbone: ClipBackbone, frames: Tensor) -> LastMaps:
    model, clip = backbone.model, frames.unsqueeze(0)
    if isinstance(model, C3d):
        maps = model.maps(clip.transpose(1, 2))[0].transpose(0, 1)
        if backbone.pool == "own":
            return LastMaps(maps, lambda given: _c3d(model, given))
    tokens = backbone.family.features(model, clip, tokens=True)
    prefix, grid = _layout(backbone, int(tokens.shape[1]))
    first = tokens[:, :prefix]
    maps = tokens[0, prefix:].T.unflatten(1, grid).transpose(0, 1)

    def finish(given: Tensor) -> Tensor:
        places = given.transpose(0, 1).flatten(1).T.unsqueeze(0)
        if backbone.pool == "tokens":
            return torch.cat([first, places], dim=1)
        if type(model).__name__ == "S3D":
            return pool_s3d(given.transpose(0, 1).unsqueeze(0)).unsqueeze(1)
        means = places.mean(dim=1, keepdim=True)
        return model.fc_norm(means) if hasattr(model, "fc_norm") else means  # type: ignore[operator]

    if backbone.pool == "own" and not torch.allclose(
        finish(maps), backbone(clip), rtol=1e-3, atol=1e-4
    ):
        raise _no_places(backbone, "it reads the clip off one token")
    return LastMaps(maps, finish, prefix if backbone.pool == "tokens" else None)


def _c3d(model: C3d, maps: Tensor) -> Tensor:
    return model.finish(maps.transpose(0, 1).unsqueeze(0)).unsqueeze(1)


def _layout(backbone: ClipBackbone, tokens: int) -> tuple[int, tuple[int, int, int]]:
    """How many tokens come before those of the places, and the (t, h, w) of these."""
    model: Any = backbone.model
    kind = type(model).__name__
    # Of time and of the sides, from the clip to the tokens.
    strides = {"C3d": (8, 16), "VideoResNet": (8, 16), "S3D": (8, 32), "MViT": (2, 32)}
    prefix = int(kind in ("MViT", "VivitModel"))
    if kind == "SwinTransformer3d":
        stages = sum(hasattr(part, "reduction") for part in model.features)
        strides[kind] = (2, 4 * 2**stages)
    elif kind in ("VideoMAEModel", "VJEPA2Model", "VivitModel"):
        tube = getattr(model.config, "tubelet_size", 2)
        time, side = (tube[0], tube[1]) if isinstance(tube, list | tuple) else (tube, 0)
        strides[kind] = (time, side or int(model.config.patch_size))
    if kind not in strides:
        raise _no_places(backbone, "its tokens are not laid out as pictures in time")
    time, side = strides[kind]
    across = math.ceil(backbone.preprocess.size / side)
    grid = (math.ceil(backbone.frames / time), across, across)
    if prefix + math.prod(grid) != tokens:
        raise _no_places(backbone, f"its {tokens} tokens are not {grid} places")
    return prefix, grid


def _no_places(backbone: Backbone, why: str) -> UsageError:
    return UsageError(
        f"What {backbone.name} sees cannot be traced to places in the picture: {why}. Backbones "
        f"that can be explained are networks of convolutions, vision transformers of images, and "
        f"video models that average over places."
    )
