"""The moments of a grid, each decoded once, in one pass over a video and in flat memory.

Nothing but decoding happens here, and what goes in and comes out can be pickled: it may run in
another process.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow.errors import UsageError
from frameflow.inference.timeline.plan import cells
from frameflow.video._following import look_size
from frameflow.video._forward import forward_frames
from frameflow.video._scale import Scaler
from frameflow.video.clip import ClipRequest, Run
from frameflow.video.probe import VideoInfo, probe
from frameflow.video.transform import cut_box, finish_crop, grey, plan_fit

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_SLACK = 0.01  # of a frame: a moment so little before a frame begins shows that frame


@dataclass(frozen=True, slots=True)
class ShotRequest:
    """What is looked at, and how often.

    Attributes:
        requests: of an encoder; which frames make a clip does not matter.
        grid: moments a second.
        start: seconds from which on moments are wanted; None: from the beginning.
        end: seconds until which they are; None: to the end.

    Raises:
        UsageError: the grid is not above 0, or the span is none.
    """

    requests: tuple[ClipRequest, ...]
    grid: float
    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        if not (self.grid > 0 and math.isfinite(self.grid)):
            raise UsageError(f"grid ({self.grid:g}) must be > 0 and finite.")
        if not (self.start or 0.0) >= 0:
            raise UsageError(f"start ({self.start}) must be >= 0.")
        if self.end is not None and not self.end > (self.start or 0.0):
            raise UsageError(f"end ({self.end}) must be > start ({self.start or 0.0:g}).")


# A frame's index and its small grey picture.
Look = tuple[int, np.ndarray]


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
        places: of each request ``(1 + frames of its runs,)`` int64, the index of each image. At
            the end of the video a run is shifted back, as in clips.
        looks: with fit "follow" (index, ``(h, w)`` uint8) of every frame since those of the shot
            before, small and grey: what `frameflow.video.follow` looks at.
    """

    index: int
    seconds: float
    images: tuple[np.ndarray, ...]
    moment: int
    places: tuple[np.ndarray, ...]
    looks: tuple[Look, ...] = ()


def iter_shots(
    path: str | PathLike[str], request: ShotRequest, *, info: VideoInfo | None = None
) -> Iterator[Shot]:
    """Read the moments of a grid one after the other, in one pass.

    A damaged part shows the frame before it, and where the frames end the shots end; both are
    told in the log.

    Args:
        path: a video file, or a folder of numbered frame images.
        request: what is looked at.
        info: what `probe` said of the file, if it was asked; its frames need not be counted.

    Raises:
        VideoError: the video cannot be read, or no frame of it.
    """
    info = info or probe(Path(path), count=False)
    maker = ShotMaker(request, info.width, info.height, rate=info.rate)
    wanted = np.empty(0, np.int64)
    last = index = -1

    def choose(times: np.ndarray) -> np.ndarray:
        nonlocal wanted, last
        wanted, last = maker.choose(times, info.duration), len(times) - 1
        return wanted

    for index, seconds, frame in forward_frames(info, choose):
        yield from maker.add(index, seconds, frame)
        if maker.done:
            return
    if len(wanted) and index >= wanted[-1]:  # all are there, up to the end
        yield from maker.finish(end=info.duration, last=last)
    else:
        yield from maker.finish()


