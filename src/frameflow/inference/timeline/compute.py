"""A long video's timeline: the probabilities of windows that slide over it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from frameflow.errors import FrameFlowError
from frameflow.inference.timeline.plan import WindowPlan
from frameflow.inference.timeline.shots import Shot
from frameflow.video.probe import VideoInfo

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor


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
    raise NotImplementedError
