"""Augmentation of clips: one draw for all frames, so that what stands still stays still.

`draw` chooses the changes of one clip; `Changes.apply` makes them to its images, whatever their
size, so that the streams of a recipe see the same change. All images of a clip count as one where
an operation asks for their brightness (contrast, equalise): frame by frame they would flicker.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from frameflow.config import Augment
from frameflow.training._randaugment import Operation, functional, operate
from frameflow.training._randaugment import draw as draw_operations

__all__ = ["Box", "Changes", "Colour", "LowLight", "MotionBlur", "Operation", "draw"]

_RATIOS = (3 / 4, 4 / 3)  # of the sides of a random crop: those of Inception's training
_ERASED = (0.02, 1 / 3)  # share of the area, Zhong et al.
_ERASED_RATIOS = (0.3, 1 / 0.3)
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in shares of the width and height, from the top left corner."""

    x: float
    y: float
    w: float
    h: float

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, width, height), at least a pixel each way, inside the image."""
        left, top = round(self.x * width), round(self.y * height)
        right, bottom = round((self.x + self.w) * width), round((self.y + self.h) * height)
        left, top = min(left, width - 1), min(top, height - 1)
        return left, top, max(1, right - left), max(1, bottom - top)


@dataclass(frozen=True, slots=True)
class Colour:
    """Factors on brightness, contrast and saturation, and a turn of the hue (1 is full circle)."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True, slots=True)
class LowLight:
    """A darker picture: ``gain * x ** gamma`` of x from 0 to 1, and noise of ``noise`` levels."""

    gain: float
    gamma: float
    noise: float


@dataclass(frozen=True, slots=True)
class MotionBlur:
    """The smear of a camera that moves: ``length`` is a share of the side, ``angle`` in radians."""

    length: float
    angle: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What happens to one clip, in the order of its attributes; None and 0 leave it as it is.

    Attributes:
        crop: what is kept.
        flip: mirror left to right.
        operations: of RandAugment.
        colour: brightness, contrast, saturation, hue.
        blur: motion blur.
        low_light: darkness and noise.
        erase: what is covered with noise.
        seed: of the noise.
    """

    crop: Box | None = None
    flip: bool = False
    operations: tuple[Operation, ...] = ()
    colour: Colour | None = None
    blur: MotionBlur | None = None
    low_light: LowLight | None = None
    erase: Box | None = None
    seed: int = 0

    def apply(self, images: np.ndarray, *, size: int | None = None) -> np.ndarray:
        """Change the images of a clip, all in the same way.

        Args:
            images: ``(M, H, W, 3)`` uint8; they are not written into.
            size: the side of the result in px; None leaves height and width as they are.

        Returns:
            ``(M, size, size, 3)`` uint8, which shares memory with ``images`` where nothing
            changes.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        height, width = images.shape[1:3] if size is None else (size, size)
        pixels = _resized(pixels, self.crop, width, height)
        if self.flip:
            pixels = pixels.flip(2)
        for operation in self.operations:
            pixels = operate(operation, pixels)
        if self.colour is not None:
            pixels = _coloured(pixels, self.colour)
        if self.blur is not None:
            pixels = _smeared(pixels, self.blur)
        rng = np.random.default_rng(self.seed)
        if self.low_light is not None:
            pixels = _darkened(pixels, self.low_light, rng)
        if self.erase is not None:
            pixels = _erased(pixels, self.erase, rng)
        return pixels.contiguous().numpy()


def draw(augment: Augment, rng: np.random.Generator, *, may_flip: bool = True) -> Changes:
    """Choose the changes of one clip.

    Args:
        augment: the recipe's.
        rng: their randomness. Each kind of change draws the same numbers whether it comes to
            happen or not, so that one setting does not alter what the others do.
        may_flip: whether a mirrored clip still shows what its label says.
    """
    seeds = rng.integers(2**63, size=8).tolist()
    crop, flip, operations, colour, blur, low_light, erase = (
        np.random.default_rng(seed) for seed in seeds[:7]
    )
    flipped = bool(flip.random() < 0.5) and augment.flip and may_flip
    return Changes(
        crop=None if augment.crop is None else _random_box(crop, (augment.crop, 1.0), _RATIOS),
        flip=flipped,
        operations=draw_operations(augment.randaugment, augment.magnitude, operations),
        colour=_random_colour(augment.colour, colour) if augment.colour else None,
        blur=_random_blur(blur) if blur.random() < augment.blur else None,
        low_light=_random_darkness(low_light) if low_light.random() < augment.low_light else None,
        erase=_random_box(erase, _ERASED, _ERASED_RATIOS)
        if erase.random() < augment.erase
        else None,
        seed=seeds[-1],
    )


# Draws ----------------------------------------------------------------------------------------


