"""The moments of a grid, each decoded once, in one pass over a video and in flat memory.

Nothing but decoding happens here, and what goes in and comes out can be pickled: it may run in
another process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

import numpy as np

from frameflow.video.clip import ClipRequest
from frameflow.video.probe import VideoInfo


@dataclass(frozen=True, slots=True)
class ShotRequest:
    """What is looked at, and how often.

    Attributes:
        requests: of an encoder; which frames make a clip does not matter.
        grid: moments a second.
        start: seconds from which on moments are wanted; None: from the beginning.
        end: seconds until which they are; None: to the end.
    """

    requests: tuple[ClipRequest, ...]
    grid: float
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One moment of the grid.

    Attributes:
        index: of its frame in the video.
        seconds: the moment, the middle of a cell of the grid: ``(moment + 0.5) / grid``.
        images: of each request ``(1 + frames of its runs, crops, H, W, 3)`` uint8: the frame,
            then each run's frames in the order of ``request.runs``. With fit "follow" whole
            frames, in the size from which squares are cut.
        moment: number of the moment, from 0 at the video's beginning.
        places: of each request ``(1 + frames of its runs,)`` int64, the index of each image.
        looks: with fit "follow" of each such request what `frameflow.video.follow` looks at:
            (index, ``(h, w)`` uint8) of every frame after the shot before, up to this one's last.
    """

    index: int
    seconds: float
    images: tuple[np.ndarray, ...]
    moment: int
    places: tuple[np.ndarray, ...]
    looks: tuple[tuple[tuple[int, np.ndarray], ...], ...] = ()


def iter_shots(
    path: str | PathLike[str], request: ShotRequest, *, info: VideoInfo | None = None
) -> Iterator[Shot]:
    """Read the moments of a grid one after the other, in one pass.

    A damaged part shows the frame before it, and where the frames end the shots end; both are
    told in the log.

    Args:
        path: a video file, or a folder of numbered frame images.
        request: what is looked at.
        info: what `probe` said of the file, if it was asked.

    Raises:
        VideoError: the video cannot be read, or no frame of it.
    """
    raise NotImplementedError
    yield
