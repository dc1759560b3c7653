"""Many long videos, one after the other: their timelines, segments and scores."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frameflow.data.spans import Span
from frameflow.errors import FrameFlowError, VideoError
from frameflow.evaluation.segment_scores import SegmentScores, segment_scores
from frameflow.inference.timeline.compute import Timeline, timeline
from frameflow.inference.timeline.segments import Segment, SegmentRule, find_segments
from frameflow.video.probe import VideoInfo, probe

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor

log = logging.getLogger(__name__)

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found in one video.

    Attributes:
        place: of the video in the list that was given.
        timeline: what its windows say.
        segments: what that makes.
    """

    place: int
    timeline: Timeline
    segments: list[Segment]


def probe_all(videos: Sequence[Source]) -> list[VideoInfo | None]:
    """What each video is; None where it cannot be read, which `survey` says when it comes to it."""
    found: list[VideoInfo | None] = []
    for video in videos:
        try:
            found.append(probe(video))
        except VideoError:
            found.append(None)
    return found


def survey(
    predictor: "Predictor",
    videos: Sequence[Source],
    *,
    infos: Sequence[VideoInfo | None] | None = None,
    window: float | None = None,
    stride: float | None = None,
    grid: float | None = None,
    rule: SegmentRule | None = None,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Found | VideoError]:
    """Find the segments of videos; what windows say is held of one video at a time.

    Args:
        predictor: of a run.
        videos: files or folders of frames.
        infos: what `probe_all` said of them.
        window: seconds; see `frameflow.inference.timeline.compute.timeline`.
        stride: seconds.
        grid: moments a second.
        rule: when a label begins and ends; the default one where None.
        progress: called with the seconds of video that were done since the last call.

    Yields:
        In the order given, what was found or why a video cannot be read.

    Raises:
        UsageError: a number is not above 0, or the length of the training clips is not known.
    """
    infos = probe_all(videos) if infos is None else infos
    for place, (video, info) in enumerate(zip(videos, infos)):
        advance = by_seconds(info, progress)
        try:
            line = timeline(
                predictor, video, window=window, stride=stride, grid=grid, info=info,
                progress=advance,
            )  # fmt: skip
        except VideoError as error:
            yield VideoError(os.fspath(video), error.reason)
        except (FrameFlowError, MemoryError):
            raise
        except Exception as error:  # one strange file must not end a night's work
            log.debug("%s failed.", video, exc_info=True)
            reason = f"cannot be read ({type(error).__name__}: {error})"
            yield VideoError(os.fspath(video), reason)
        else:
            yield Found(place, line, find_segments(line, rule))
        if advance is not None:
            advance(1.0)


def by_seconds(
    info: VideoInfo | None, progress: Callable[[float], None] | None
) -> Callable[[float], None] | None:
    """From shares of a video to the seconds that were done in between."""
    if info is None or progress is None:
        return None
    told = 0.0

    def advance(share: float) -> None:
        nonlocal told
        done = min(max(share, 0.0), 1.0) * info.duration
        if done > told:
            progress(done - told)
            told = done

    return advance


@dataclass(slots=True)
class Scored:
    """Segments beside true ones, video by video.

    Args:
        background: labels that mean that nothing happens.
    """

    background: Sequence[str] = ()
    _truth: list[list[Span]] = field(default_factory=list)
    _found: list[list[Segment]] = field(default_factory=list)
    _lengths: list[float] = field(default_factory=list)
    _rates: list[float] = field(default_factory=list)

    def add(self, found: Found, truth: list[Span]) -> SegmentScores:
        """Score one video, and note it for all of them."""
        self._truth.append(truth)
        self._found.append(found.segments)
        self._lengths.append(found.timeline.duration)
        self._rates.append(found.timeline.rate)
        return self._score(slice(-1, None))

    def all(self) -> SegmentScores | None:
        """The figures of all videos together; None where there is none."""
        return self._score(slice(None)) if self._truth else None

    def _score(self, part: slice) -> SegmentScores:
        return segment_scores(
            self._truth[part],
            self._found[part],
            self._lengths[part],
            rates=self._rates[part],
            background=self.background,
        )
