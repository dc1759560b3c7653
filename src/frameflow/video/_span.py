"""Which frames of a video a sample is: its span in seconds, or the frame at which it ends."""

from pathlib import Path

import numpy as np

from frameflow.errors import UsageError, VideoError
from frameflow.video.probe import VideoInfo
from frameflow.video.sample import span_frames


def first_and_last(
    info: VideoInfo, start: float | None, end: float | None, times: np.ndarray | None
) -> tuple[int, int]:
    """The first and the last frame of a span; of the whole video where None.

    Raises:
        VideoError: the video has no such span.
    """
    if start is None and end is None:
        return 0, info.frames - 1
    try:
        return span_frames(info.frames, info.rate, start=start, end=end, times=times)
    except UsageError as error:
        raise VideoError(info.path, f"has no such span: {error}") from None


def frame_index(info: VideoInfo, frame: str | int, first: int) -> int:
    """The place of a frame that is named by its index or, in a frame folder, by its image.

    Raises:
        VideoError: the video has no such frame.
    """
    index = _named_frame(info, str(frame))
    if index is None:
        try:
            index = int(frame)
        except ValueError:
            names = "an index or the name of an image" if info.kind == "frames" else "an index"
            raise VideoError(info.path, f"has no frame {frame!r}: give {names}") from None
    if not first <= index < info.frames:
        raise VideoError(
            info.path, f"has no frame {frame}: it must be from {first} to {info.frames - 1}"
        )
    return index


def _named_frame(info: VideoInfo, name: str) -> int | None:
    if info.kind != "frames":
        return None
    from frameflow.video._images import frame_files

    name = Path(name).name
    files = frame_files(info.path)
    for index, file in enumerate(files):
        if file.name == name:
            return index
    return next((index for index, file in enumerate(files) if file.stem == name), None)
