"""How windows lie on a long video, and on which grid of moments it is looked at.

The grid divides the time from a video's beginning into cells of ``1 / grid`` seconds. A moment is
the middle of a cell, and its frame the one that is on screen then. A window looks at the moments
that lie in it::

    grid      |  .  |  .  |  .  |  .  |  .  |  .  |  .  |  .  |      . a moment
    windows   [---------------------)                                length 3.6 cells
                          [---------------------)                    stride 2 cells
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow.config import Sampling
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, VideoError

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

SECONDS = "clip_seconds"  # in the recognizer's extra: the median length of the training samples
ENDING = "clip_ends_at_frame"  # whether they were the frames that end at a labelled one
_MOST_PROBED = 200  # videos whose lengths are looked up to find the median
_SLACK = 1e-6  # of a cell or a second: what is computed and what is meant differ by so much


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How windows lie on a video.

    Attributes:
        length: seconds of a window.
        stride: seconds from one window's start to the next one's.
        grid: moments a second at which frames are looked at.
        ending: a window speaks for the moment at its end, not for its middle: so it is for models
            that learnt from the frames up to a labelled one.

    Raises:
        UsageError: a number is not above 0.
    """

    length: float
    stride: float
    grid: float
    ending: bool = False

    def __post_init__(self) -> None:
        for name in ("length", "stride", "grid"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} ({value:g}) of the windows must be > 0 and finite.")


def plan_windows(
    recognizer: "Recognizer",
    rate: float,
    *,
    window: float | None = None,
    stride: float | None = None,
    grid: float | None = None,
) -> WindowPlan:
    """The windows that fit what a recognizer learnt from.

    Args:
        recognizer: trained.
        rate: of the video, frames a second.
        window: seconds of a window. None: the median length of the training clips, which
            training records (of a run without it they are measured, where its videos are still
            there). For samplings of frames ``stride`` or ``spacing`` apart, and for models of
            labelled frames: the time that T such frames take. The longest, where the members of
            an ensemble differ.
        stride: seconds from one window's start to the next; a quarter of the window where None.
        grid: moments a second. None: as many as the head saw in training, T in a window, or the
            frames' own distance where the sampling has one; at most the video's rate.

    Raises:
        UsageError: a number is not above 0, or the length of the training clips is not known.
    """
    looks = _looks(recognizer, rate)
    length = window
    if length is None:
        length = max(
            clip_seconds(recognizer) if step is None else frames * step * pace
            for step, frames, pace in looks
        )
    if stride is None:
        stride = length / 4
    if grid is None and length > 0:
        grid = min(
            rate,
            max(frames / length if step is None else 1 / step for step, frames, _ in looks),
        )
    return WindowPlan(
        length, stride, 1.0 if grid is None else grid, ending=ends_at_frame(recognizer)
    )


def ends_at_frame(recognizer: "Recognizer") -> bool:
    """Whether the training samples were the frames that end at a labelled one.

    Of a run that does not record it the manifest tells; that is remembered in ``extra``.
    """
    extra = recognizer.extra
    if ENDING not in extra and SECONDS not in extra:
        manifest = _manifest(recognizer)
        extra[ENDING] = manifest is not None and _mostly_frames(_training(manifest))
    return bool(extra.get(ENDING, False))


def _looks(recognizer: "Recognizer", rate: float) -> list[tuple[float | None, int, int]]:
    """How the streams choose frames: the step, T, and the longest pace of those that do alike.

    The step is the seconds from one frame of a clip to the next; None where they are spread over
    the clip.
    """
    recipe = recognizer.recipe
    paces: dict[Sampling, int] = {}
    for stream in recipe.streams:
        own = stream.sampling or recipe.sampling
        paces[own] = max(stream.pace, paces.get(own, 1))
    return [(_step(own, recognizer, rate), own.frames, pace) for own, pace in paces.items()]


def _step(sampling: Sampling, recognizer: "Recognizer", rate: float) -> float | None:
    if sampling.strategy in ("uniform", "segments") and not ends_at_frame(recognizer):
        return None
    return sampling.stride / rate if sampling.spacing is None else sampling.spacing


def clip_seconds(recognizer: "Recognizer") -> float:
    """The median length of the training clips, in seconds.

    Raises:
        UsageError: it is neither recorded nor to be measured.
    """
    recorded = recognizer.extra.get(SECONDS)
    if recorded is None and (manifest := _manifest(recognizer)) is not None:
        recorded = measure_clips(manifest).get(SECONDS)
    if not isinstance(recorded, int | float) or not recorded > 0:
        raise UsageError(
            "The length of the training clips is not recorded in this run and its videos are not "
            "there to be measured: say --window SECONDS."
        )
    recognizer.extra[SECONDS] = float(recorded)  # it takes seconds to measure
    return float(recorded)


