"""How frames are fitted to the size a backbone wants: geometry first, pixels after it.

:func:`plan_fit` is arithmetic only. It says to which size the decoder shall resize whole frames
(so that FFmpeg does it, once, while it converts the colours) and which boxes are then cut out;
:func:`apply_plan` does the cutting.

The fits, for a wide frame and a square size::

    crop            letterbox       squash          crops (3)
    +--+----+--+    +---------+     +----+          +----+----+----+
    |..|    |..|    |.........|     |    |          | 1 |2 |  3    |   ...: cut away
    |..|    |..|    |  whole  |     |all |          |   |  |       |   (in letterbox: black)
    +--+----+--+    |.........|     +----+          +----+----+----+
    the centre      all of it       all of it,      evenly spread along the long side,
                                    distorted       overlapping where they must

A region of interest is cut first: every fit then treats the region as if it were the frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from frameflow.config import Fit
from frameflow.errors import UsageError
from frameflow.video._scale import Interpolation, Scaler

if TYPE_CHECKING:
    from frameflow.data.manifest import Region

Box = tuple[int, int, int, int]  # x, y, width, height in px

# What letterbox puts beside the picture: black, as cinema and television do.
PADDING = 0

# Where enlarging whole frames would make this many times the pixels that are kept, boxes are cut
# out of the frames as they are and enlarged after it: a small region of a large frame, a ribbon.
_WASTE = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How a frame becomes its crops; every number is in px.

    Attributes:
        decode: (width, height) to which the decoder resizes whole frames; None leaves them.
        boxes: what is cut out of each decoded frame, one box per crop.
        scale: (width, height) to which each box is then resized; None leaves it.
        pad: left, top, right, bottom of black put around it.
        size: (width, height) of what comes out.
    """

    decode: tuple[int, int] | None
    boxes: tuple[Box, ...]
    scale: tuple[int, int] | None
    pad: tuple[int, int, int, int]
    size: tuple[int, int]


def plan_fit(
    width: int,
    height: int,
    *,
    size: int | tuple[int, int],
    fit: Fit = "crop",
    crops: int = 3,
    follow: float = 0.8,
    region: "Region | None" = None,
) -> Plan:
    """Plan how frames of ``width`` x ``height`` are fitted to ``size``.

    Args:
        width: of the frames, px.
        height: of the frames, px.
        size: the side of a square, or (width, height), px.
        fit: "crop" fills the size and cuts away what stands over at both ends; "letterbox" shows
            all and pads with black; "squash" shows all and distorts; "crops" fills the size and
            takes several crops, evenly spread along the side that stands over; "follow" takes a
            part of the centre, which is then moved with what it follows (`cut_box`).
        crops: how many, for "crops" only.
        follow: the part, as share of what "crop" shows along each side, for "follow" only.
        region: shares of the frame that are cut out first.

    Raises:
        UsageError: an unknown fit, or a number out of range.

    Example:
        >>> plan_fit(320, 240, size=224)
        Plan(decode=(299, 224), boxes=((37, 0, 224, 224),), scale=None, pad=(0, 0, 0, 0), \
size=(224, 224))
    """
    w, h = target_size(size)
    _check(width, height, fit, crops)
    left, top, wide, high = region_of_interest(width, height, region)
    inner, pad = (w, h), (0, 0, 0, 0)
    boxes = [(left, top, wide, high)]  # in px of the frame as it is, not yet whole numbers
    if fit == "letterbox":
        inner, pad = _letterbox(wide, high, w, h)
    elif fit != "squash":
        share = max(w / wide, h / high)
        share /= follow if fit == "follow" else 1
        cut = (min(wide, w / share), min(high, h / share))
        places = _places(crops if fit == "crops" else 1)
        boxes = [
            (left + p * (wide - cut[0]), top + p * (high - cut[1]), cut[0], cut[1]) for p in places
        ]
    resized = (
        max(inner[0], round(width * inner[0] / boxes[0][2])),
        max(inner[1], round(height * inner[1] / boxes[0][3])),
    )
    area = resized[0] * resized[1]
    if area > width * height and area > _WASTE * len(boxes) * inner[0] * inner[1]:
        cuts = tuple(_whole(box, (width, height)) for box in boxes)
        return Plan(None, cuts, inner, pad, (w, h))
    along, down = resized[0] / width, resized[1] / height
    cuts = tuple(_inside(x * along, y * down, inner, resized) for x, y, _, _ in boxes)
    return Plan(None if resized == (width, height) else resized, cuts, None, pad, (w, h))


