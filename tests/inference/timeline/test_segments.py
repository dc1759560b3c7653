"""Segments: what a rule promises holds for whatever the windows say."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.inference.timeline.segments import RAW, Segment, SegmentRule, find_segments
from frameflow.inference.timeline.smoothing import smooth

Make = Callable[..., Any]
PLAIN = SegmentRule(smooth=0, enter=0.5, leave=0.5, shortest=0, gap=0)


def named(segments: list[Segment]) -> list[tuple[float, float, str]]:
    return [(round(s.start, 3), round(s.end, 3), s.label) for s in segments]


def line(make: Make, shares: list[float], **options: Any) -> Any:
    """One label that matters, with these probabilities, and one that is never likely."""
    rows = [[share, 0.01] for share in shares]
    return make(rows, multilabel=options.pop("multilabel", False), **options)


# Laws ------------------------------------------------------------------------------------------


@st.composite
def rules(draw: st.DrawFn) -> SegmentRule:
    leave, enter = sorted(draw(st.tuples(*[st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.9])] * 2)))
    short = st.sampled_from([0.0, 0.5, 1.0, 2.5, 6.0, 1000.0])
    return SegmentRule(draw(short.filter(lambda s: s < 10)), enter, leave, draw(short), draw(short))


@given(
    st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 4), rules(), st.booleans(),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_laws(
    make_timeline: Make, seed: int, windows: int, labels: int, rule: SegmentRule, several: bool,
    refusing: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    peaky = rng.choice([0.05, 0.5, 5.0])
    shares = rng.dirichlet(np.full(labels, peaky), windows)
    if several:
        shares = rng.random((windows, labels)) ** (1 / peaky)
    refused = rng.random(windows) < 0.4 if refusing else np.zeros(windows, bool)
    given_ = make_timeline(shares, multilabel=several, abstained=refused)
    found = find_segments(given_, rule)
    smoothed = smooth(given_.moments, given_.probabilities, rule.smooth or 0)
    assert found == sorted(found, key=lambda s: (s.start, s.end, s.label))
    assert rule.shortest is not None
    assert rule.gap is not None
    for one in found:
        assert 0 <= one.start < one.end <= given_.duration
        assert one.end - one.start >= min(rule.shortest, given_.duration) - 2e-3
        assert one.probability <= one.peak + 1e-6
        assert one.peak >= rule.enter - 1e-6, "somewhere it is likely enough to begin"
        assert one.peak <= smoothed[:, given_.labels.index(one.label)].max() + 1e-6
    lines = [[s for s in found if s.label == label] for label in given_.labels]
    for own in lines if several else [found]:
        for before, after in pairwise(own):
            assert before.end <= after.start + 1e-9, "one label at a time"
            if before.label == after.label:
                assert after.start - before.end > rule.gap, "gaps are closed"
    order = rng.permutation(labels)
    other = make_timeline(
        shares[:, order],
        labels=tuple(given_.labels[i] for i in order),
        multilabel=several,
        abstained=refused,
    )
    assert named(find_segments(other, rule)) == named(found), "the order of labels is no matter"


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_raw_rule_is_the_likeliest_label_of_each_window(
    make_timeline: Make, seed: int, windows: int, labels: int
) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(labels), windows)
    found = find_segments(make_timeline(shares), RAW)
    assert found[0].start == 0
    assert found[-1].end == windows + 1
    best = shares.argmax(axis=1)
    changes = [0, *(np.flatnonzero(np.diff(best)) + 1)]
    assert [s.label for s in found] == ["abcd"[index] for index in best[changes]]
    assert all(a.end == b.start for a, b in pairwise(found))


# One thing at a time ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "rule", "expected"),
    [
        # a step: its line crosses one half in the middle between two centres, at 3 s
        ([0, 0, 1, 1, 1], {}, [(2.5, 6, "a")]),
        # nothing is likely enough
        ([0.4, 0.4], {}, []),
        # all of it
        ([0.9, 0.9], {}, [(0, 3, "a")]),
        # hovering about the threshold: one threshold cuts, two do not
        ([0.9, 0.4, 0.9, 0.4, 0.9], {}, [(0, 1.8, "a"), (2.2, 3.8, "a"), (4.2, 6, "a")]),
        ([0.9, 0.4, 0.9, 0.4, 0.9], {"leave": 0.3}, [(0, 6, "a")]),
        # what never reaches `enter` is nothing, however long it stays above `leave`
        ([0.4, 0.4, 0.4, 0.4], {"leave": 0.3}, []),
        # a gap of 1.2 s is closed, one longer than asked for is not
        ([1, 0, 1], {"gap": 1.2}, [(0, 4, "a")]),
        ([1, 0, 0, 0, 1], {"gap": 1.2}, [(0, 1.5, "a"), (4.5, 6, "a")]),
        # a second at the end of a longer absence is too short
        ([0, 0, 1, 0, 0], {"shortest": 1.5}, []),
        ([0, 0, 1, 0, 0], {"shortest": 0.5}, [(2.5, 3.5, "a")]),
        # a video shorter than the shortest segment may be one
        ([1, 1], {"shortest": 60}, [(0, 3, "a")]),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_each_number_does_what_it_says(
    make_timeline: Make, shares: list[float], rule: dict[str, float], several: bool,
    expected: list[tuple[float, float, str]],
) -> None:  # fmt: skip
    chosen = SegmentRule(
        **{"smooth": 0, "enter": 0.5, "leave": 0.5, "shortest": 0, "gap": 0} | rule
    )
    found = find_segments(line(make_timeline, shares, multilabel=several), chosen)
    assert named(found) == expected


def test_a_boundary_lies_where_two_labels_are_equally_likely(make_timeline: Make) -> None:
    shares = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9]]
    (first, second) = find_segments(make_timeline(shares), PLAIN)
    assert (first.label, second.label) == ("a", "b")
    assert first.end == second.start == pytest.approx(2.75), "0.6 falls to -0.2 from 2 s to 3 s"
    assert first.probability == pytest.approx(0.85)
    assert first.peak == pytest.approx(0.9)


def test_a_flicker_between_two_actions_goes_to_them(make_timeline: Make) -> None:
    """Windows over both look like a third label: its time is parted between its neighbours."""
    a, b, c = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]
    rule = SegmentRule(smooth=0, enter=0.35, leave=0.25, shortest=3, gap=0)
    found = find_segments(make_timeline([a] * 4 + [c] * 2 + [b] * 4), rule)
    assert [s.label for s in found] == ["a", "b"]
    assert found[0].end == found[1].start
    assert 4.5 <= found[0].end <= 6.5


def test_labels_overlap_only_where_a_video_may_have_several(make_timeline: Make) -> None:
    shares = [[0.9, 0.8]] * 4
    assert named(find_segments(make_timeline(shares), PLAIN)) == [(0, 5, "a")]
    both = find_segments(make_timeline(shares, multilabel=True), PLAIN)
    assert named(both) == [(0, 5, "a"), (0, 5, "b")]


def test_where_the_model_had_better_not_answer_there_is_no_label(make_timeline: Make) -> None:
    refused = [False] * 3 + [True] * 4 + [False] * 3
    given_ = line(make_timeline, [0.9] * 10, abstained=refused)
    rule = SegmentRule(smooth=1, enter=0.5, leave=0.5, shortest=0, gap=0)
    first, second = find_segments(given_, rule)
    assert 3 <= first.end <= 4.5
    assert 7 <= second.start <= 8.5
    ignoring = SegmentRule(smooth=1, enter=0.5, leave=0.5, shortest=0, gap=0, refuse=False)
    assert named(find_segments(given_, ignoring)) == [(0, 11, "a")]


def test_windows_that_speak_for_their_end(make_timeline: Make) -> None:
    given_ = line(make_timeline, [0, 0, 1, 1, 1], ending=True)
    assert named(find_segments(given_, PLAIN)) == [(3.5, 6, "a")]


def test_no_window_no_segment(make_timeline: Make) -> None:
    assert find_segments(make_timeline(np.zeros((0, 3)))) == []


def test_hours_of_flicker_are_quick_enough(make_timeline: Make) -> None:
    """Two hours at a window every half second, every second one another label."""
    rng = np.random.default_rng(0)
    given_ = make_timeline(rng.dirichlet(np.full(20, 0.2), 14_400), stride=0.5)
    rule = SegmentRule(smooth=0, enter=0, leave=0, shortest=4, gap=1)
    found = find_segments(given_, rule)
    assert len(found) < 2500
    assert found[-1].end == given_.duration


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enter": 0.3, "leave": 0.5}, "leave at most as great as enter"),
        ({"enter": 1.5}, "probabilities from 0 to 1"),
        ({"leave": -0.1}, "probabilities from 0 to 1"),
        ({"enter": float("nan")}, "probabilities"),
        ({"smooth": -1}, r"smooth \(-1\)"),
        ({"shortest": float("inf")}, r"shortest \(inf\)"),
        ({"gap": float("nan")}, r"gap \(nan\)"),
    ],
)
def test_rules_that_cannot_be_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SegmentRule(**options)


def test_seconds_that_are_not_said_go_with_the_window() -> None:
    short, long = SegmentRule().resolved(1.0), SegmentRule(gap=0.25).resolved(10.0)
    assert short.smooth is not None
    assert long.smooth == pytest.approx(10 * short.smooth)
    assert long.gap == 0.25
    assert short.leave == pytest.approx(0.6 * short.enter)
    assert SegmentRule(0, 0.1).resolved(1).leave == pytest.approx(0.06)