def _manifest(recognizer: "Recognizer") -> Manifest | None:
    """The manifest beside a recognizer that was loaded."""
    path = None if recognizer.folder is None else recognizer.folder / "manifest.csv"
    return Manifest.read(path, check_files=False) if path is not None and path.is_file() else None


def _training(manifest: Manifest) -> list[Sample]:
    return list(manifest.split("train")) or list(manifest)


def _mostly_frames(samples: list[Sample]) -> bool:
    return sum(sample.frame is not None for sample in samples) > len(samples) / 2


def measure_clips(manifest: Manifest) -> dict[str, Any]:
    """What a recognizer's ``extra`` says of its training clips' length.

    Args:
        manifest: of the run; at most 200 videos of its training split are looked at, evenly
            spread, and those that cannot be read are left out.

    Returns:
        ``clip_seconds``, the median, where any length is known; ``clip_ends_at_frame``, whether
        most samples are the frames that end at one, where any are.
    """
    training = _training(manifest)
    if _mostly_frames(training):
        return {ENDING: True}
    places = np.unique(np.linspace(0, len(training) - 1, min(len(training), _MOST_PROBED)))
    chosen = [training[int(place)] for place in places] if training else []
    lengths = [n for n in (_length(manifest, sample) for sample in chosen) if n is not None]
    return {SECONDS: round(float(np.median(lengths)), 6)} if lengths else {}


def _length(manifest: Manifest, sample: Sample) -> float | None:
    """Seconds of a sample; None where its video cannot be read."""
    from frameflow.video.probe import probe

    if sample.frame is not None:
        return None
    if sample.end is not None:
        return sample.end - (sample.start or 0.0)
    try:
        return probe(manifest.path(sample), count=False).duration - (sample.start or 0.0)
    except VideoError:
        return None


def window_spans(plan: WindowPlan, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """``(N,)`` starts and ends in seconds of all windows of a video.

    They begin a stride apart. Where the last one ends before the video does, one more reaches back
    from its end; a video shorter than a window is one window. Windows that speak for their end
    begin at the video's beginning too, shorter at first: their ends are a stride apart.

    Example:
        >>> starts, ends = window_spans(WindowPlan(length=2.0, stride=1.5, grid=8), 5.5)
        >>> starts, ends
        (array([0. , 1.5, 3. , 3.5]), array([2. , 3.5, 5. , 5.5]))
    """
    count = regular_windows(plan, duration)
    spans = [regular_window(plan, k) for k in range(count)]
    if not spans or spans[-1][1] < duration - _SLACK:
        spans.append((max(0.0, duration - plan.length), duration))
    table = np.array(spans, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def regular_window(plan: WindowPlan, k: int) -> tuple[float, float]:
    """(start, end) in seconds of the window ``k``, wherever the video ends."""
    if plan.ending:
        end = (k + 1) * plan.stride
        return max(0.0, end - plan.length), end
    return k * plan.stride, k * plan.stride + plan.length


def regular_windows(plan: WindowPlan, duration: float) -> int:
    """How many windows end within so many seconds, beside the one that reaches back."""
    room = duration + _SLACK - (plan.stride if plan.ending else plan.length)
    return max(0, math.floor(room / plan.stride) + 1) if room >= 0 else 0


def cells(grid: float, start: float, end: float) -> tuple[int, int]:
    """The first and the last moment of a grid that lie in ``start <= seconds < end``.

    Where none does, the one whose cell holds the middle of the span, twice: there is always one.

    Example:
        >>> cells(8, 0.5, 2.0)
        (4, 15)
    """
    first = max(0, math.ceil(start * grid - 0.5 - _SLACK))
    last = math.ceil(end * grid - 0.5 - _SLACK) - 1
    if last < first:
        first = last = max(0, math.floor((start + end) / 2 * grid))
    return first, last


def on_grid(sampling: Sampling, rate: float, *, ending: bool = False) -> Sampling:
    """The sampling of a video of ``rate`` frames a second, for frames on a grid of moments.

    What lies a number of frames apart lies as many seconds apart on the grid.
    """
    spread = sampling.strategy in ("uniform", "segments") and not ending
    if spread or sampling.spacing is not None:
        return sampling
    return sampling.model_copy(update={"spacing": sampling.stride / rate})