def apply_plan(
    frames: np.ndarray, plan: Plan, *, interpolation: Interpolation = "bilinear"
) -> list[np.ndarray]:
    """Cut, resize and pad decoded frames.

    Args:
        frames: (T, H, W, 3) uint8, decoded at ``plan.decode``.
        plan: from :func:`plan_fit`.
        interpolation: used where the plan resizes after cutting.

    Returns:
        One (T, h, w, 3) uint8 array per crop.
    """
    cuts = (np.ascontiguousarray(frames[:, y : y + h, x : x + w]) for x, y, w, h in plan.boxes)
    return [finish_crop(cut, plan, interpolation=interpolation) for cut in cuts]


def parts_shown(plan: Plan, frame: tuple[int, int], *, moved: np.ndarray) -> list[np.ndarray]:
    """Which part of a whole frame each crop shows.

    Args:
        plan: from :func:`plan_fit`.
        frame: width and height of the frames as they are, px.
        moved: (T, 2) px by which the boxes are moved, see `cut_box`.

    Returns:
        One (T, 4) float64 array per crop: left, top, width and height as shares of the frame,
        the black of a letterbox included.

    Example:
        >>> plan = plan_fit(320, 240, size=240)
        >>> parts_shown(plan, (320, 240), moved=np.zeros((1, 2)))[0]
        array([[0.125, 0.   , 0.75 , 1.   ]])
    """
    decoded = np.array(plan.decode or frame, dtype=np.float64)
    left, top, right, bottom = plan.pad
    found = []
    for box in plan.boxes:
        size = np.array(box[2:], dtype=np.float64)
        of_one = size / (plan.scale or box[2:])  # px of the decoded frame for one that comes out
        begin = moved + box[:2] - of_one * (left, top)
        whole = size + of_one * (left + right, top + bottom)
        found.append(np.hstack([begin / decoded, np.broadcast_to(whole / decoded, begin.shape)]))
    return found


def cut_box(frame: np.ndarray, box: Box, *, moved: np.ndarray) -> np.ndarray:
    """What a box shows of a frame, where it is moved by px right and down.

    Args:
        frame: (H, W, 3) uint8.
        box: of a plan.
        moved: (2,) px; where they are not whole, pixels are interpolated (bicubic).

    Returns:
        (h, w, 3) uint8, maybe a view of the frame.
    """
    (x, y), (w, h) = moved + box[:2], box[2:]
    if x == int(x) and y == int(y):
        return frame[int(y) : int(y) + h, int(x) : int(x) + w]
    from PIL import Image

    # Pillow wants the memory in one piece; the rim is what bicubic interpolation looks at.
    top, left = max(0, int(y) - 3), max(0, int(x) - 3)
    part = np.ascontiguousarray(frame[top : int(y) + h + 4, left : int(x) + w + 4])
    x, y = x - left, y - top
    image = Image.fromarray(part).resize((w, h), Image.Resampling.BICUBIC, (x, y, x + w, y + h))
    return np.asarray(image)


