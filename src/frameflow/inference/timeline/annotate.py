"""The video with the labels of its segments drawn on its frames."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow.data.containers import is_video_name
from frameflow.errors import UsageError
from frameflow.inference.timeline.picture import clock
from frameflow.video.decode import iter_frames
from frameflow.video.draw import LabelOverlay
from frameflow.video.write import write_video

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.segments import Segment

_RATES = (1.0, 120.0)  # frames a second that a file is written with


def check_annotated(path: Path, videos: Sequence[str | os.PathLike[str]]) -> None:
    """Before long work: whether a video can be written here.

    Raises:
        UsageError: the ending is no video's, or the file is one of those to be read.
    """
    if not is_video_name(path):
        raise UsageError(f"{path} must end like a video, .mp4 for example.")
    for video in videos:
        if path.exists() and Path(video).exists() and path.samefile(video):
            raise UsageError(
                f"{path} is the video to be read: give the annotated one another name."
            )


def annotate_video(
    path: str | os.PathLike[str],
    timeline: "Timeline",
    segments: "Sequence[Segment]",
    *,
    video: str | os.PathLike[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the video again with labels over it, in one pass and flat memory; without its sound.

    Each moment shows the labels of the segments it is in, with their probabilities, its time and
    how far the video is. Frames that come at unequal times are shown when they were, to within one
    frame at the video's mean rate.

    Args:
        path: of the file to write.
        timeline: of the video.
        segments: of it.
        video: where it is, if not at ``timeline.video``.
        progress: called with the share that is done, from 0 to 1.

    Raises:
        VideoError: the video cannot be read.
        FrameFlowError: the file cannot be written.
    """
    rate = float(np.clip(timeline.rate, *_RATES))
    source = timeline.video if video is None else video
    frames = _evenly(iter_frames(source), rate)
    write_video(path, _drawn(frames, timeline, segments, rate, progress), rate=rate)


def _evenly(
    frames: Iterator[tuple[int, float, np.ndarray]], rate: float
) -> Iterator[tuple[float, np.ndarray]]:
    """What is on screen at each tick of a steady clock: (seconds, frame)."""
    tick, shown = 0, None
    for _, seconds, frame in frames:
        # Half a tick of tolerance, so that a steady video has each frame once.
        while shown is not None and (tick + 0.5) / rate <= seconds:
            yield tick / rate, shown
            tick += 1
        shown = frame
    if shown is not None:
        yield tick / rate, shown


def _drawn(
    frames: Iterator[tuple[float, np.ndarray]],
    timeline: "Timeline",
    segments: "Sequence[Segment]",
    rate: float,
    progress: Callable[[float], None] | None,
) -> Iterator[np.ndarray]:
    waiting = sorted(segments, key=lambda one: one.start, reverse=True)
    now: list[Segment] = []
    overlay: LabelOverlay | None = None
    length = max(timeline.duration, 1 / rate)
    for seconds, frame in frames:
        while waiting and waiting[-1].start <= seconds + 1e-9:
            now.append(waiting.pop())
        now = [one for one in now if one.end > seconds + 1e-9]
        lines = [
            (one.label, one.probability) for one in sorted(now, key=lambda one: -one.probability)
        ]
        if overlay is None:
            overlay = LabelOverlay(frame.shape[1], frame.shape[0])
        share = min(seconds / length, 1.0)
        yield overlay.draw(
            frame, lines, corner=clock(int(seconds)), progress=share, strong=max(1, len(lines))
        )
        if progress is not None:
            progress(share)
