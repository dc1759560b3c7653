"""RandAugment's operations on clips (Cubuk et al., RandAugment, 2020).

Strengths are those of the paper at magnitude 10 of 10, with two exceptions for what still looks
like a video: clips shift by at most 0.3 of a side, not 0.45, and are not solarised, which makes
negatives.
"""

from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np
from torch import Tensor

_TURN = 30.0  # degrees at full strength, and so on
_SHEAR = 17.0  # degrees: a shear of 0.3
_SHIFT = 0.3  # share of the side
_ENHANCE = 0.9  # factors from 0.1 to 1.9
_BITS = 4  # of 8 that are dropped

# The operations that go both ways draw a sign.
SIGNED = (
    "rotate", "shear-x", "shear-y", "shift-x", "shift-y",
    "brightness", "contrast", "saturation", "sharpness",
)  # fmt: skip
NAMES = ("identity", *SIGNED, "autocontrast", "equalise", "posterise")


@dataclass(frozen=True, slots=True)
class Operation:
    """One of `NAMES`; ``level`` is its strength from 0 to 1, negative for the other way."""

    name: str
    level: float


@cache
def functional() -> ModuleType:
    """torchvision's operations on images, which take a while to import."""
    from frameflow.models._torchvision_shim import allow_torchvision

    allow_torchvision()
    from torchvision.transforms.v2 import functional as found

    return found


def draw(count: int, magnitude: float, rng: np.random.Generator) -> tuple[Operation, ...]:
    """So many operations, each of equal chance, at ``magnitude`` of 10."""
    names = [NAMES[number] for number in rng.integers(len(NAMES), size=count)]
    signs = np.where(rng.random(count) < 0.5, -1, 1)
    return tuple(
        Operation(name, float(sign if name in SIGNED else 1) * magnitude / 10)
        for name, sign in zip(names, signs)
    )


def operate(operation: Operation, pixels: Tensor) -> Tensor:
    """Change ``(M, H, W, 3)`` uint8 images, all in the same way."""
    does = functional()
    level = operation.level
    if operation.name == "identity":
        return pixels
    if operation.name in SIGNED[:5]:
        return _moved(operation, pixels)
    if operation.name == "sharpness":  # each pixel by its neighbours in the frame
        sharp = does.adjust_sharpness(pixels.permute(0, 3, 1, 2), 1 + _ENHANCE * level)
        return sharp.permute(0, 2, 3, 1)
    # All frames as one tall image: its histogram is that of the clip.
    frames, height, width, _ = pixels.shape
    tall = pixels.reshape(1, frames * height, width, 3).permute(0, 3, 1, 2)
    match operation.name:
        case "brightness":
            tall = does.adjust_brightness(tall, 1 + _ENHANCE * level)
        case "contrast":
            tall = does.adjust_contrast(tall, 1 + _ENHANCE * level)
        case "saturation":
            tall = does.adjust_saturation(tall, 1 + _ENHANCE * level)
        case "autocontrast":
            tall = does.autocontrast(tall)
        case "equalise":
            tall = does.equalize(tall)
        case "posterise":
            tall = does.posterize(tall, 8 - round(_BITS * level))
        case name:
            raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    return tall.permute(0, 2, 3, 1).reshape(pixels.shape)


def _moved(operation: Operation, pixels: Tensor) -> Tensor:
    """Turned, sheared or shifted; what comes into view has the mean colour of the clip."""
    does = functional()
    height, width = pixels.shape[1:3]
    angle, shear, shift, level = 0.0, [0.0, 0.0], [0, 0], operation.level
    match operation.name:
        case "rotate":
            angle = _TURN * level
        case "shear-x":
            shear = [_SHEAR * level, 0.0]
        case "shear-y":
            shear = [0.0, _SHEAR * level]
        case "shift-x":
            shift = [round(_SHIFT * level * width), 0]
        case "shift-y":
            shift = [0, round(_SHIFT * level * height)]
    fill = pixels.reshape(-1, 3).float().mean(0).round().tolist()
    moved = does.affine(
        pixels.permute(0, 3, 1, 2),
        angle=angle,
        translate=shift,
        scale=1.0,
        shear=shear,
        interpolation=does.InterpolationMode.BILINEAR,
        fill=fill,
    )
    return moved.permute(0, 2, 3, 1)