def shot_bytes(request: ShotRequest) -> int:
    """About how much memory a shot's images take, whatever the video."""
    total = 0
    for part in request.requests:
        width, height = part.size if isinstance(part.size, tuple) else (part.size, part.size)
        crops = part.crops if part.fit == "crops" else 1
        whole = 2.5 if part.fit == "follow" else 1.0
        total += int(width * height * 3 * crops * whole) * (part.images // part.sampling.frames)
    return total


class Fitted:
    """What one request makes of a frame.

    Args:
        width: of the frames, px.
        height: of the frames, px.
        request: how they are fitted.
    """

    def __init__(self, width: int, height: int, request: ClipRequest) -> None:
        size = (width, height)
        self._plan = plan_fit(
            *size, size=request.size, fit=request.fit, crops=request.crops, follow=request.follow
        )
        self._whole = request.fit == "follow"
        self._interpolation = request.interpolation
        self._scaler = Scaler(size=self._plan.decode or size, interpolation=request.interpolation)

    def __call__(self, frame: "VideoFrame") -> np.ndarray:
        """(crops, H, W, 3) uint8, of one's own memory; the whole frame where squares follow."""
        pixels = self._scaler(frame)
        if self._whole:
            return np.array(pixels)[None]
        still = np.zeros(2)
        cuts = [cut_box(pixels, box, moved=still)[None] for box in self._plan.boxes]
        return np.concatenate(
            [finish_crop(cut, self._plan, interpolation=self._interpolation) for cut in cuts]
        )


@dataclass(slots=True)
class _Held:
    """A decoded frame, and what was made of it."""

    index: int
    seconds: float
    frame: "VideoFrame"
    made: dict[int, np.ndarray] = field(default_factory=dict)


class ShotMaker:
    """Frames go in, in order, and shots come out once all that they show is there.

    Args:
        request: what is looked at.
        width: of the frames as they are shown, px.
        height: of the frames, px.
        rate: frames a second, about.
    """

    def __init__(self, request: ShotRequest, width: int, height: int, *, rate: float) -> None:
        self._request, self._rate = request, rate
        self._fitted = [Fitted(width, height, part) for part in request.requests]
        runs = [run for part in request.requests for run in part.runs]
        self._reach = max((gap * (length - 1) for gap, length in runs), default=0)
        self._follows = any(part.fit == "follow" for part in request.requests)
        self._look = Scaler(size=look_size((width, height)), interpolation="area")
        self._slack = _SLACK / rate
        self._first, self._most = self._range()
        self._moment = self._first
        self._waiting: deque[tuple[int, int]] = deque()  # moments whose runs are not complete
        self._recent: deque[_Held] = deque()
        self._looks: list[Look] = []

    @property
    def done(self) -> bool:
        """Whether all moments that were asked for have come."""
        return self._moment > self._most and not self._waiting

    def choose(self, times: np.ndarray, duration: float) -> np.ndarray:
        """The frames that are needed of a video whose frames are shown at known seconds."""
        until = math.ceil((duration - self._slack) * self._request.grid - 0.5)
        moments = np.arange(self._first, max(min(self._most + 1, until), self._first + 1))
        at = (moments + 0.5) / self._request.grid + self._slack
        shown = np.unique(np.maximum(np.searchsorted(times, at, side="right") - 1, 0))
        last = len(times) - 1
        if self._follows:
            return np.arange(shown[0], min(shown[-1] + self._reach, last) + 1)
        rows = [_places(shown, part.runs, last).ravel() for part in self._request.requests]
        return np.unique(np.concatenate([shown, *rows]))

    def add(self, index: int, seconds: float, frame: "VideoFrame") -> Iterator[Shot]:
        """Take in the next frame that is needed.

        Args:
            index: of the frame in the video; rising.
            seconds: when it is shown; rising.
            frame: decoded.
        """
        self._until(seconds)
        self._recent.append(_Held(index, seconds, frame))
        if self._follows:
            self._looks.append((index, grey(self._look(frame))))
        yield from self._complete()
        oldest = self._waiting[0][1] if self._waiting else index
        while self._recent[0].index < oldest - self._reach:
            self._recent.popleft()

    def stays(self, until: float) -> Iterator[Shot]:
        """The newest frame is on screen until then at least: what is complete by that."""
        self._until(until)
        yield from self._complete()

    def finish(self, *, end: float | None = None, last: int | None = None) -> Iterator[Shot]:
        """The moments that are left when no frame follows; runs are shifted back.

        Args:
            end: seconds at which the video ends; None: a frame's time after the last one.
            last: the last frame of the video; None: the last that came.
        """
        if not self._recent:
            return
        held = self._recent[-1]
        end = held.seconds + 1 / self._rate if end is None else end
        self._until(end)
        if self._moment == 0:  # a video shorter than half a cell has one moment too
            self._next_moment()
        for moment, index in self._waiting:
            yield self._shot(moment, index, last=held.index if last is None else last)
        self._waiting.clear()

    def _until(self, seconds: float) -> None:
        """The newest frame is what all moments before then show."""
        while self._recent and self._moment <= self._most and self._at(self._moment) < seconds:
            self._next_moment()

    def _complete(self) -> Iterator[Shot]:
        """The moments whose runs have come."""
        while self._waiting and self._waiting[0][1] + self._reach <= self._recent[-1].index:
            yield self._shot(*self._waiting.popleft(), last=None)

    def _next_moment(self) -> None:
        """The next moment shows the newest frame."""
        self._waiting.append((self._moment, self._recent[-1].index))
        self._moment += 1

    def _at(self, moment: int) -> float:
        """The moment's seconds, and a little: what begins until then is on screen."""
        return (moment + 0.5) / self._request.grid + self._slack

    def _range(self) -> tuple[int, float]:
        """The first moment, and the last one that is asked for."""
        grid, start, end = self._request.grid, self._request.start or 0.0, self._request.end
        if end is not None:
            return cells(grid, start, end)
        return cells(grid, start, start + 1 / grid)[0], math.inf

    def _shot(self, moment: int, index: int, *, last: int | None) -> Shot:
        """A moment's images; the frames its runs show have been decoded."""
        images, places = [], []
        for number, part in enumerate(self._request.requests):
            known = index + self._reach if last is None else last
            rows = _places(np.array([index]), part.runs, known)[:, 0]
            images.append(np.stack([self._image(number, place) for place in rows.tolist()]))
            places.append(rows)
        looks, self._looks = tuple(self._looks), []
        seconds = (moment + 0.5) / self._request.grid
        return Shot(index, seconds, tuple(images), moment, tuple(places), looks)

    def _image(self, number: int, place: int) -> np.ndarray:
        """What a request makes of a frame; of the nearest one before it where it is missing."""
        held = self._recent[0]
        for known in self._recent:
            if known.index > place:
                break
            held = known
        if number not in held.made:
            held.made[number] = self._fitted[number](held.frame)
        return held.made[number]


def _places(indices: np.ndarray, runs: Sequence[Run], last: int) -> np.ndarray:
    """(1 + frames of the runs, N): each frame, and those of its runs; shifted back at the end."""
    rows = [indices[None]]
    for gap, length in runs:
        back = gap * np.arange(length)[::-1, None]
        end = np.minimum(indices + back[0], last)
        rows.append(np.maximum(end - back, 0))
    return np.concatenate(rows)
