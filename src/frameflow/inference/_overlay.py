"""Maps of evidence: brought into the picture, and drawn over it."""

from itertools import pairwise

import numpy as np

# Inferno (van der Walt and Smith, https://bids.github.io/colormap, CC0): equal steps look equal,
# its brightness alone tells the order, and colour-blind people see the same.
_INFERNO = (
    (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 45, 96), (207, 68, 70),
    (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164),
)  # fmt: skip
_STRENGTH = 0.8  # how much of the picture the strongest evidence hides
_GREY = 0.5  # how much of its colour the picture keeps, so that the map's are told from them
_BAR, _LOW = 0.14, 12  # height of the bars as a share of the picture's, and its least, px
_PAPER, _INK, _NOW = (24, 24, 28), (120, 120, 130), (252, 180, 50)


def place(maps: np.ndarray, shown: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps of parts of a picture, put where these parts are.

    Args:
        maps: ``(T, h, w)``, how much is at each place.
        shown: ``(T, 4)`` left, top, width and height of the part, as shares of the picture.
        size: width and height of the picture, px.

    Returns:
        ``(T, H, W)`` float32, how much is in each pixel. It is interpolated between the centres of
        the places and adds up to what ``maps`` do, but for what lies outside the picture.
    """
    width, height = size
    down = _spread(maps.shape[1], shown[:, 1], shown[:, 3], height)
    right = _spread(maps.shape[2], shown[:, 0], shown[:, 2], width)
    return (down @ maps.astype(np.float32) @ right.transpose(0, 2, 1)).astype(np.float32)


def _spread(places: int, start: np.ndarray, length: np.ndarray, pixels: int) -> np.ndarray:
    """``(T, pixels, places)``: how much of each place on a line a pixel gets."""
    centres = (np.arange(pixels) + 0.5) / pixels
    along = (centres - start[:, None]) / length[:, None]  # 0 to 1 within the part
    # Quadratic B-splines: smooth, so that peaks are no diamonds, and nothing is added or lost.
    cells = np.arange(-1, places + 1)
    away = np.abs((along * places - 0.5)[:, :, None] - cells)
    near = np.where(away < 0.5, 0.75 - away**2, 0.5 * np.clip(1.5 - away, 0, None) ** 2)
    near[:, :, 1] += near[:, :, 0]  # what lies beyond the border is as what lies at it
    near[:, :, -2] += near[:, :, -1]
    inside = (along >= 0) & (along < 1)
    spread = near[:, :, 1:-1] * inside[:, :, None]
    return (spread * (places / (length * pixels))[:, None, None]).astype(np.float32)


def colours(values: np.ndarray) -> np.ndarray:
    """``(...)`` from 0 to 1 to ``(..., 3)`` float32 levels of inferno."""
    table = np.array(_INFERNO, dtype=np.float32)
    at = np.linspace(0, 1, len(table))
    return np.stack([np.interp(values, at, channel) for channel in table.T], axis=-1).astype(
        np.float32
    )


def blend(frames: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Draw maps over frames, the stronger the less of the picture is left.

    Args:
        frames: ``(T, H, W, 3)`` uint8.
        maps: ``(T, H, W)`` from 0 to 1.
    """
    picture = frames.astype(np.float32)
    grey = picture.mean(axis=-1, keepdims=True)
    picture = grey + _GREY * (picture - grey)
    share = _STRENGTH * maps[..., None].astype(np.float32)
    drawn = (1 - share) * picture + share * colours(maps)
    return np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)


def bars(weights: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What stands under each frame: a bar for every frame's weight, its own in colour.

    Args:
        weights: ``(T,)``, at least 0.
        size: width and height of the frames, px.

    Returns:
        ``(T, h, W, 3)`` uint8.
    """
    width, height = size[0], max(_LOW, round(_BAR * size[1]))
    count = len(weights)
    out = np.empty((count, height, width, 3), np.uint8)
    out[:] = _PAPER
    tall = np.rint(weights / max(float(weights.max()), 1e-12) * (height - 3)).astype(int)
    edges = np.rint(np.arange(count + 1) / count * width).astype(int)
    gap = int(width >= 4 * count)
    for bar, (left, right) in enumerate(pairwise(edges)):
        top = height - 1 - max(1, int(tall[bar]))
        out[:, top : height - 1, left : max(left + 1, right - gap)] = _INK
        out[bar, top : height - 1, left : max(left + 1, right - gap)] = _NOW
    return out
