"""How well segments found in videos match the true ones.

Segment F1 at an overlap (Lea et al., Temporal Convolutional Networks for Action Segmentation and
Detection, CVPR 2017, https://arxiv.org/abs/1611.05267) counts segments: it forgives a boundary that
is a little off and punishes one action cut into many. Frame accuracy counts frames: it does the
opposite. The edit score looks at the order of labels alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from frameflow.errors import UsageError

OVERLAPS = (0.10, 0.25, 0.50)


class Stretch(Protocol):
    """Anything with a start and an end in seconds and a label."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def label(self) -> str: ...


@dataclass(frozen=True, slots=True)
class SegmentScores:
    """Figures of one video or of several together, from 0 to 1.

    Attributes:
        f1: of each overlap, segments of all videos counted together.
        frame_accuracy: share of the frames with the true label, or truly with none. Where segments
            overlap, each label of a frame counts: F1 of (frame, label) pairs.
        edit: 1 less the edits that turn one order of labels into the other, as a share of the
            longer one; the mean over videos.
        true: how many segments there are.
        found: how many were found.
        videos: how many were scored.
        several: whether segments overlap, so that a frame may have several labels.
    """

    f1: dict[float, float]
    frame_accuracy: float
    edit: float
    true: int
    found: int
    videos: int = 1
    several: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``f1`` by overlap in percent."""
        return {
            "f1": {f"{overlap:.0%}".rstrip("%"): score for overlap, score in self.f1.items()},
            "frame_accuracy": self.frame_accuracy,
            "edit": self.edit,
            "true_segments": self.true,
            "found_segments": self.found,
            "videos": self.videos,
        }


def segment_scores(
    truth: Sequence[Sequence[Stretch]],
    found: Sequence[Sequence[Stretch]],
    durations: Sequence[float],
    *,
    rates: Sequence[float] | None = None,
    overlaps: Sequence[float] = OVERLAPS,
    background: Collection[str] = (),
) -> SegmentScores:
    """Score the segments of videos.

    Args:
        truth: for each video its true segments, in any order.
        found: for each video what was found, in any order.
        durations: seconds of each video.
        rates: frames per second of each video; 25 where None.
        overlaps: least intersection over union for a segment to be found, above 0 and up to 1.
        background: labels that mean that nothing happens; such segments are as if not there.

    Raises:
        UsageError: nothing to score, lists of unequal lengths, or an overlap out of range.

    Example:
        >>> from frameflow.data.spans import Span
        >>> true, said = [Span("", 0, 10, "a")], [Span("", 0, 4, "a"), Span("", 4, 10, "b")]
        >>> scores = segment_scores([true], [said], [10])
        >>> scores.f1[0.25], scores.f1[0.5], scores.frame_accuracy
        (0.6666666666666666, 0.0, 0.4)
    """
    rates = [25.0] * len(durations) if rates is None else rates
    if not len(truth) or not len(truth) == len(found) == len(durations) == len(rates):
        raise UsageError(
            f"Segments of {len(truth)} videos cannot be scored with those found in {len(found)}, "
            f"{len(durations)} durations and {len(rates)} rates."
        )
    if wrong := [overlap for overlap in overlaps if not 0 < overlap <= 1]:
        raise UsageError(f"overlap ({wrong[0]:g}) must be > 0 and <= 1.")
    pairs = [(_kept(a, background), _kept(b, background)) for a, b in zip(truth, found)]
    several = any(_overlapping(side) for pair in pairs for side in pair)
    agreed, frames = 0.0, 0.0
    for (true, said), duration, rate in zip(pairs, durations, rates):
        count = max(1, round(duration * rate))
        moments = np.arange(0.5, count, dtype=np.float64) * (duration / count)
        right, all_ = _agreement(true, said, moments, several)
        agreed, frames = agreed + right, frames + all_
    return SegmentScores(
        f1={overlap: _f1([_matches(a, b, overlap) for a, b in pairs]) for overlap in overlaps},
        frame_accuracy=agreed / frames if frames else 1.0,
        edit=fsum(_edit_score(_order(a), _order(b)) for a, b in pairs) / len(pairs),
        true=sum(len(true) for true, _ in pairs),
        found=sum(len(said) for _, said in pairs),
        videos=len(pairs),
        several=several,
    )


def _kept(segments: Sequence[Stretch], background: Collection[str]) -> list[Stretch]:
    """By time: so that neither the order given nor ties between equals change a figure."""
    kept = [one for one in segments if one.label not in background and one.end > one.start]
    return sorted(kept, key=lambda one: (one.start, one.end, one.label))


def _overlapping(segments: Sequence[Stretch]) -> bool:
    reached = -np.inf
    for one in segments:
        # Less than a millisecond is what files round.
        if one.start < reached - 1e-3:
            return True
        reached = max(reached, one.end)
    return False


def _matches(
    truth: Sequence[Stretch], found: Sequence[Stretch], overlap: float
) -> tuple[int, int, int]:
    """(hits, false alarms, misses): a true segment is hit once, the next to claim it is false."""
    starts, ends = (np.array([getattr(one, side) for one in truth]) for side in ("start", "end"))
    labels = np.array([one.label for one in truth], dtype=object)
    hit: set[int] = set()
    for one in found if len(truth) else ():
        both = np.minimum(one.end, ends) - np.maximum(one.start, starts)
        either = np.maximum(one.end, ends) - np.minimum(one.start, starts)
        shares = np.where(labels == one.label, both / either, 0.0)
        best = int(shares.argmax())
        if shares[best] >= overlap:
            hit.add(best)
    return len(hit), len(found) - len(hit), len(truth) - len(hit)


def _f1(counts: Sequence[tuple[int, int, int]]) -> float:
    """2 hits / (2 hits + false alarms + misses); 1 where there is nothing and nothing was found."""
    hits, false, missed = np.sum(counts, axis=0).tolist()
    total = 2 * hits + false + missed
    return float(2 * hits / total) if total else 1.0


def _agreement(
    truth: Sequence[Stretch],
    found: Sequence[Stretch],
    moments: NDArray[np.float64],
    several: bool,
) -> tuple[float, float]:
    """(frames that agree, frames), or with several labels a frame (2 hits, 2 hits + errors)."""
    labels = sorted({one.label for one in (*truth, *found)})
    true, said = (_active(side, labels, moments) for side in (truth, found))
    if several:
        hits = float((true & said).sum())
        return 2 * hits, float(true.sum() + said.sum())
    return float((true == said).all(axis=1).sum()), float(len(moments))


def _active(
    segments: Sequence[Stretch], labels: Sequence[str], moments: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """``(frames, labels)``: which label stands at which moment."""
    active = np.zeros((len(moments), len(labels)), dtype=np.bool_)
    for one in segments:
        first, last = np.searchsorted(moments, [one.start, one.end])
        active[first:last, labels.index(one.label)] = True
    return active


def _order(segments: Sequence[Stretch]) -> list[str]:
    """The labels one after the other; a label right after itself is one."""
    labels = [one.label for one in segments]
    return [label for place, label in enumerate(labels) if not place or labels[place - 1] != label]


def _edit_score(true: Sequence[str], said: Sequence[str]) -> float:
    """1 - Levenshtein distance / longer length."""
    if not true and not said:
        return 1.0
    row = list(range(len(said) + 1))
    for i, label in enumerate(true, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (label != other))
    return 1 - row[-1] / max(len(true), len(said))
