"""Sheets of a few frames as JPEG data URIs, so that a page needs no file beside it."""

import base64
import io
import logging

import numpy as np

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError

log = logging.getLogger(__name__)

_SIDE = 240  # px of a frame's longer side: sharp on a phone, a sheet of 4 is about 25 kB
_GAP = 2


def sheet(manifest: Manifest, sample: Sample) -> str | None:
    """Four frames spread over a sample as ``data:image/jpeg;base64,...``.

    Landscape frames stand two by two, others in a row; either is read from left to right.

    Returns:
        None where the video cannot be read any more: a page without a picture is still a page.
    """
    try:
        return _data_uri(_read(manifest, sample, 4))
    except FrameFlowError as error:
        log.debug("No picture of %s: %s", sample.video, error)
        return None


def _read(manifest: Manifest, sample: Sample, frames: int) -> np.ndarray:
    from frameflow.config import Sampling
    from frameflow.video.clip import ClipRequest, read_clips
    from frameflow.video.probe import probe

    path = manifest.path(sample)
    info = probe(path)
    region = sample.region
    width, height = info.width, info.height
    if region is not None:
        width, height = max(1, round(width * region.w)), max(1, round(height * region.h))
    scale = _SIDE / max(width, height)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    # Squashing into a size of the same shape distorts nothing and pads nothing.
    # The stride is for frame-labelled samples, whose clip ends at the frame.
    sampling = Sampling(strategy="uniform", frames=frames, stride=4)
    request = ClipRequest(sampling, size=size, fit="squash")
    (clip,) = read_clips(
        path, request, start=sample.start, end=sample.end, frame=sample.frame, region=region
    )
    return np.asarray(clip.frames)


def _data_uri(frames: np.ndarray) -> str:
    """``(T, H, W, 3)`` uint8 to one picture."""
    from PIL import Image

    count, height, width, _ = frames.shape
    columns = count // 2 if width > height else count
    rows = count // columns
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    pixels = np.full(shape, 255, dtype=np.uint8)
    for index, frame in enumerate(frames):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        pixels[top : top + height, left : left + width] = frame
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=78, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
