"""What spans must keep, and spans as labels of frames and back."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from frameflow.data._sample import SEPARATOR
from frameflow.data.spans import Span, SpanFault
from frameflow.data.timestamps import print_time

PAST_END = 1.0  # seconds by which a span may pass the end: times are often in whole seconds


def check_spans(
    spans: Iterable[Span],
    lengths: dict[str, float],
    *,
    overlaps: bool = False,
    moments: bool = False,
) -> tuple[list[Span], list[SpanFault]]:
    """The spans that keep the rules, sorted, and the faults of the others.

    Args:
        spans: their videos are keys of ``lengths``.
        lengths: seconds of each video.
        overlaps: whether spans of different labels may overlap (several labels a moment).
        moments: whether a span may end where it starts.

    Returns:
        The spans by video and start, each ending at its video's end at the latest; and what is
        reversed, out of range or overlapping, the later one of two being the fault.
    """
    kept: list[Span] = []
    faults: list[SpanFault] = []
    by_video: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        reason = _range_fault(span, lengths[span.video], moments)
        if reason:
            faults.append(SpanFault(span.place, reason))
        else:
            by_video[span.video].append(replace(span, end=min(span.end, lengths[span.video])))
    for members in by_video.values():
        open_: list[Span] = []
        for span in sorted(members, key=lambda s: (s.start, s.end)):
            open_ = [other for other in open_ if other.end > span.start]
            clash = next(
                (o for o in open_ if o.label == span.label or not overlaps),
                None,
            )
            if clash is None:
                open_.append(span)
                kept.append(span)
            else:
                faults.append(SpanFault(span.place, _overlap(span, clash)))
    return kept, faults


def _range_fault(span: Span, length: float, moments: bool) -> str:
    shown = f"{print_time(span.start)} - {print_time(span.end)} {span.label}"
    if span.end < span.start:
        return f"{shown}: it ends before it starts"
    if span.end == span.start and not moments:
        return f"{shown}: it is a moment, which only labels of frames can hold (--frames)"
    if span.start >= length or span.end > length + PAST_END:
        return f"{shown}: it is past the end of {span.video} ({print_time(length)})"
    return ""


def _overlap(span: Span, other: Span) -> str:
    shown = f"{print_time(span.start)} - {print_time(span.end)} {span.label}"
    same = " of the same label" if span.label == other.label else ""
    return (
        f"{shown}: it overlaps {print_time(other.start)} - {print_time(other.end)} {other.label}"
        f"{same} ({other.place})"
    )


def fill_gaps(spans: Sequence[Span], length: float, background: str, least: float) -> list[Span]:
    """Spans of one video with what lies between them labelled too.

    Args:
        spans: sorted by start.
        length: of the video, in seconds.
        background: the label of the gaps.
        least: seconds; shorter gaps stay.

    Example:
        >>> [(s.start, s.end) for s in fill_gaps([Span("a", 1, 2, "x")], 3, "none", 0.1)]
        [(0.0, 1), (1, 2), (2, 3)]
    """
    filled: list[Span] = []
    video, reached = spans[0].video if spans else "", 0.0
    for span in [*spans, None]:
        start = length if span is None else span.start
        if start - reached >= least:
            filled.append(Span(video, reached, start, background))
        if span is not None:
            filled.append(span)
            reached = max(reached, span.end)
    return filled


def label_frames(
    times: NDArray[np.float64], spans: Iterable[Span], *, background: str = ""
) -> list[str]:
    """The label of each frame.

    A frame has the label of the span that it begins in (``start <= seconds < end``); a moment, or
    a span too short to hold the beginning of a frame, labels the frame that is on screen.

    Args:
        times: (frames,) seconds at which each frame begins.
        spans: of this video; where several overlap, their labels are joined by ``|``.
        background: the label of the other frames.
    """
    # Files hold milliseconds: a frame that begins within one of a span's end is not in it.
    apart = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    slack = min(apart / 2, 0.001)
    found: list[list[str]] = [[] for _ in times]
    for span in spans:
        first = int(np.searchsorted(times, span.start - slack))
        last = int(np.searchsorted(times, span.end - slack))
        if last <= first:
            first = max(0, int(np.searchsorted(times, span.start + slack, side="right")) - 1)
            last = first + 1
        for labels in found[first:last]:
            if span.label not in labels:
                labels.append(span.label)
    return [SEPARATOR.join(labels) or background for labels in found]


def spans_of_frames(
    times: NDArray[np.float64], labels: Sequence[str], end: float, *, video: str = ""
) -> list[Span]:
    """The stretches of equal labels: what `label_frames` was made from, but for its fractions.

    Args:
        times: (frames,) seconds at which each frame begins.
        labels: of each frame; empty where it has none.
        end: of the video, in seconds.
        video: the name the spans get.
    """
    edges = [*times.tolist(), end]
    spans: list[Span] = []
    begun = 0
    for index in range(1, len(labels) + 1):
        if index == len(labels) or labels[index] != labels[begun]:
            if labels[begun]:
                spans.append(Span(video, edges[begun], edges[index], labels[begun]))
            begun = index
    return spans
