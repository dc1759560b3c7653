"""Dense optical flow, with the motion of the camera taken out.

The flow is OpenCV's DIS (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search",
https://arxiv.org/abs/1603.03590): about 1 ms for a pair of 112 px, 4 ms for one of 224 px, on one
core. A camera that pans, tilts, zooms or rolls moves the whole picture in a way that six numbers
describe; they are fitted to the flow so that what moves by itself has no say, and taken away.
"""

from typing import Any

import numpy as np

from frameflow.errors import FrameFlowError, UsageError
from frameflow.video.transform import grey

# Levels of the picture for each pixel that a point moves.
LEVELS_PER_PIXEL = 8

_SMALLEST = 12  # px, the least that DIS takes
_POINTS = 32  # along each side, of those the camera's motion is fitted to
_PROPOSALS = 48
_ROUNDS = 8
_LEAST_SCALE = 0.1  # px; errors below it are all good
_OUTLIER = 4.685  # scales: Tukey's biweight, 95 % as efficient as least squares without outliers


def optical_flow(before: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Where each pixel goes, the camera's motion included.

    Args:
        before: ``(N, H, W, 3)`` uint8 RGB.
        later: the same shape, the frames some steps later.

    Returns:
        ``(N, H, W, 2)`` float32: px to the right and px down.

    Raises:
        FrameFlowError: OpenCV is not installed.
        UsageError: frames of unequal shapes, or smaller than 12 x 12 px.
    """
    if before.shape != later.shape or before.dtype != np.uint8 or later.dtype != np.uint8:
        raise UsageError(
            f"Frames and later frames must be uint8 of one shape, "
            f"not {before.dtype} {before.shape} and {later.dtype} {later.shape}."
        )
    if min(before.shape[1:3]) < _SMALLEST:
        height, width = before.shape[1:3]
        raise UsageError(
            f"Optical flow needs frames of {_SMALLEST} x {_SMALLEST} px or more, "
            f"not {width} x {height}."
        )
    opencv = _opencv()
    method = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.empty((*before.shape[:3], 2), np.float32)
    for row, (one, two) in enumerate(zip(grey(before), grey(later))):
        flow[row] = method.calc(one, two, None)
    return flow


def camera_motion(flow: np.ndarray) -> np.ndarray:
    """The affine motion that most of each flow follows.

    Of the motions that three points each propose, the one with the least median error (Rousseeuw
    1984), then least squares, repeated with weights that leave out the points whose motion is
    another one (Tukey's biweight). It finds the camera's motion where less than about half of
    the frame moves by itself.

    Args:
        flow: ``(N, H, W, 2)`` px.

    Returns:
        ``(N, 2, 3)`` float64: px to the right and px down, as factors on ``1, x, y``, where x and
        y go from -1 to 1 over the frame.
    """
    height, width = flow.shape[1:3]
    rows, columns = _spread(height), _spread(width)
    x, y = np.meshgrid(_place(width)[columns], _place(height)[rows])
    design = np.stack([np.ones_like(x), x, y], axis=-1).reshape(-1, 3)
    moved = flow[:, rows][:, :, columns].reshape(len(flow), -1, 2).astype(np.float64)
    motion = _proposed(design, moved)
    tiny = 1e-6 * np.eye(3)
    for _ in range(_ROUNDS):
        error = np.linalg.norm(moved - design @ motion.transpose(0, 2, 1), axis=2)
        scale = np.maximum(np.median(error, axis=1) / 1.1774, _LEAST_SCALE)  # 1.1774: of a normal
        weight = np.clip(1 - (error / (_OUTLIER * scale[:, None])) ** 2, 0, 1) ** 2
        weighted = design.T * weight[:, None]
        motion = np.linalg.solve(weighted @ design + tiny, weighted @ moved).transpose(0, 2, 1)
    return motion


def without_camera(flow: np.ndarray) -> np.ndarray:
    """The flow less the camera's motion, see `camera_motion`; ``(N, H, W, 2)`` float32."""
    height, width = flow.shape[1:3]
    constant, along, down = np.moveaxis(camera_motion(flow).astype(np.float32), 2, 0)
    x, y = _place(width)[:, None], _place(height)[:, None, None]
    of_rows = constant[:, None, None] + y * down[:, None, None]
    return flow - (of_rows + x * along[:, None, None])


def flow_picture(flow: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """Flow as images: mid grey is still.

    Args:
        flow: ``(N, H, W, 2)`` px.
        gain: factor on the 8 levels that a pixel of motion makes.

    Returns:
        ``(N, H, W, 3)`` uint8: motion to the right as red and motion down as green, both around
        128; its speed as blue, from 128 on. Levels are rounded and clipped, so that speeds of
        16 px and more look alike where ``gain`` is 1.
    """
    speed = np.linalg.norm(flow, axis=-1, keepdims=True)
    levels = np.concatenate([flow, speed], axis=-1, dtype=np.float32)
    levels *= np.float32(LEVELS_PER_PIXEL * gain)
    levels += 128
    np.rint(levels, out=levels)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def _proposed(design: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(N, 2, 3): of the exact motions of some three points, that with the least median error."""
    rng = np.random.default_rng(0)
    threes = rng.integers(0, len(design), (4 * _PROPOSALS, 3))
    area = np.abs(np.linalg.det(design[threes]))
    threes = threes[np.argsort(-area)[:_PROPOSALS]]  # points far apart say it more exactly
    motions = np.linalg.solve(design[threes], moved[:, threes]).swapaxes(2, 3)
    judges = slice(None, None, max(1, len(design) // 256))
    error = np.abs(moved[:, None, judges] - design[judges] @ motions.swapaxes(2, 3)).sum(axis=3)
    best = np.median(error, axis=2).argmin(axis=1)
    return motions[np.arange(len(moved)), best]


def _spread(length: int) -> np.ndarray:
    """Indices along a side, evenly spread and away from the rim, where flow is least sure."""
    rim = length // 16
    count = min(_POINTS, length - 2 * rim)
    return np.linspace(rim, length - 1 - rim, count).round().astype(int)


def _place(length: int) -> np.ndarray:
    return np.linspace(-1, 1, length, dtype=np.float32)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise FrameFlowError(
            "Optical flow needs OpenCV: pip install 'frameflow-video[flow]', "
            "or choose kind: difference."
        ) from None
    return cv2
