"""C3D: 3 x 3 x 3 convolutions throughout, made to be trained from scratch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.clips import _files
from frameflow.models.clips.family import (
    KINETICS_MEAN,
    KINETICS_STD,
    Family,
    Loaded,
    Options,
    Variant,
)

_NAMES = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")
_POOLED_AFTER = {"conv1": 1, "conv2": 2, "conv3b": 2, "conv4b": 2}  # and conv5b; frames at a time


class C3d(nn.Module):
    """Eight convolutions of 3 x 3 x 3, five poolings, and fully connected layers.

    Tran et al. 2015, "Learning Spatiotemporal Features with 3D Convolutional Networks"
    (https://arxiv.org/abs/1412.0767): 64 to 512 channels, 16 frames of 112 px, fc6 and fc7 of
    4096. The layers have the names of the paper, under which its ports keep their weights.

    Args:
        channels: of the eight convolutions.
        hidden: width of fc6 and fc7; 0 for none of them: the last feature map is then averaged,
            and each convolution is followed by batch normalisation, without which a small
            network hardly learns from few clips.
        size: side of the frames in px.
        frames: of a clip.
    """

    def __init__(self, channels: Sequence[int], hidden: int, *, size: int, frames: int) -> None:
        super().__init__()
        self.hidden = hidden
        before = 3
        for name, width in zip(_NAMES, channels, strict=True):
            conv = nn.Conv3d(before, width, 3, padding=1, bias=hidden > 0)
            normalised = nn.Sequential(conv, nn.BatchNorm3d(width))
            self.add_module(name, conv if hidden else normalised)
            before = width
        self.relu = nn.ReLU(inplace=True)
        if hidden:
            self.pool5 = nn.MaxPool3d(2, stride=2, padding=(0, 1, 1))
            time, side = frames // 16, (size // 16) // 2 + 1
            self.fc6 = nn.Linear(before * time * side * side, hidden)
            self.fc7 = nn.Linear(hidden, hidden)
            self.dropout = nn.Dropout(0.5)
        self.apply(_start)

    def maps(self, clips: Tensor) -> Tensor:
        """``(B, 3, T, H, W)`` to the maps of conv5b, ``(B, C, T / 8, H / 16, W / 16)``."""
        x = clips
        for name in _NAMES:
            x = self.relu(self.get_submodule(name)(x))
            if name in _POOLED_AFTER:
                x = nn.functional.max_pool3d(x, (_POOLED_AFTER[name], 2, 2))
        return x

    def forward(self, clips: Tensor) -> Tensor:
        """``(B, 3, T, H, W)`` to fc7, or to the mean of the maps where there is none."""
        return self.finish(self.maps(clips))

    def finish(self, maps: Tensor) -> Tensor:
        """``(B, C, t, h, w)`` maps of conv5b to features."""
        if not self.hidden:
            return maps.mean(dim=(2, 3, 4))
        x = self.pool5(maps).flatten(1)
        x = self.dropout(self.relu(self.fc6(x)))
        return self.dropout(self.relu(self.fc7(x)))


def _start(module: nn.Module) -> None:
    """As He et al. 2015 (https://arxiv.org/abs/1502.01852): so deep a chain learns from there."""
    if isinstance(module, nn.Conv3d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _variant(name: str, channels: Sequence[int], hidden: int, *, size: int = 112) -> Variant:
    return Variant(
        name,
        size=size,
        frames=16,
        mean=KINETICS_MEAN,
        std=KINETICS_STD,
        sides=16,
        steps=16 if hidden else 8,
        pools=("own",) if hidden else ("own", "tokens"),
        parts={"channels": tuple(channels), "hidden": hidden},
    )


class C3dFamily(Family):
    """C3D as published, and a small one for few clips and no GPU."""

    variants: ClassVar[Mapping[str, Variant]] = {
        variant.name: variant
        for variant in (
            _variant("c3d", (64, 128, 256, 256, 512, 512, 512, 512), 4096),
            _variant("c3d-small", (16, 32, 64, 64, 128, 128, 256, 256), 0),
            _variant("test-c3d", (4, 4, 8, 8, 8, 8, 8, 8), 16, size=32),
        )
    }

    def create(self, variant: Variant, *, size: int, frames: int, options: Options) -> nn.Module:
        del options
        return C3d(
            variant.parts["channels"], variant.parts["hidden"], size=size, frames=frames
        )  # fmt: skip

    def features(self, model: nn.Module, clips: Tensor, *, tokens: bool) -> Tensor:
        assert isinstance(model, C3d)
        moved = clips.transpose(1, 2)
        if tokens:
            return model.maps(moved).flatten(2).transpose(1, 2)
        return model(moved).unsqueeze(1)

    def blocks(self, model: nn.Module) -> list[str]:
        return [name for name, module in model.named_children() if list(module.parameters())]

    def load(
        self, variant: Variant, weights: str | Path, *, size: int, frames: int, model: nn.Module
    ) -> Loaded:
        del size, frames
        if str(weights) in ("auto", "hub"):
            raise UsageError(
                f"No weights are published for {variant.name}, which is made to be trained from "
                f"scratch: set weights: none, or name a file."
            )
        state = _files.read(Path(weights), variant.name)
        return _files.fill(model, state, name=variant.name, path=Path(weights), others=("fc8.",))