def _random_box(
    rng: np.random.Generator, area: tuple[float, float], ratios: tuple[float, float]
) -> Box:
    """A rectangle of a random share and ratio that fits (Szegedy et al., Inception, 2015)."""
    for _ in range(10):
        share = rng.uniform(*area)
        ratio = math.exp(rng.uniform(math.log(ratios[0]), math.log(ratios[1])))
        w, h = math.sqrt(share * ratio), math.sqrt(share / ratio)
        if w <= 1 and h <= 1:
            break
    else:
        w = h = math.sqrt(share)
    return Box(float(rng.uniform(0, 1 - w)), float(rng.uniform(0, 1 - h)), w, h)


def _random_colour(strength: float, rng: np.random.Generator) -> Colour:
    """Ranges of SimCLR (Chen et al. 2020): 0.8 of the strength, and 0.2 of it for the hue."""
    brightness, contrast, saturation = 1 + 0.8 * strength * rng.uniform(-1, 1, 3)
    return Colour(brightness, contrast, saturation, 0.2 * strength * rng.uniform(-1, 1))


def _random_blur(rng: np.random.Generator) -> MotionBlur:
    return MotionBlur(rng.uniform(0.02, 0.06), rng.uniform(0, math.pi))


def _random_darkness(rng: np.random.Generator) -> LowLight:
    return LowLight(rng.uniform(0.35, 0.75), rng.uniform(1.0, 1.6), rng.uniform(2, 8))


# Pixels: (M, H, W, 3) uint8 tensors -------------------------------------------------------------


def _resized(pixels: Tensor, crop: Box | None, width: int, height: int) -> Tensor:
    own_height, own_width = pixels.shape[1:3]
    if crop is None and (width, height) == (own_width, own_height):
        return pixels
    left, top, w, h = (crop or Box(0, 0, 1, 1)).pixels(own_width, own_height)
    images = functional().resized_crop(
        pixels.permute(0, 3, 1, 2), top, left, h, w, [height, width], antialias=True
    )
    return images.permute(0, 2, 3, 1)


def _coloured(pixels: Tensor, colour: Colour) -> Tensor:
    """All four in one product, which takes a tenth of the time of torchvision's four operations.

    Contrast turns around the mean brightness of the clip. The hue turns around the grey axis in
    YIQ, so brightness stays as it is.
    """
    luma = torch.tensor(_LUMA)
    values = pixels.reshape(-1, 3).float()
    mean = float(values.mean(0) @ luma) * colour.brightness
    saturate = colour.saturation * torch.eye(3) + (1 - colour.saturation) * luma.expand(3, 3)
    matrix = _hue_matrix(colour.hue) @ saturate * (colour.contrast * colour.brightness)
    shift = torch.full((3,), (1 - colour.contrast) * mean)
    changed = torch.addmm(shift, values, matrix.T)
    return changed.round_().clamp_(0, 255).to(torch.uint8).view(pixels.shape)


def _hue_matrix(turn: float) -> Tensor:
    yiq = torch.tensor([_LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
    sine, cosine = math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)
    rotation = torch.tensor([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])
    return torch.linalg.inv(yiq) @ rotation @ yiq


def _smeared(pixels: Tensor, blur: MotionBlur) -> Tensor:
    """The mean of copies moved along a line."""
    height, width = pixels.shape[1:3]
    length = max(2.0, blur.length * min(height, width))
    steps = np.linspace(-length / 2, length / 2, math.ceil(length) + 1)
    places = {
        (round(step * math.cos(blur.angle)), round(step * math.sin(blur.angle))) for step in steps
    }
    most = math.ceil(length / 2)
    padded = functional().pad(pixels.permute(0, 3, 1, 2), [most] * 4, padding_mode="edge")
    padded = padded.permute(0, 2, 3, 1)
    total = torch.zeros(pixels.shape, dtype=torch.int16)
    for x, y in sorted(places):
        total += padded[:, most + y : most + y + height, most + x : most + x + width]
    total += len(places) // 2  # to the nearest
    return total.div_(len(places), rounding_mode="floor").to(torch.uint8)


def _darkened(pixels: Tensor, low_light: LowLight, rng: np.random.Generator) -> Tensor:
    """The noise is one pattern: if it changed from frame to frame, it would look like motion."""
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    darker = functional().adjust_gamma(levels, gamma=low_light.gamma, gain=low_light.gain)
    dark = torch.from_numpy(darker.flatten().to(torch.int16).numpy()[pixels.numpy()])
    noise = rng.normal(0, low_light.noise, pixels.shape[1:]).round().astype(np.int16)
    return dark.add_(torch.from_numpy(noise)).clamp_(0, 255).to(torch.uint8)


def _erased(pixels: Tensor, box: Box, rng: np.random.Generator) -> Tensor:
    """Random erasing (Zhong et al. 2020): noise, one pattern for all frames."""
    left, top, width, height = box.pixels(pixels.shape[2], pixels.shape[1])
    noise = torch.from_numpy(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    images = functional().erase(
        pixels.permute(0, 3, 1, 2), top, left, height, width, noise.permute(2, 0, 1)
    )
    return images.permute(0, 2, 3, 1)
