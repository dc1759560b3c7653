"""What a video is: frames, duration, rate, size, codec.

The metadata of a container is asked first; where it lies or says nothing, packets are counted
without being decoded, and only where a packet is not a frame are frames decoded to be counted.
"""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frameflow._places import path_of
from frameflow.video._open import is_folder

FRAME_FOLDER_RATE = 25.0  # nominal: images carry no rate, unless a table beside them does


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video is; width and height are those of its frames as shown, after rotation.

    Attributes:
        path: the file or the frame folder.
        kind: "file", or "frames" for a folder of numbered images.
        frames: how many frames decoding yields.
        duration: seconds from the first frame's beginning to the last one's end.
        rate: frames per second, the mean where it varies; 25 for a frame folder without a table
            of times (`frameflow.video.frame_table`).
        variable_rate: whether frames are shown for unequal times.
        width: pixels.
        height: pixels.
        rotation: degrees clockwise by which the stored frames are turned to be shown.
        codec: FFmpeg's name of the codec, or the format of the images.
        pixel_format: FFmpeg's name of the stored pixel format, or the mode of the images.
        has_audio: whether there is a sound track.
        counted: whether the frames had to be decoded to be counted.
        truncated: whether the end of the file is missing; the frames before it are counted.
    """

    path: Path
    kind: Literal["file", "frames"]
    frames: int
    duration: float
    rate: float
    variable_rate: bool
    width: int
    height: int
    rotation: int
    codec: str
    pixel_format: str
    has_audio: bool
    counted: bool
    truncated: bool = False


def probe(path: str | PathLike[str], *, count: bool | None = None) -> VideoInfo:
    """Say what a video is, in a few milliseconds.

    Args:
        path: a video file or its URL, or a folder of numbered frame images.
        count: True counts the frames by decoding them all, False never does; None does where
            nothing cheaper is exact.

    Raises:
        VideoError: it cannot be read; the reason is a short phrase.

    Example:
        >>> info = probe("clip.mp4")  # doctest: +SKIP
        >>> info.frames, info.rate, info.width, info.height  # doctest: +SKIP
        (250, 25.0, 454, 256)
    """
    path = path_of(path)
    if is_folder(path):
        from frameflow.video._images import probe_folder

        return probe_folder(path)
    from frameflow.video._pyav import probe_file

    return probe_file(path, count=count)


def frame_times(path: str | PathLike[str]) -> NDArray[np.float64]:
    """(frames,) seconds at which each frame is shown, the first at 0.

    Of a frame folder with a table of times, the seconds in the video that it was taken from.

    Raises:
        VideoError: it cannot be read.
    """
    path = path_of(path)
    if is_folder(path):
        from frameflow.video._images import folder_times, frame_files

        return folder_times(frame_files(path))
    from frameflow.video._pyav import file_times

    return file_times(path)
