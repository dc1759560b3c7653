"""What the backbone of a stream looks at: the frames of a clip, or pictures of how they change."""

import numpy as np

from frameflow.config import Stream
from frameflow.errors import UsageError
from frameflow.video.clip import Clip
from frameflow.video.flow import flow_picture, optical_flow, without_camera
from frameflow.video.transform import grey


def stream_images(
    stream: Stream, clip: Clip, times: np.ndarray | None = None, *, flip: bool = False
) -> np.ndarray:
    """The images of a clip for the backbone of a stream.

    Args:
        stream: the recipe's; ``kind`` says which of `difference`, `stack` and `flow` applies.
        clip: read with what the stream needs (``gaps`` for difference and flow, ``stacks``).
        times: which of the T frames; all where None.
        flip: mirror the clip left to right first. A mirrored picture of optical flow is not the
            picture of the mirrored flow, so this must not be done afterwards.

    Returns:
        ``(n, H, W, 3)`` uint8, which may share the clip's memory.

    Raises:
        UsageError: the clip was read without what the stream needs.
    """

    def chosen(frames: np.ndarray) -> np.ndarray:
        part = frames if times is None else frames[times]
        return part[:, :, ::-1] if flip else part

    if stream.kind == "rgb":
        return chosen(clip.frames)
    if stream.kind == "stack":
        return stack(*map(chosen, clip.stack(stream.gap)))
    before, later = map(chosen, clip.pair(stream.gap))
    if stream.kind == "difference":
        return difference(before, later, stream.gain)
    return flow(before, later, stream.gain)


def difference(frames: np.ndarray, later: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """How the frames change, as images: ``128 + gain * (later - frames)``.

    Still parts are mid grey. Values are rounded to the nearest (halves to even, so that a
    change and its reverse are alike) and clipped to 0..255.

    Args:
        frames: ``(..., H, W, 3)`` uint8.
        later: the same shape, the frames some steps later.
        gain: factor on the difference.

    Returns:
        uint8 of the same shape.

    Example:
        >>> difference(np.array([10, 10], np.uint8), np.array([10, 30], np.uint8), 2.0)
        array([128, 168], dtype=uint8)
    """
    _check_alike(frames, later)
    change = np.subtract(later, frames, dtype=np.int16)
    if gain == 1:
        change += 128
        return np.clip(change, 0, 255, out=change).astype(np.uint8)
    scaled = change.astype(np.float32)
    scaled *= np.float32(gain)
    np.rint(scaled, out=scaled)
    scaled += 128
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def stack(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """Three moments in one image: their brightness as red, green and blue.

    Still parts are grey, moving edges are coloured by when they pass.

    Args:
        first: ``(..., H, W, 3)`` uint8.
        second: the same shape, some frames later.
        third: the same shape, as many frames later again.

    Returns:
        uint8 of the same shape.
    """
    _check_alike(first, second)
    _check_alike(first, third)
    return np.stack([grey(first), grey(second), grey(third)], axis=-1)


def flow(frames: np.ndarray, later: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """What moves by itself, and where to, as images; see `frameflow.video.flow`.

    Args:
        frames: ``(N, H, W, 3)`` uint8.
        later: the same shape, the frames some steps later.
        gain: factor on the 8 levels that a pixel of motion makes.

    Returns:
        uint8 of the same shape: motion to the right as red, motion down as green, speed as blue,
        each from mid grey on.

    Raises:
        FrameFlowError: OpenCV is not installed (the extra ``flow``).
    """
    return flow_picture(without_camera(optical_flow(frames, later)), gain)


def _check_alike(frames: np.ndarray, later: np.ndarray) -> None:
    if frames.dtype != np.uint8 or later.dtype != np.uint8 or frames.shape != later.shape:
        raise UsageError(
            f"Frames and later frames must be uint8 of one shape, "
            f"not {frames.dtype} {frames.shape} and {later.dtype} {later.shape}."
        )
