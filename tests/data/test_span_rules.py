"""Spans to frames and back, and what spans must keep."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from frameflow.data.span_rules import check_spans, fill_gaps, label_frames, spans_of_frames
from frameflow.data.spans import Span

RATES = st.sampled_from([5.0, 12.5, 24.0, 25.0, 30000 / 1001, 60.0])
LABELS = st.lists(st.sampled_from(["", "serve", "lob", "run|serve"]), min_size=1, max_size=80)


@given(LABELS, RATES)
def test_frames_to_spans_and_back(labels: list[str], rate: float) -> None:
    times = np.arange(len(labels)) / rate
    spans = spans_of_frames(times, labels, len(labels) / rate)
    assert label_frames(times, spans) == labels


@given(LABELS, RATES)
def test_spans_to_frames_and_back(labels: list[str], rate: float) -> None:
    """Of spans that begin and end with frames, rounded to milliseconds as files hold them."""
    times = np.arange(len(labels)) / rate
    end = len(labels) / rate
    spans = spans_of_frames(times, labels, end)
    rounded = [Span("", round(s.start, 3), round(s.end, 3), s.label) for s in spans]
    assert spans_of_frames(times, label_frames(times, rounded), end) == spans


@given(
    st.lists(st.tuples(st.floats(0, 9), st.floats(0.01, 3)), max_size=12),
    st.floats(0.1, 1),
)
def test_kept_spans_never_overlap_and_gaps_fill_the_rest(
    drawn: list[tuple[float, float]], least: float
) -> None:
    spans = [
        Span("a", start, start + length, "x", str(n)) for n, (start, length) in enumerate(drawn)
    ]
    kept, faults = check_spans(spans, {"a": 10.0})
    assert len(kept) + len(faults) == len(spans)
    assert all(one.end <= two.start for one, two in pairwise(kept))
    filled = fill_gaps(kept, 10.0, "none", least)
    assert [span for span in filled if span.label == "x"] == kept
    edges = [0.0, *(edge for span in filled for edge in (span.start, span.end)), 10.0]
    gaps = [b - a for a, b in zip(edges[::2], edges[1::2])]
    assert all(-1e-9 <= gap < least for gap in gaps)


def test_a_moment_labels_the_frame_on_screen() -> None:
    times = np.arange(5) / 5
    assert label_frames(times, [Span("a", 0.5, 0.5, "bounce")]) == ["", "", "bounce", "", ""]
    assert label_frames(times, [Span("a", 0.05, 0.15, "short")])[0] == "short"


def test_overlapping_labels_are_joined_and_the_rest_is_background() -> None:
    spans = [Span("a", 0, 0.6, "run"), Span("a", 0.4, 0.8, "serve")]
    found = label_frames(np.arange(5) / 5, spans, background="none")
    assert found == ["run", "run", "run|serve", "serve", "none"]


def test_faults_say_what_is_wrong() -> None:
    spans = [
        Span("a", 1, 2, "x", "m.txt, line 1"),
        Span("a", 1.5, 3, "y", "m.txt, line 2"),
        Span("a", 5, 4, "x", "m.txt, line 3"),
        Span("a", 9, 12, "x", "m.txt, line 4"),
        Span("a", 11, 12, "x", "m.txt, line 5"),
        Span("a", 6, 6, "x", "m.txt, line 6"),
        Span("a", 9.5, 10.9, "x", "m.txt, line 7"),
    ]
    kept, faults = check_spans(spans, {"a": 10.0})
    assert [(span.start, span.end) for span in kept] == [(1, 2), (9.5, 10.0)]
    said = {fault.place[-1]: fault.message for fault in faults}
    assert "overlaps 00:00:01.000 - 00:00:02.000 x (m.txt, line 1)" in said["2"]
    assert "ends before it starts" in said["3"]
    assert "past the end of a (00:00:10.000)" in said["4"]
    assert "past the end" in said["5"]
    assert "moment" in said["6"]
    several, left = check_spans(spans, {"a": 10.0}, overlaps=True, moments=True)
    assert {span.place[-1] for span in several} == {"1", "2", "6", "7"}
    assert {fault.place[-1] for fault in left} == {"3", "4", "5"}
