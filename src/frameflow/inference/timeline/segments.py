"""From the probabilities of windows to segments: this label, from here to there."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frameflow.errors import UsageError
from frameflow.inference.timeline.smoothing import Smoothing, smooth

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline

NONE = -1  # the state of a moment without a label

# As shares of a window; docs/timeline.md says how they were chosen.
_SMOOTH, _SHORTEST, _GAP = 1.5, 0.75, 0.5
_LEAVE = 0.6  # as a share of `enter`


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """When a label begins and ends.

    Attributes:
        smooth: seconds of smoothing (`frameflow.inference.timeline.smoothing.smooth`); None takes
            one and a half windows.
        enter: the probability that a label must reach somewhere in each of its segments.
        leave: the probability below which a segment ends; at most ``enter``. Two thresholds keep a
            probability that hovers around one of them from cutting an action into pieces (a
            Schmitt trigger; Canny, A computational approach to edge detection, TPAMI 1986). None
            takes 0.6 of ``enter``.
        shortest: seconds; what is shorter is no segment. None takes three quarters of a window.
        gap: seconds; where a label is missing for no longer, its segment goes on. None takes half
            a window.
        kind: of smoothing.
        refuse: no label where the model mostly had better not answer.
        background: labels that mean that nothing happens: they take part, but make no segments.

    Raises:
        UsageError: a number is out of range.
    """

    smooth: float | None = None
    enter: float = 0.2
    leave: float | None = None
    shortest: float | None = None
    gap: float | None = None
    kind: Smoothing = "gaussian"
    refuse: bool = True
    background: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        leave = self.enter if self.leave is None else self.leave
        if not 0 <= leave <= self.enter <= 1:
            raise UsageError(
                f"enter ({self.enter:g}) and leave ({leave:g}) must be probabilities from 0 "
                "to 1, leave at most as great as enter."
            )
        for name in ("smooth", "shortest", "gap"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"{name} ({value:g}) must be 0 seconds or more.")

    def resolved(self, length: float) -> "SegmentRule":
        """The rule with all its numbers, for windows of a length."""
        return replace(
            self,
            leave=_LEAVE * self.enter if self.leave is None else self.leave,
            smooth=_SMOOTH * length if self.smooth is None else self.smooth,
            shortest=_SHORTEST * length if self.shortest is None else self.shortest,
            gap=_GAP * length if self.gap is None else self.gap,
        )


# What each window says by itself, for comparison.
RAW = SegmentRule(smooth=0, enter=0, leave=0, shortest=0, gap=0, refuse=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A label from one moment to another.

    Attributes:
        start: seconds.
        end: seconds.
        label: what happens.
        probability: the mean over the segment's windows, after smoothing.
        peak: the greatest of them.
    """

    start: float
    end: float
    label: str
    probability: float
    peak: float


def find_segments(timeline: "Timeline", rule: SegmentRule | None = None) -> list[Segment]:
    """The segments of a timeline, by start.

    A window speaks for the time around its centre, or its end where the plan says so. A boundary
    lies where the lines through the smoothed probabilities of two labels cross, or one crosses
    ``leave``. With one label a video, at any time there is one segment or none; in multi-label
    each label has its own segments, and those of different labels may overlap.

    Args:
        timeline: what the windows say.
        rule: when a label begins and ends; the default one where None.
    """
    rule = (rule or SegmentRule()).resolved(timeline.plan.length)
    if not len(timeline.starts):
        return []
    centres = np.asarray(timeline.moments, dtype=np.float64)
    shares = smoothed(timeline, rule)
    refused = np.zeros(len(centres), dtype=np.bool_)
    if rule.refuse and timeline.abstained.any():
        often = smooth(centres, timeline.abstained[:, None], rule.smooth or 0.0, kind="mean")
        refused = often[:, 0] > 0.5
    span = (0.0, float(timeline.duration))
    found: list[Segment] = []
    columns = [[k] for k in range(len(timeline.labels))]
    for labels in columns if timeline.multilabel else [list(range(len(timeline.labels)))]:
        line = _Line(shares[:, labels], centres, span, rule)
        for start, end, label, first, last in line.find(refused):
            own = shares[first:last, labels[label]]
            name = timeline.labels[labels[label]]
            if name not in rule.background:
                found.append(Segment(start, end, name, float(own.mean()), float(own.max())))
    return sorted(found, key=lambda one: (one.start, one.end, one.label))


def smoothed(timeline: "Timeline", rule: SegmentRule) -> NDArray[np.float32]:
    """``(N, K)`` probabilities of a timeline's windows, evened out as a rule says."""
    seconds = rule.resolved(timeline.plan.length).smooth or 0.0
    return smooth(timeline.moments, timeline.probabilities, seconds, kind=rule.kind)


