"""Which frames of a video make a clip: pure functions from numbers to indices and a mask.

No pixel is touched here. A clip is T frames of the frames ``first`` to ``last`` of a video:

- ``uniform``: the middles of T equal parts of the span, always the same ones.
- ``segments``: the same in test; in training a random frame of each part (temporal segment
  networks, Wang et al. 2016, https://arxiv.org/abs/1608.00859).
- ``dense``: T frames ``stride`` apart (or ``spacing`` seconds apart); a random start in training,
  the centre in test.
- ``first``: the first T frames, ``stride`` or ``spacing`` apart.

What happens to a span that is too short:

- ``uniform`` and ``segments`` show frames more than once, still in order.
- ``dense`` holds the last frame. (To loop, as mmaction2 does, would show a jump back that never
  happened, and a motion would be followed by its own start.)
- ``first`` pads: the frames behind the end have mask False and are black.

Several views of one span: ``uniform`` and ``segments`` shift their grid by a share of its step,
``dense`` and ``first`` spread their starts evenly from the beginning to the end. Views are
distinct where there are frames enough.
"""

import math
from dataclasses import dataclass

import numpy as np

from frameflow.config import Sampling
from frameflow.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClipIndices:
    """The frames of one clip.

    Attributes:
        indices: (T,) int64, sorted, each within the span; where the mask is False the index is
            the nearest frame that exists.
        mask: (T,) bool, False for a padded frame.
    """

    indices: np.ndarray
    mask: np.ndarray


def clip_indices(
    frames: int,
    sampling: Sampling,
    *,
    rate: float | None = None,
    view: int = 0,
    views: int = 1,
    rng: np.random.Generator | None = None,
    first: int = 0,
    last: int | None = None,
    pace: int = 1,
) -> ClipIndices:
    """Pick the frames of one clip.

    Args:
        frames: how many frames the video has.
        sampling: strategy, T, and stride or spacing.
        rate: frames per second; needed by ``sampling.spacing`` only.
        view: which of the ``views`` clips, from 0.
        views: how many clips are taken of the span.
        rng: randomness of training, used by ``segments`` and ``dense`` (which then do not look at
            ``view``); None is the deterministic choice of test time.
        first: the first frame of the span.
        last: the last frame of the span, itself included; None is the last of the video.
        pace: ``dense`` and ``first``: frames lie so many times further apart, around the middle
            of the clip that pace 1 gives (from the same ``rng``); where that would leave the
            span, the clip is shifted into it.

    Raises:
        UsageError: a number is out of range, ``spacing`` is asked for without a rate, or ``pace``
            of a strategy that has no stride.

    Example:
        >>> clip_indices(60, Sampling(strategy="dense", frames=4, stride=5)).indices
        array([22, 27, 32, 37])
    """
    last = frames - 1 if last is None else last
    _check_span(frames, first, last)
    _check_views(view, views)
    check_pace(sampling, pace)
    count = last - first + 1
    if sampling.strategy == "uniform" or (sampling.strategy == "segments" and rng is None):
        return _all_real(first + _middles(count, sampling.frames, view, views))
    if sampling.strategy == "segments":
        assert rng is not None
        return _all_real(first + _random_in_segments(count, sampling.frames, rng))
    offsets = clip_offsets(sampling, rate=rate)
    free = max(0, count - 1 - int(offsets[-1]))
    if sampling.strategy == "dense":
        start = _spread(free, view, views) if rng is None else int(rng.integers(0, free + 1))
    else:
        start = 0 if views == 1 else _spread(free, view, views)
    if pace > 1:
        start, offsets = _slower(
            start, offsets, clip_offsets(sampling, rate=rate, pace=pace), count
        )
    if sampling.strategy == "dense":
        return _all_real(first + np.minimum(start + offsets, count - 1))
    return ClipIndices(first + np.minimum(start + offsets, count - 1), start + offsets < count)


def ending_indices(
    frames: int,
    sampling: Sampling,
    *,
    end: int,
    rate: float | None = None,
    first: int = 0,
    pace: int = 1,
) -> ClipIndices:
    """The T frames that end at frame ``end``: the clip of a frame that has its own label.

    They are ``stride`` frames or ``spacing`` seconds apart whatever the strategy. What would lie
    before ``first`` is padded at the front, mask False; nothing after ``end`` is ever looked at.

    Args:
        frames: how many frames the video has.
        sampling: T, and stride or spacing.
        end: the last frame of the clip.
        rate: frames per second; needed by ``sampling.spacing`` only.
        first: the first frame that may be used.
        pace: frames lie so many times further apart.

    Raises:
        UsageError: ``end`` is no frame of the video, or another number is out of range.

    Example:
        >>> clip = ending_indices(60, Sampling(frames=4), end=2)
        >>> clip.indices, clip.mask
        (array([0, 0, 1, 2]), array([False,  True,  True,  True]))
    """
    _check_span(frames, first, frames - 1)
    if not first <= end < frames:
        raise UsageError(f"end ({end}) must be >= {first} and < {frames}, the number of frames")
    indices = end - clip_offsets(sampling, rate=rate, pace=pace)[::-1]
    return ClipIndices(np.maximum(indices, first), indices >= first)


