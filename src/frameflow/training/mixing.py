"""Mixup and cutmix between the clips of a batch.

Each clip is mixed with another of the batch, all of its frames and streams in the same shares:
mixup adds them (Zhang et al., mixup, 2018), cutmix puts a rectangle of the one into the other
(Yun et al., CutMix, 2019), the same rectangle in every frame.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from frameflow.training.augment import Box


def mix(
    inputs: Sequence[Tensor],
    mask: Tensor,
    targets: Tensor,
    *,
    classes: int,
    mixup: float,
    cutmix: float,
    rng: np.random.Generator,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Mix a batch; with both methods, a coin decides for the batch.

    Args:
        inputs: for each stream ``(B, T, H, W, 3)`` uint8.
        mask: ``(B, T)`` bool.
        targets: ``(B,)`` int64 classes, or ``(B, K)`` float.
        classes: K.
        mixup: alpha, of the Beta distribution of a clip's share; 0: not this method.
        cutmix: likewise.
        rng: which clips, and in which shares.

    Returns:
        the inputs and masks of the mixed clips (a frame counts if it is real in one of both), and
        ``(B, K)`` float32 targets in the same shares: those of one class a clip sum to 1.
    """
    targets = shares_of(targets, classes)
    if not mixup and not cutmix:
        return list(inputs), mask, targets
    cut = bool(rng.random() < 0.5) if mixup and cutmix else not mixup
    alpha = cutmix if cut else mixup
    others = _partners(len(mask), rng)
    kept = rng.beta(alpha, alpha, size=len(mask))
    if cut:
        boxes = [_box(1 - share, rng) for share in kept]
        mixed = [_pasted(images, images[others], boxes) for images in inputs]
        own = _uncovered(inputs, boxes)
    else:
        own = torch.from_numpy(kept).float()
        mixed = [_added(images, images[others], own) for images in inputs]
    share = own[:, None]
    return mixed, mask | mask[others], targets * share + targets[others] * (1 - share)


def shares_of(targets: Tensor, classes: int) -> Tensor:
    """``(B,)`` classes or ``(B, K)`` shares to ``(B, K)`` float32 shares."""
    return functional.one_hot(targets, classes).float() if targets.ndim == 1 else targets.float()


def _partners(count: int, rng: np.random.Generator) -> Tensor:
    """Another clip for each: everyone in a ring of random order takes the next."""
    order = torch.from_numpy(rng.permutation(count))
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others


def _added(images: Tensor, others: Tensor, own: Tensor) -> Tensor:
    mixed = torch.empty_like(images)
    for clip, other, share, out in zip(images, others, own.tolist(), mixed):
        out.copy_(torch.lerp(other.float(), clip.float(), share).round_())
    return mixed


def _box(share: float, rng: np.random.Generator) -> Box:
    """A rectangle of a share of the area around any point; what lies outside is lost."""
    side = math.sqrt(share)
    x, y = rng.random(2)
    left, right = max(0.0, x - side / 2), min(1.0, x + side / 2)
    top, bottom = max(0.0, y - side / 2), min(1.0, y + side / 2)
    return Box(left, top, right - left, bottom - top)


def _pasted(images: Tensor, others: Tensor, boxes: Sequence[Box]) -> Tensor:
    mixed = images.clone()
    for out, other, box in zip(mixed, others, boxes):
        left, top, w, h = box.pixels(images.shape[3], images.shape[2])
        part = slice(top, top + h), slice(left, left + w)
        out[:, *part] = other[:, *part]
    return mixed


def _uncovered(inputs: Sequence[Tensor], boxes: Sequence[Box]) -> Tensor:
    """(B,) what is left of each clip, by pixels: the mean over the streams."""
    shares = []
    for images in inputs:
        height, width = images.shape[2:4]
        areas = [math.prod(box.pixels(width, height)[2:]) for box in boxes]
        shares.append(1 - torch.tensor(areas) / (width * height))
    return torch.stack(shares).mean(0)
