"""The video models of torchvision, with the weights it publishes for Kinetics-400."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from frameflow.models import _hub
from frameflow.models._states import State
from frameflow.models._torchvision_shim import allow_torchvision
from frameflow.models.clips import _files
from frameflow.models.clips.family import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    KINETICS_MEAN,
    KINETICS_STD,
    Family,
    Loaded,
    Options,
    Variant,
)

_MEAN_045, _STD_0225 = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


def _variant(name: str, kind: str, **choices: Any) -> Variant:
    published = None if name.startswith("test-") else name
    parts = {"kind": kind, **choices.pop("parts", {})}
    return Variant(name, published=published, parts=parts, **choices)


_VARIANTS = (
    # Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
    # https://arxiv.org/abs/1711.11248
    _variant("r2plus1d_18", "resnet", size=112, frames=16, mean=KINETICS_MEAN, std=KINETICS_STD),
    # Xie et al. 2018, "Rethinking Spatiotemporal Feature Learning", https://arxiv.org/abs/1712.04851
    _variant("s3d", "s3d", size=224, frames=64, mean=KINETICS_MEAN, std=KINETICS_STD),
    # Li et al. 2022, "MViTv2", https://arxiv.org/abs/2112.01526
    _variant(
        "mvit_v2_s",
        "mvit",
        size=224,
        frames=16,
        mean=_MEAN_045,
        std=_STD_0225,
        sides=32,
        steps=2,
        parts={"depths": (1, 2, 11, 2), "width": 96},
    ),
    # Liu et al. 2022, "Video Swin Transformer", https://arxiv.org/abs/2106.13230
    _variant(
        "swin3d_t",
        "swin",
        size=224,
        frames=32,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parts={"depths": (2, 2, 6, 2), "width": 96, "window": (8, 7, 7), "heads": (3, 6, 12, 24)},
    ),
    _variant(
        "test-r2plus1d",
        "resnet",
        size=32,
        frames=4,
        mean=KINETICS_MEAN,
        std=KINETICS_STD,
        parts={"layers": (1, 1, 1, 1)},
    ),
    _variant(
        "test-mvit",
        "mvit",
        size=32,
        frames=4,
        mean=_MEAN_045,
        std=_STD_0225,
        sides=32,
        steps=2,
        parts={"depths": (1, 1, 1, 1), "width": 8},
    ),
    _variant(
        "test-swin3d",
        "swin",
        size=32,
        frames=4,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parts={"depths": (1, 1), "width": 8, "window": (2, 4, 4), "heads": (1, 2)},
    ),
)


class TorchvisionFamily(Family):
    """R(2+1)D, S3D, MViTv2 and Video Swin."""

    variants: ClassVar[Mapping[str, Variant]] = {variant.name: variant for variant in _VARIANTS}

    def create(self, variant: Variant, *, size: int, frames: int, options: Options) -> nn.Module:
        del options
        allow_torchvision()
        parts = variant.parts
        if parts["kind"] == "mvit":
            return _mvit(parts["depths"], parts["width"], size=size, frames=frames)
        if parts["kind"] == "swin":
            return _swin(parts)
        return _s3d() if parts["kind"] == "s3d" else _resnet(parts.get("layers", (2, 2, 2, 2)))

    def features(self, model: nn.Module, clips: Tensor, *, tokens: bool) -> Tensor:
        moved = clips.transpose(1, 2)  # torchvision's are (B, 3, T, H, W)
        found = _FEATURES[type(model).__name__](model, moved, tokens)
        return found if found.ndim == 3 else found.unsqueeze(1)

    def blocks(self, model: nn.Module) -> list[str]:
        names = []
        for name, child in model.named_children():
            many = isinstance(child, nn.Sequential | nn.ModuleList) and name != "stem"
            names += [f"{name}.{place}" for place, _ in child.named_children()] if many else [name]
        return names

    def load(
        self, variant: Variant, weights: str | Path, *, size: int, frames: int, model: nn.Module
    ) -> Loaded:
        del size, frames
        path, source = Path(weights), None
        if str(weights) in ("auto", "hub"):
            path, source = _hub.fetch_url(variant.name, _published(variant), instead=_CURES)
        state = _files.read(path, variant.name)
        if variant.parts["kind"] == "mvit":
            state = _resized(state, model)
        others = ("fc.", "head.", "classifier.")
        return _files.fill(
            model, state, name=variant.name, path=path, others=others, source=source
        )  # fmt: skip


_CURES = (
    "Download the file elsewhere and name it (weights: FILE), or start from random values "
    "(weights: none)."
)


def _published(variant: Variant) -> str | None:
    """The address of torchvision's weights of a model."""
    if variant.published is None:
        return None
    from torchvision.models import get_model_weights

    return str(next(iter(get_model_weights(variant.published))).url)