def clip_offsets(sampling: Sampling, *, rate: float | None = None, pace: int = 1) -> np.ndarray:
    """Frames from the start of a dilated clip to each of its T frames, (T,) int64.

    With ``spacing`` every frame is rounded from its own time, so an error never adds up and 25
    and 60 frames a second mean the same moments.

    The span of a clip is one frame more than its last offset, not T times the stride::

        T = 4, stride = 3      offsets    0     3     6     9
                                          x . . x . . x . . x
                                          |<--- span: 10 -->|   (T - 1) * stride + 1

    Raises:
        UsageError: ``spacing`` without a rate, or a rate that is not above 0.
    """
    steps = np.arange(sampling.frames, dtype=np.int64)
    if sampling.spacing is None:
        return steps * sampling.stride * pace
    if rate is None:
        raise UsageError(
            f"spacing ({sampling.spacing}) is in seconds and needs the video's rate; "
            f"give the stride in frames where the rate is not known"
        )
    _check_rate(rate)
    return np.floor(steps * sampling.spacing * pace * rate + 0.5).astype(np.int64)


def span_frames(
    frames: int,
    rate: float,
    *,
    start: float | None = None,
    end: float | None = None,
    times: np.ndarray | None = None,
) -> tuple[int, int]:
    """The first and the last frame that begin within ``start <= seconds < end``.

    A span between two frames holds the one that is on screen, so there is always one frame. An
    ``end`` behind the end of the video means the end of the video.

    Args:
        frames: how many frames the video has.
        rate: frames per second.
        start: seconds; None is the beginning.
        end: seconds; None is the end.
        times: (frames,) seconds at which each frame begins, where the rate varies.

    Raises:
        UsageError: ``start`` is negative or behind the last frame, or ``end`` is not after it.

    Example:
        >>> span_frames(100, 25.0, start=1.0, end=2.0)
        (25, 49)
    """
    _check_span(frames, 0, frames - 1)
    _check_rate(rate)
    begin = 0.0 if start is None else start
    begins = np.arange(frames) / rate if times is None else times
    length = float(begins[-1]) + 1 / rate
    if not 0 <= begin < length:
        raise UsageError(
            f"start ({start}) must be >= 0 and < {length:g}, the video's length in seconds"
        )
    if end is not None and not end > begin:
        raise UsageError(f"end ({end}) must be > start ({begin:g})")
    slack = 0.01 / rate  # times are rounded when written: 0.0333 is the second frame of 30 a second
    first = int(np.searchsorted(begins, begin - slack))
    last = frames - 1 if end is None else int(np.searchsorted(begins, end - slack)) - 1
    if last < first:  # no frame begins in the span: the one that is on screen
        first = last = max(0, int(np.searchsorted(begins, begin, side="right")) - 1)
    return first, last


def check_pace(sampling: Sampling, pace: int) -> None:
    """Refuse a pace that means nothing.

    Raises:
        UsageError: it is not above 0, or the strategy has no stride.
    """
    if pace <= 0:
        raise UsageError(f"pace ({pace}) must be > 0")
    if pace > 1 and sampling.strategy not in ("dense", "first"):
        raise UsageError(
            f"pace ({pace}) needs strategy dense or first, not {sampling.strategy}, "
            f"which has no stride"
        )


def _slower(
    start: int, offsets: np.ndarray, slower: np.ndarray, count: int
) -> tuple[int, np.ndarray]:
    """Start and offsets of a slower clip around the same middle, shifted into the span."""
    middle = start + int(offsets[-1]) // 2
    free = max(0, count - 1 - int(slower[-1]))
    return min(max(0, middle - int(slower[-1]) // 2), free), slower


def _middles(count: int, length: int, view: int, views: int) -> np.ndarray:
    # in whole numbers, so that no rounding makes two views meet: floor((i + (v+1/2)/V) * n/T)
    steps = 2 * (np.arange(length, dtype=np.int64) * views + view) + 1
    return steps * count // (2 * length * views)


def _random_in_segments(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    edges = np.arange(length + 1, dtype=np.int64) * count // length
    return rng.integers(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1))


def _spread(free: int, view: int, views: int) -> int:
    """The start of a view where ``free`` frames are left over: the centre, or evenly spread."""
    if views == 1:
        return free // 2
    return (2 * view * free + views - 1) // (2 * (views - 1))


def _all_real(indices: np.ndarray) -> ClipIndices:
    return ClipIndices(indices, np.ones(len(indices), dtype=bool))


def _check_span(frames: int, first: int, last: int) -> None:
    if frames <= 0:
        raise UsageError(f"frames ({frames}) must be > 0")
    if not 0 <= first < frames:
        raise UsageError(f"first ({first}) must be >= 0 and < frames ({frames})")
    if not first <= last < frames:
        raise UsageError(f"last ({last}) must be >= first ({first}) and < frames ({frames})")


def _check_views(view: int, views: int) -> None:
    if views <= 0:
        raise UsageError(f"views ({views}) must be > 0")
    if not 0 <= view < views:
        raise UsageError(f"view ({view}) must be >= 0 and < views ({views})")


def _check_rate(rate: float) -> None:
    if not (rate > 0 and math.isfinite(rate)):
        raise UsageError(f"rate ({rate}) must be > 0 and finite")
