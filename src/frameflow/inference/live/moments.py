"""The moments of a grid, out of the frames of a stream as they come."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from frameflow.inference.timeline.shots import Shot, ShotMaker, ShotRequest
from frameflow.video._scale import orientation
from frameflow.video.clip import ClipRequest

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SOON = 0.9  # of the time from a frame to the next, in which none is expected


class MomentMaker:
    """Makes the shots of one piece of a stream, each as soon as all that it shows is there.

    The frame of a moment is the one on screen then. Which one that is, is known before the next
    frame comes, where that one is not expected any earlier.

    Args:
        requests: of an encoder.
        grid: moments a second.
        rate: frames a second, about.
        frame: the first frame; its size and rotation hold for the piece.

    Attributes:
        form: of the frames, see `form_of`.
    """

    def __init__(
        self, requests: Sequence[ClipRequest], grid: float, rate: float, frame: "VideoFrame"
    ) -> None:
        self.form = form_of(frame)
        self._maker = ShotMaker(ShotRequest(tuple(requests), grid), *upright(frame), rate=rate)
        self._index, self._seconds, self._step = -1, 0.0, 0.0

    def add(self, frame: "VideoFrame", seconds: float) -> Iterator[Shot]:
        """The shots that are complete with the next frame.

        Args:
            frame: of the form of the first one.
            seconds: since the first one.
        """
        if self._index >= 0:
            step = seconds - self._seconds
            # grows slowly, so that a frame which is missing does not change what is expected
            self._step = min(step, 2 * self._step or step)
        self._index, self._seconds = self._index + 1, seconds
        yield from self._maker.add(self._index, seconds, frame)
        yield from self._maker.stays(seconds + _SOON * self._step)


def upright(frame: "VideoFrame") -> tuple[int, int]:
    """Width and height of a frame as it is shown."""
    turns, _ = orientation(frame)
    return (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)


def form_of(frame: "VideoFrame") -> tuple[object, ...]:
    """What must not change within a piece of a stream.

    Not its rotation: to ask each frame for it makes cycles of references in PyAV, which hold
    hundreds of frames until they are collected.
    """
    return (frame.width, frame.height, frame.format.name)