# Making ---------------------------------------------------------------------------------------


def _resnet(layers: tuple[int, ...]) -> nn.Module:
    from torchvision.models.video import resnet

    model = resnet.VideoResNet(
        resnet.BasicBlock, [resnet.Conv2Plus1D] * 4, list(layers), resnet.R2Plus1dStem
    )
    model.fc = nn.Identity()
    return model


def _s3d() -> nn.Module:
    from torchvision.models.video import s3d

    model = s3d()
    model.classifier = nn.Identity()
    return model


def _swin(parts: Mapping[str, Any]) -> nn.Module:
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    model = SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=parts["width"],
        depths=list(parts["depths"]),
        num_heads=list(parts["heads"]),
        window_size=list(parts["window"]),
        stochastic_depth_prob=0.1,
    )
    model.head = nn.Identity()
    return model


def _mvit(depths: tuple[int, ...], width: int, *, size: int, frames: int) -> nn.Module:
    """MViTv2 for frames of any size: torchvision's own constructor knows 224 px only.

    Each stage doubles the channels and halves the frames' sides in its first block, and looks at
    keys and values whose sides are as many times shorter as its frames' sides are longer than
    those of the last stage.
    """
    from torchvision.models.video import mvit

    blocks = []
    before = width
    for stage, depth in enumerate(depths):
        for place in range(depth):
            first = stage > 0 and place == 0
            after = width * 2**stage
            shrink = 2 if first else 1
            keys = 2 ** (len(depths) - 1 - stage)
            blocks.append(
                mvit.MSBlockConfig(
                    num_heads=2**stage,
                    input_channels=before,
                    output_channels=after,
                    kernel_q=[3, 3, 3],
                    kernel_kv=[3, 3, 3],
                    stride_q=[1, shrink, shrink],
                    stride_kv=[1, keys, keys],
                )
            )
            before = after
    model = mvit.MViT(
        spatial_size=(size, size),
        temporal_size=frames,
        block_setting=blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        stochastic_depth_prob=0.2,
    )
    model.head = nn.Identity()
    return model


def _resized(state: State, model: nn.Module) -> State:
    """Tables of relative positions for another size or number of frames, interpolated.

    As the authors do, linearly: ``(2 n - 1, channels)`` to ``(2 m - 1, channels)``.
    """
    wanted = model.state_dict()
    found = dict(state)
    for key, table in state.items():
        if ".rel_pos_" not in key or key not in wanted or table.shape == wanted[key].shape:
            continue
        if table.ndim == 2 and table.shape[1] == wanted[key].shape[1]:
            rows = table.float().T.unsqueeze(0)
            found[key] = F.interpolate(rows, size=len(wanted[key]), mode="linear")[0].T
    return found


# Running --------------------------------------------------------------------------------------


def _places(maps: Tensor) -> Tensor:
    """``(B, C, T, H, W)`` to ``(B, T H W, C)``."""
    return maps.flatten(2).transpose(1, 2)


def _of_resnet(model: Any, clips: Tensor, tokens: bool) -> Tensor:
    if not tokens:
        return model(clips)
    maps = model.stem(clips)
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        maps = layer(maps)
    return _places(maps)


def _of_s3d(model: Any, clips: Tensor, tokens: bool) -> Tensor:
    maps = model.features(clips)
    return _places(maps) if tokens else pool_s3d(maps)


def pool_s3d(maps: Tensor) -> Tensor:
    """``(B, C, T, H, W)`` to ``(B, C)``, as S3D does it.

    Published: means of 2 x 7 x 7 places, then of what these give. Smaller clips have fewer.
    """
    window = [min(most, side) for most, side in zip((2, 7, 7), maps.shape[2:])]
    return F.avg_pool3d(maps, window, stride=1).mean(dim=(2, 3, 4))


def _of_swin(model: Any, clips: Tensor, tokens: bool) -> Tensor:
    x = model.norm(model.features(model.pos_drop(model.patch_embed(clips))))
    return x.flatten(1, 3) if tokens else x.mean(dim=(1, 2, 3))


def _of_mvit(model: Any, clips: Tensor, tokens: bool) -> Tensor:
    x = model.pos_encoding(model.conv_proj(clips).flatten(2).transpose(1, 2))
    places = (model.pos_encoding.temporal_size, *model.pos_encoding.spatial_size)
    for block in model.blocks:
        x, places = block(x, places)
    x = model.norm(x)
    return x if tokens else x[:, 0]


_FEATURES = {
    "VideoResNet": _of_resnet,
    "S3D": _of_s3d,
    "SwinTransformer3d": _of_swin,
    "MViT": _of_mvit,
}
