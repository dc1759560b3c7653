"""Small moving strips of clips, as data URIs, so that a page needs no file beside it.

A strip is one JPEG with the frames side by side. The page shows one frame at a time and steps
through them while the pointer or the focus is on it (`strips.html.j2`, macro ``strip``); in print
and without motion the first frame stands for all.
"""

import base64
import io
import logging
from dataclasses import dataclass

import numpy as np

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError

log = logging.getLogger(__name__)

FRAMES = 8
SIDE = 200  # px of a frame's longer side: about 25 kB a strip
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Strip:
    """A picture of several frames side by side.

    Attributes:
        uri: ``data:image/jpeg;base64,...``.
        frames: how many there are.
        width: of one frame, px.
        height: of one frame, px.
    """

    uri: str
    frames: int
    width: int
    height: int


def strip(
    manifest: Manifest, sample: Sample, *, frames: int = FRAMES, side: int = SIDE
) -> Strip | None:
    """Frames spread over a sample.

    Args:
        manifest: finds the video.
        sample: what to show; its span, frame and region are kept to.
        frames: how many.
        side: px of the longer side of a frame.

    Returns:
        None where the video cannot be read any more: a page without a picture is still a page.
    """
    try:
        return strip_of(read_small(manifest, sample, frames=frames, side=side))
    except FrameFlowError as error:
        log.debug("No picture of %s: %s", sample.video, error)
        return None


def strip_of(frames: np.ndarray) -> Strip:
    """``(T, H, W, 3)`` uint8 to a strip."""
    from PIL import Image

    count, height, width, _ = frames.shape
    file = io.BytesIO()
    side_by_side = np.ascontiguousarray(frames.transpose(1, 0, 2, 3)).reshape(
        height, count * width, 3
    )
    Image.fromarray(side_by_side).save(file, "JPEG", quality=_QUALITY, optimize=True)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return Strip(f"data:image/jpeg;base64,{text}", count, width, height)


def read_small(manifest: Manifest, sample: Sample, *, frames: int, side: int) -> np.ndarray:
    """``(frames, H, W, 3)`` uint8 spread over a sample, the longer side ``side`` px.

    Raises:
        FrameFlowError: the video cannot be read.
    """
    from frameflow.config import Sampling
    from frameflow.video.clip import ClipRequest, read_clips
    from frameflow.video.probe import probe

    path = manifest.path(sample)
    info = probe(path)
    region = sample.region
    width, height = info.width, info.height
    if region is not None:
        width, height = max(1, round(width * region.w)), max(1, round(height * region.h))
    scale = side / max(width, height)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    # Squashing into a size of the same shape distorts nothing and pads nothing.
    # The stride is for frame-labelled samples, whose clip ends at the frame.
    sampling = Sampling(strategy="uniform", frames=frames, stride=4)
    request = ClipRequest(sampling, size=size, fit="squash")
    (clip,) = read_clips(
        path, request, start=sample.start, end=sample.end, frame=sample.frame, region=region,
        info=info,
    )  # fmt: skip
    return np.asarray(clip.frames)
