"""Segment F1, frame accuracy and the edit score: their laws, and figures worked out by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.data.spans import Span
from frameflow.errors import UsageError
from frameflow.evaluation.segment_scores import OVERLAPS, SegmentScores, segment_scores


def spans(text: str, scale: float = 1.0) -> list[Span]:
    """``"aa.b"``: a from 0 to 2, nothing, b from 3 to 4."""
    found: list[Span] = []
    for place, label in enumerate(text):
        if found and found[-1].label == label and found[-1].end == place * scale:
            found[-1] = Span("", found[-1].start, (place + 1) * scale, label)
        elif label != ".":
            found.append(Span("", place * scale, (place + 1) * scale, label))
    return found


def scored(truth: str, found: str, **options: Any) -> SegmentScores:
    length = max(len(truth), len(found))
    return segment_scores([spans(truth)], [spans(found)], [length], rates=[10], **options)


@pytest.mark.parametrize(
    ("truth", "found", "f1", "frames", "edit"),
    [
        ("aabbcc", "aabbcc", (1, 1, 1), 1, 1),
        # shifted by half: an overlap of one third is enough at 10 and 25 %
        ("aa..", ".aa.", (1, 1, 0), 0.5, 1),
        # one action cut in two: one hit, one false alarm
        ("aaaaaaa", "aaa.aaa", (2 / 3, 2 / 3, 0), 6 / 7, 1),
        # two found as one, at the place of either
        ("aa.aa", "aaaaa", (2 / 3, 2 / 3, 0), 0.8, 1),
        # the right time, the wrong label
        ("aabb", "aacc", (0.5, 0.5, 0.5), 0.5, 0.5),
        # nothing found, nothing there, both
        ("aa..", "....", (0, 0, 0), 0.5, 0),
        ("....", "aa..", (0, 0, 0), 0.5, 0),
        ("....", "....", (1, 1, 1), 1, 1),
        # an order with one label too many
        ("aabb", "acbb", (0.8, 0.8, 0.8), 0.75, 2 / 3),
    ],
)
def test_by_hand(truth: str, found: str, f1: tuple[float, ...], frames: float, edit: float) -> None:
    scores = scored(truth, found)
    assert tuple(scores.f1.values()) == pytest.approx(f1)
    assert scores.frame_accuracy == pytest.approx(frames)
    assert scores.edit == pytest.approx(edit)


lines = st.text("abc.", min_size=1, max_size=24)


@given(st.lists(st.tuples(lines, lines), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_laws(videos: list[tuple[str, str]], seed: int) -> None:
    videos = [(a.ljust(24, "."), b.ljust(24, ".")) for a, b in videos]
    truth, found = ([spans(pair[side]) for pair in videos] for side in (0, 1))
    lengths, rates = [24.0] * len(videos), [10.0] * len(videos)
    scores = segment_scores(truth, found, lengths, rates=rates)
    figures = [*scores.f1.values(), scores.frame_accuracy, scores.edit]
    assert all(0 <= figure <= 1 for figure in figures)
    assert list(scores.f1.values()) == sorted(scores.f1.values(), reverse=True)
    same = segment_scores(truth, truth, lengths, rates=rates)
    assert [*same.f1.values(), same.frame_accuracy, same.edit] == pytest.approx([1] * 5)
    frames = sum(x == y for a, b in videos for x, y in zip(a, b))
    assert scores.frame_accuracy == pytest.approx(frames / (24 * len(videos)))
    # the order in which segments or videos are given
    rng = np.random.default_rng(seed)
    mixed = [[each[i] for i in rng.permutation(len(each))] for each in found]
    order = rng.permutation(len(videos))
    other = segment_scores(
        [truth[i] for i in order], [mixed[i] for i in order], lengths, rates=rates
    )
    assert other == scores
    # a unit of time, and other names
    scaled = [[[Span("", 2 * s.start, 2 * s.end, s.label * 2) for s in video] for video in side]
              for side in (truth, found)]  # fmt: skip
    twice = segment_scores(*scaled, [48.0] * len(videos), rates=[5.0] * len(videos))
    assert twice == scores


@given(lines)
@settings(max_examples=50, deadline=None)
def test_a_false_alarm_more_never_helps(truth: str) -> None:
    right = spans(truth)
    wrong = [*right, Span("", 30, 31, "d")]
    before, after = (segment_scores([right], [found], [40]) for found in (right, wrong))
    assert all(after.f1[overlap] < before.f1[overlap] for overlap in OVERLAPS)
    assert after.frame_accuracy < before.frame_accuracy
    assert after.edit < before.edit


def test_videos_count_by_their_segments_and_frames() -> None:
    truth, found = [spans("aabb"), spans("c")], [spans("aabb"), spans("d")]
    scores = segment_scores(truth, found, [4, 1], rates=[10, 10])
    assert scores.f1[0.5] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert scores.frame_accuracy == pytest.approx(4 / 5)
    assert scores.edit == pytest.approx(1 / 2)
    assert (scores.true, scores.found, scores.videos) == (3, 3, 2)


def test_a_label_that_means_nothing_happens() -> None:
    scores = scored("aaxxbb", "aa..bb", background=["x"])
    assert [*scores.f1.values(), scores.frame_accuracy] == [1, 1, 1, 1]
    assert scored("aaxxbb", "aa..bb").f1[0.1] < 1


def test_several_labels_at_a_time_count_each() -> None:
    truth = [Span("", 0, 4, "a"), Span("", 2, 6, "b")]
    scores = segment_scores([truth], [truth[:1]], [6], rates=[10])
    assert scores.several
    assert scores.f1[0.5] == pytest.approx(2 / 3)
    assert scores.frame_accuracy == pytest.approx(2 * 4 / (2 * 4 + 4)), "F1 of frames and labels"


def test_for_json() -> None:
    said = scored("aabb", "aacc").to_dict()
    assert said["f1"] == {"10": 0.5, "25": 0.5, "50": 0.5}
    assert said["true_segments"] == said["found_segments"] == 2


@pytest.mark.parametrize(
    ("truth", "found", "lengths", "options", "message"),
    [
        ([], [], [], {}, "0 videos"),
        ([[]], [[], []], [1], {}, "1 videos cannot be scored with those found in 2"),
        ([[]], [[]], [1], {"overlaps": [0]}, r"overlap \(0\)"),
        ([[]], [[]], [1], {"overlaps": [1.5]}, r"overlap \(1.5\)"),
    ],
)
def test_what_cannot_be_scored(
    truth: Any, found: Any, lengths: Any, options: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        segment_scores(truth, found, lengths, **options)
