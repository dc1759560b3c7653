"""Temporal shift: a network of images sees its neighbours in time, at no cost.

Lin, Gan and Han, "TSM: Temporal shift module for efficient video understanding", ICCV 2019.
"""

from collections.abc import Collection

from torch import Tensor, nn

from frameflow.errors import UsageError


class TemporalShift:
    """Moves a share of the channels one frame each way, before a convolution.

    ::

        channels  0 .. C/share      come from the frame after (zero in the last)
                  .. 2 C/share      come from the frame before (zero in the first)
                  the rest          stay

    A hook on convolutions, so that the names of a model's parameters stay as they are.

    Args:
        share: one of so many channels moves each way, at least 2 (the paper's is 8).

    Attributes:
        frames: T, how many frames follow one another in what comes in, ``(B * T, C, H, W)``.
    """

    def __init__(self, share: int) -> None:
        if share < 2:
            raise UsageError(
                f"shift ({share}) must be 2 or more (one of so many channels moves each way; "
                f"the paper's is 8), or 0 for none."
            )
        self.share = share
        self.frames = 1

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return shifted(inputs[0], self.frames, self.share), *inputs[1:]


def shifted(x: Tensor, frames: int, share: int) -> Tensor:
    """``(B * T, C, H, W)`` with ``C // share`` channels moved a frame each way, zeros moving in."""
    fold = x.shape[1] // share
    if fold == 0:
        return x
    clips = x.unflatten(0, (-1, frames))
    moved = x.clone()  # keeps channels last where they are
    out = moved.unflatten(0, (-1, frames))
    out[:, :-1, :fold] = clips[:, 1:, :fold]
    out[:, -1, :fold] = 0
    out[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    out[:, 0, fold : 2 * fold] = 0
    return moved


def add_shift(
    model: nn.Module, share: int, *, name: str, before_cut: Collection[str] = ()
) -> TemporalShift:
    """Shift before the first convolution of each residual block of a timm model.

    Args:
        model: of a family with residual blocks of convolutions.
        share: see `TemporalShift`.
        name: the model's, for messages.
        before_cut: parameters whose layers lie before a cut, where nothing is shifted.

    Raises:
        UsageError: ``share`` is out of range, or there is no block to shift in.
    """
    shift = TemporalShift(share)
    places = [place for place in _places(model) if f"{place}.weight" not in before_cut]
    wide = [p for p in places if _channels(model.get_submodule(p)) >= share]
    if not wide:
        where = " behind its cut" if before_cut else ""
        raise UsageError(
            f"{name} has no residual block of convolutions with {share} or more channels{where}, "
            f"which shift needs: take an EfficientNet, a MobileNet or a ResNet, or shift: 0."
        )
    for place in places:
        model.get_submodule(place).register_forward_pre_hook(shift)
    return shift


def _channels(module: nn.Module) -> int:
    return module.in_channels if isinstance(module, nn.Conv2d) else 0


def _places(model: nn.Module) -> list[str]:
    """The first convolution of each residual block."""
    places = []
    for block_name, block in model.named_modules():
        if not _is_residual(block):
            continue
        first = next((n for n, m in block.named_modules() if isinstance(m, nn.Conv2d)), None)
        if first is not None:
            places.append(f"{block_name}.{first}")
    return places


def _is_residual(block: nn.Module) -> bool:
    home = type(block).__module__
    if home == "timm.models._efficientnet_blocks":
        return bool(getattr(block, "has_skip", False))
    return home == "timm.models.resnet" and type(block).__name__ in {"BasicBlock", "Bottleneck"}