class _Line:
    """One label or none at each window: the states that a rule makes of ``(N, K)`` shares."""

    def __init__(
        self,
        shares: NDArray[np.float32],
        centres: NDArray[np.float64],
        span: tuple[float, float],
        rule: SegmentRule,
    ) -> None:
        # The last column, which index -1 names, is that of no label: a label ends where it is
        # below `leave`.
        self.leave = 0.0 if rule.leave is None else rule.leave
        column = np.full((len(shares), 1), self.leave, np.float32)
        self.shares = np.concatenate([shares, column], axis=1)
        self.centres, self.span, self.rule = centres, span, rule

    def find(self, refused: NDArray[np.bool_]) -> list[tuple[float, float, int, int, int]]:
        """(start, end, label, first window, window after the last) of each segment."""
        labels = self.shares[:, :-1]
        best = labels.argmax(axis=1)
        strong = (labels.max(axis=1) >= self.rule.enter) & ~refused
        states = np.where(strong, best, NONE)
        for first, last, state in zip(*_runs(states)):
            if state == NONE:
                self._fill(states, int(first), int(last), refused)
        self._close_gaps(states)
        while short := self._too_short(states):
            for first, last in short:
                states[first:last] = NONE
                self._fill(states, first, last, refused)
            self._close_gaps(states)
        firsts, lasts, values = _runs(states)
        edges = self._edges(states)
        return [
            (float(edges[n]), float(edges[n + 1]), int(values[n]), int(firsts[n]), int(lasts[n]))
            for n in np.flatnonzero(values != NONE)
        ]

    def _fill(
        self, states: NDArray[np.int64], first: int, last: int, refused: NDArray[np.bool_]
    ) -> None:
        """Let the labels before and after windows without one go on for as long as they stay.

        Where the two meet, they part where the sum of the probabilities is greatest.
        """
        before = int(states[first - 1]) if first else NONE
        after = int(states[last]) if last < len(states) else NONE
        zone = slice(first, last)
        left, right = self.shares[zone, before], self.shares[zone, after]
        open_ = ~refused[zone]
        forth = _leading((left >= self.leave) & open_) if before != NONE else 0
        back = _leading(((right >= self.leave) & open_)[::-1]) if after != NONE else 0
        count = last - first
        if forth + back > count:
            # gain[s]: the sum where the first s windows are the left label's
            gain = np.concatenate([[0], np.cumsum(left - right, dtype=np.float64)])
            low = count - back
            forth = low + int(gain[low : forth + 1].argmax())
            back = count - forth
        states[first : first + forth] = before
        states[last - back : last] = after

    def _close_gaps(self, states: NDArray[np.int64]) -> None:
        firsts, lasts, values = _runs(states)
        lengths = np.diff(self._edges(states))
        for n in range(1, len(values) - 1):
            same = values[n - 1] == values[n + 1]
            if values[n] == NONE and same and lengths[n] <= self.rule.gap:
                states[firsts[n] : lasts[n]] = values[n - 1]

    def _too_short(self, states: NDArray[np.int64]) -> list[tuple[int, int]]:
        """First window, and window after the last, of segments to be dropped before any other.

        They are too short and shorter than those that they touch, so no two of them touch.
        """
        firsts, lasts, values = _runs(states)
        lengths = np.where(values == NONE, np.inf, np.diff(self._edges(states)))
        # A video that is shorter itself may be one segment; a millisecond is what files round.
        least = min(self.rule.shortest or 0.0, self.span[1] - self.span[0]) - 1e-3
        before, after = np.append(np.inf, lengths[:-1]), np.append(lengths[1:], np.inf)
        chosen = (lengths < least) & (lengths < before) & (lengths <= after)
        return [(int(firsts[n]), int(lasts[n])) for n in np.flatnonzero(chosen)]

    def _edges(self, states: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where each run begins, and where the last one ends, in seconds."""
        at = np.flatnonzero(np.diff(states))
        a, b = states[at], states[at + 1]
        now = (self.shares[at, a] - self.shares[at, b]).astype(np.float64)
        then = (self.shares[at + 1, a] - self.shares[at + 1, b]).astype(np.float64)
        crossing = (now > 0) & (then < 0)
        share = np.full(len(at), 0.5)
        share[crossing] = (now / np.where(crossing, now - then, 1))[crossing]
        between = self.centres[at] + share * (self.centres[at + 1] - self.centres[at])
        return np.concatenate([[self.span[0]], between, [self.span[1]]])


def _runs(
    states: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of one state begins, where the next one does, and the state."""
    cuts = np.flatnonzero(np.diff(states)) + 1
    firsts = np.concatenate([[0], cuts]).astype(np.int64)
    return firsts, np.concatenate([cuts, [len(states)]]).astype(np.int64), states[firsts]


def _leading(flags: NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())
