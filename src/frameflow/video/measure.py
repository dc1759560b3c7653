"""How a clip looks, in a few numbers: what a score may depend on."""

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from frameflow.config import Sampling
from frameflow.video.clip import ClipRequest, read_clips
from frameflow.video.probe import probe

if TYPE_CHECKING:
    from frameflow.data.manifest import Region

_FRAMES = 12
_SIDE = 64  # px: enough for brightness and motion
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, slots=True)
class ClipMeasures:
    """What was measured of one sample.

    Attributes:
        seconds: how long it is.
        width: of the video's frames, px.
        height: of the video's frames, px.
        rate: frames a second.
        brightness: mean grey, 0 (black) to 1 (white).
        contrast: the deviation of grey within a frame, the mean over frames.
        motion: mean change of grey between moments an equal part of the clip apart, 0 to 1.
    """

    seconds: float
    width: int
    height: int
    rate: float
    brightness: float
    contrast: float
    motion: float


def measure(
    path: str | PathLike[str],
    *,
    start: float | None = None,
    end: float | None = None,
    frame: str | int | None = None,
    region: "Region | None" = None,
) -> ClipMeasures:
    """Measure a sample from a few small frames.

    Args:
        path: a video file, or a folder of numbered frame images.
        start: as `frameflow.video.clip.read_clips` takes it, like ``end``, ``frame``, ``region``.
        end: see ``start``.
        frame: see ``start``.
        region: see ``start``.

    Raises:
        VideoError: the video cannot be read, or has no such span or frame.
    """
    info = probe(path)
    sampling = Sampling(strategy="uniform", frames=_FRAMES)
    request = ClipRequest(sampling, size=(_SIDE, _SIDE), fit="squash")
    (clip,) = read_clips(path, request, start=start, end=end, frame=frame, region=region, info=info)
    grey = np.asarray(clip.frames)[np.asarray(clip.mask, dtype=bool)] @ _GREY / 255
    changes = np.abs(np.diff(grey, axis=0))
    seconds = info.duration
    if frame is None:
        seconds = min(end if end is not None else seconds, seconds) - (start or 0.0)
    else:
        seconds = len(grey) / info.rate if info.rate else 0.0
    return ClipMeasures(
        seconds=float(seconds),
        width=info.width,
        height=info.height,
        rate=float(info.rate),
        brightness=float(grey.mean()),
        contrast=float(grey.std(axis=(1, 2)).mean()),
        motion=float(changes.mean()) if len(changes) else 0.0,
    )