def finish_crop(
    cut: np.ndarray, plan: Plan, *, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Resize and pad what was cut out of frames by one of the plan's boxes, (T, h, w, 3)."""
    if plan.scale not in (None, cut.shape[2:0:-1]):
        cut = resize(cut, plan.scale, interpolation=interpolation)
    if not any(plan.pad):
        return cut
    left, top, right, bottom = plan.pad
    return np.pad(cut, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=PADDING)


def flip(frames: np.ndarray) -> np.ndarray:
    """Mirror (..., H, W, 3) frames left to right, as a contiguous copy."""
    return np.ascontiguousarray(frames[..., ::-1, :])


def grey(frames: np.ndarray) -> np.ndarray:
    """The brightness of ``(..., 3)`` uint8 RGB, ``(...)`` uint8; grey pixels keep their value."""
    # Red, green and blue as the eye sees them (ITU-R BT.601), in parts of 256; they add up to 256.
    total = frames[..., 0].astype(np.uint16) * np.uint16(77)
    total += frames[..., 1] * np.uint16(150)
    total += frames[..., 2] * np.uint16(29)
    total += 128
    total >>= 8
    return total.astype(np.uint8)


def target_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a side or a pair.

    Raises:
        UsageError: it is not above 0.
    """
    w, h = (size, size) if isinstance(size, int) else size
    if w <= 0 or h <= 0:
        raise UsageError(f"size ({size}) must be > 0")
    return w, h


def region_of_interest(
    width: int, height: int, region: "Region | None"
) -> tuple[float, float, float, float]:
    """x, y, width, height of a region in px (not yet whole numbers); the frame where None.

    It is at least one pixel wide and high.

    Raises:
        UsageError: the region does not lie within the frame.
    """
    if region is None:
        return 0.0, 0.0, float(width), float(height)
    for start, length, name in ((region.x, region.w, "x and w"), (region.y, region.h, "y and h")):
        if not (start >= 0 and length > 0 and start + length <= 1 + 1e-6):
            raise UsageError(
                f"region {name} ({start:g}, {length:g}) must be shares of the frame: "
                f"a start >= 0 and a length > 0 that add up to 1 at most"
            )
    wide, high = max(1.0, region.w * width), max(1.0, region.h * height)
    return (
        min(region.x * width, width - wide),
        min(region.y * height, height - high),
        min(wide, width),
        min(high, height),
    )


def _letterbox(
    wide: float, high: float, w: int, h: int
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    share = min(w / wide, h / high)
    inner = (max(1, min(w, round(wide * share))), max(1, min(h, round(high * share))))
    left, top = (w - inner[0]) // 2, (h - inner[1]) // 2
    return inner, (left, top, w - inner[0] - left, h - inner[1] - top)


def _places(count: int) -> Iterator[float]:
    """0 is the left or upper end, 1 the right or lower; one crop is in the centre."""
    return (0.5 if count == 1 else i / (count - 1) for i in range(count))


def _inside(x: float, y: float, size: tuple[int, int], frame: tuple[int, int]) -> Box:
    """A box of whole px at x, y that lies in the frame."""
    (w, h), (wide, high) = size, frame
    return max(0, min(int(x + 0.5), wide - w)), max(0, min(int(y + 0.5), high - h)), w, h


def _whole(box: tuple[float, float, float, float], frame: tuple[int, int]) -> Box:
    x, y, w, h = box
    return _inside(x, y, (max(1, round(w)), max(1, round(h))), frame)


def resize(
    frames: np.ndarray, size: tuple[int, int], *, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Resize (T, H, W, 3) uint8 frames to (width, height) with FFmpeg's scaler.

    Raises:
        UsageError: the size is not above 0.
    """
    from av import VideoFrame

    w, h = target_size(size)
    scaler = Scaler(size=(w, h), interpolation=interpolation)
    out = np.empty((len(frames), h, w, 3), np.uint8)
    for i, frame in enumerate(frames):
        out[i] = scaler(VideoFrame.from_ndarray(np.ascontiguousarray(frame)))
    return out


def _check(width: int, height: int, fit: str, crops: int) -> None:
    if width <= 0 or height <= 0:
        raise UsageError(f"the frame ({width} x {height}) must be > 0 in width and height")
    if fit not in get_args(Fit):
        raise UsageError(f"fit ({fit!r}) must be one of {', '.join(get_args(Fit))}")
    if crops <= 0:
        raise UsageError(f"crops ({crops}) must be > 0")
