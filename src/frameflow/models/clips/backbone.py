"""Video models as backbones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from frameflow.errors import UsageError, near_names
from frameflow.models.backbones import Backbone, Preprocess, restore_preprocess
from frameflow.models.clips.c3d import C3dFamily
from frameflow.models.clips.family import Family, Options, Variant, grouped, seeded, shape_of
from frameflow.models.clips.huggingface import TransformersFamily
from frameflow.models.clips.torchvision_models import TorchvisionFamily
from frameflow.models.weights import Weights, digest

_FAMILIES: tuple[Family, ...] = (C3dFamily(), TorchvisionFamily(), TransformersFamily())
_KNOWN: dict[str, Family] = {name: family for family in _FAMILIES for name in family.variants}
_TESTS = "test-"  # tiny models, for tests of whatever trains or stores: nobody else needs them


class ClipBackbone(Backbone):
    """A video model: ``(B, T, 3, H, W)`` normalised clips in, ``(B, S, dim)`` features out.

    Attributes:
        frames: T of the clips it takes.
        options: how its architecture departs from the published one, where a file says so.
    """

    framewise = False

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        frames: int,
        steps: int,
        dim: int,
        preprocess: Preprocess,
        weights: Weights,
        pool: str = "own",
        options: Options | None = None,
    ) -> None:
        self.family = _KNOWN[name]
        self.frames = frames
        self.options = dict(options or {})
        self._steps = steps
        super().__init__(
            model, name=name, dim=dim, preprocess=preprocess, weights=weights, pool=pool
        )
        self.temporal = True

    def forward(self, frames: Tensor) -> Tensor:
        """Clips of `frames` frames to one vector each, or with ``pool="tokens"`` one per place."""
        self.steps(int(frames.shape[1]))
        return self.family.features(self.model, frames, tokens=self.pool == "tokens")

    def encode_frames(self, frames: Tensor) -> Tensor:
        del frames
        raise UsageError(f"{self.name} looks at clips, not at single frames.")

    def steps(self, frames: int) -> int:
        """S, how many features a clip has: 1, or the number of tokens.

        Raises:
            UsageError: it was made for clips of another length.
        """
        if frames != self.frames:
            raise UsageError(
                f"{self.name} was made for clips of {self.frames} frames, not {frames}."
            )
        return self._steps

    @property
    def layer(self) -> str:
        return "tokens" if self.pool == "tokens" else "pooled"

    def layers(self) -> list[list[str]]:
        names = [name for name, _ in self.model.named_parameters()]
        return grouped(names, self.family.blocks(self.model))

    def describe(self) -> dict[str, Any]:
        """What `restore` needs, for JSON; the weights are apart."""
        return super().describe() | {
            "kind": "video",
            "frames": self.frames,
            "steps": self._steps,
            "options": self.options,
        }


def is_clip_model(name: str) -> bool:
    """Whether a backbone of this name looks at whole clips.

    Example:
        >>> is_clip_model("c3d"), is_clip_model("resnet18")
        (True, False)
    """
    return _plain(name) in _KNOWN


def clip_model_names() -> list[str]:
    """The video models a recipe can name, sorted."""
    return sorted(name for name in _KNOWN if not name.startswith(_TESTS))


def build_clip_backbone(
    name: str,
    *,
    weights: str | Path = "auto",
    size: int | None = None,
    frames: int | None = None,
    pool: str = "own",
) -> ClipBackbone:
    """A video model by name, frozen and in evaluation mode.

    Args:
        name: one of `clip_model_names`.
        weights: ``auto`` and ``hub`` are the published ones; ``none`` random values, the same
            every time; or a file in the format of the model's family (torchvision: a state_dict
            with or without its classifier; transformers: a folder with ``config.json``, a file
            with its key names, or ``OWNER/NAME`` of a repository on the hub).
        size: side of the frames in px; the published one where None. Tables of positions are
            interpolated to another size or number of frames.
        frames: T of the clips; the published number where None.
        pool: ``own`` is one vector a clip, as the published classifier sees it; ``tokens`` one
            vector for each place in space and time, and the class token where there is one.

    Raises:
        UsageError: unknown name, weights that cannot be had or are of another model, clips or a
            pool that the model cannot take, or transformers is not installed.

    Example:
        >>> import torch
        >>> backbone = build_clip_backbone("c3d-small", weights="none", size=32, frames=8)
        >>> backbone(torch.zeros(2, 8, 3, 32, 32)).shape
        torch.Size([2, 1, 256])
    """
    family, variant = _variant(name)
    size = variant.size if size is None else size
    frames = variant.frames if frames is None else frames
    variant.check(size=size, frames=frames, pool=pool)
    tokens = pool == "tokens"
    steps, dim = shape_of(family, variant, size=size, frames=frames, tokens=tokens, options={})
    model = seeded(family, variant, size=size, frames=frames, options={})
    options: Options = {}
    if str(weights) == "none":
        found = Weights("random values, seed 0", digest(model.state_dict()))
    else:
        loaded = family.load(variant, weights, size=size, frames=frames, model=model)
        model, found, options = loaded.model.eval(), loaded.weights, loaded.options
    return ClipBackbone(
        model,
        name=variant.name,
        frames=frames,
        steps=steps,
        dim=dim,
        preprocess=Preprocess(size, variant.mean, variant.std, "bilinear"),
        weights=found,
        pool=pool,
        options=options,
    ).eval()


def restore(described: Mapping[str, Any]) -> ClipBackbone:
    """A video model as `ClipBackbone.describe` tells, its weights to be filled in afterwards.

    Raises:
        KeyError, TypeError, ValueError, UsageError: the description is damaged, or transformers
            is not installed.
    """
    family, variant = _variant(str(described["name"]))
    preprocess = restore_preprocess(described["preprocess"])
    frames, options = int(described["frames"]), dict(described["options"])
    model = seeded(family, variant, size=preprocess.size, frames=frames, options=options)
    return ClipBackbone(
        model,
        name=variant.name,
        frames=frames,
        steps=int(described["steps"]),
        dim=int(described["dim"]),
        preprocess=preprocess,
        weights=Weights(described["source"], described["digest"]),
        pool=str(described["pool"]),
        options=options,
    ).eval()


def _plain(name: str) -> str:
    """Recipes may write a model as its family does: ``r2plus1d_18``."""
    wanted = name.strip().lower()
    return wanted if wanted in _KNOWN else wanted.replace("-", "_")


def _variant(name: str) -> tuple[Family, Variant]:
    wanted = _plain(name)
    if wanted not in _KNOWN:
        known = clip_model_names()
        raise UsageError(
            f"No video model is named {name!r}.{near_names(name, known)} "
            f"There are {', '.join(known)}."
        )
    family = _KNOWN[wanted]
    return family, family.variants[wanted]
