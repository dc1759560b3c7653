"""A long video's timeline: the probabilities of windows that slide over it."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from frameflow._places import shown
from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.inference.timeline.plan import WindowPlan, cells, plan_windows, window_spans
from frameflow.inference.timeline.shots import Shot, ShotRequest, iter_shots, shot_bytes
from frameflow.inference.timeline.windows import SlidingWindows
from frameflow.video.probe import VideoInfo, probe

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor

log = logging.getLogger(__name__)

Item = TypeVar("Item")
_MOST_AHEAD = 64  # moments decoded beyond those being computed
_BYTES_AHEAD = 32 << 20  # and how much memory they may take


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """What a recognizer says of the windows of a video.

    Attributes:
        video: as it was given.
        labels: the K labels.
        starts: ``(N,)`` seconds at which each window begins.
        ends: ``(N,)`` seconds at which it ends.
        probabilities: ``(N, K)`` float32, calibrated, not smoothed.
        abstained: ``(N,)`` bool, where the model had better not answer.
        duration: seconds of the video, to the end of its last frame that could be read.
        rate: its frames a second.
        width: of its frames, px.
        height: of its frames, px.
        plan: how the windows lie.
        multilabel: each label has a probability of its own.
    """

    video: str
    labels: tuple[str, ...]
    starts: np.ndarray
    ends: np.ndarray
    probabilities: np.ndarray
    abstained: np.ndarray
    duration: float
    rate: float
    width: int
    height: int
    plan: WindowPlan
    multilabel: bool

    @property
    def moments(self) -> np.ndarray:
        """``(N,)`` seconds of the moment each window speaks for: its middle, or its end."""
        return self.ends if self.plan.ending else (self.starts + self.ends) / 2


class Cancelled(FrameFlowError):
    """The work was stopped because it was asked to."""


def timeline(
    predictor: "Predictor",
    video: str | PathLike[str],
    *,
    window: float | None = None,
    stride: float | None = None,
    grid: float | None = None,
    shots: Iterator[Shot] | None = None,
    info: VideoInfo | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Timeline:
    """Classify windows that slide over a video, in one pass and flat memory.

    Args:
        predictor: of a run.
        video: a file, or a folder of numbered frame images.
        window: seconds of a window; see `frameflow.inference.timeline.plan.plan_windows`.
        stride: seconds from one window's start to the next.
        grid: moments a second.
        shots: the video's moments, where they are decoded elsewhere; needs ``info``.
        info: what `probe` said of the video.
        progress: called with the share that is done, from 0 to 1.
        cancelled: asked again and again; True ends the work.

    Raises:
        UsageError: a number is not above 0, or the length of the training clips is not known.
        VideoError: the video cannot be read.
        Cancelled: ``cancelled`` said so.
    """
    info = _info(video, info, needed=shots is not None)
    plan = plan_windows(predictor.recognizer, info.rate, window=window, stride=stride, grid=grid)
    request = ShotRequest(tuple(predictor.encoder.requests), plan.grid)
    if shots is None:
        most = max(2, min(_MOST_AHEAD, _BYTES_AHEAD // shot_bytes(request)))
        shots = ahead(iter_shots(info.path, request, info=info), most)
    windows = SlidingWindows(
        predictor, plan, info.rate, (info.width, info.height), duration=info.duration
    )
    expected = cells(plan.grid, 0.0, info.duration)[1] + 1
    found: list[np.ndarray] = []
    try:
        for shot in shots:
            if cancelled is not None and cancelled():
                raise Cancelled(f"{video}: cancelled.")
            if len(complete := windows.add(shot)):
                found.append(complete)
            if progress is not None:
                progress(min(1.0, (shot.moment + 1) / expected))
    finally:
        if isinstance(shots, Generator):
            shots.close()
    duration = _duration(shown(video), info, windows.moments.newest + 1, expected, plan.grid)
    probabilities = np.concatenate([*found, windows.finish(duration)])
    starts, ends = window_spans(plan, duration)
    return Timeline(
        video=shown(video),
        labels=predictor.labels,
        starts=starts,
        ends=ends,
        probabilities=probabilities,
        abstained=~predictor.answers(probabilities),
        duration=duration,
        rate=info.rate,
        width=info.width,
        height=info.height,
        plan=plan,
        multilabel=predictor.recognizer.recipe.multilabel,
    )


def _info(video: str | PathLike[str], info: VideoInfo | None, *, needed: bool) -> VideoInfo:
    if info is None and needed:
        raise UsageError("Moments that were decoded elsewhere need the video's info beside them.")
    return info or probe(video, count=False)


def _duration(video: str, info: VideoInfo, moments: int, expected: int, grid: float) -> float:
    """Seconds to where the frames end.

    Raises:
        VideoError: there was not one moment.
    """
    if not moments:
        raise VideoError(video, "has no frame that can be decoded")
    if moments > expected:  # its metadata promised less
        return moments / grid
    if moments < expected:
        log.warning(
            "%s: its frames end after %.1f of %.1f seconds, and so does the timeline.",
            video,
            moments / grid,
            info.duration,
        )
        return moments / grid
    return info.duration


def ahead(items: Iterator[Item], most: int) -> Iterator[Item]:
    """What an iterator gives, made in a thread that is up to ``most`` items ahead."""
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(most)
    stopped = threading.Event()

    def put(what: str, item: Any) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((what, item), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put("item", item)
                if stopped.is_set():
                    return
            put("end", None)
        except BaseException as error:  # it is raised where the items are used
            put("error", error)
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        while True:
            what, item = waiting.get()
            if what == "end":
                return
            if what == "error":
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
