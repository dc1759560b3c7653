"""Actions begin once and end once."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.inference.live import LiveEvent, LivePrediction, changes, happenings
from frameflow.inference.prediction import Prediction

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, UTC)
LABELS = ("jump", "run", "walk")
Shares = tuple[float, float, float]


def window(
    number: int, shares: Shares, *, abstained: bool = False, multilabel: bool = False
) -> LivePrediction:
    probabilities = np.array(shares, np.float32)
    best = int(probabilities.argmax())
    said = Prediction(
        "stream",
        LABELS[best],
        float(probabilities[best]),
        [(LABELS[best], float(probabilities[best]))],
        probabilities,
        LABELS,
        multilabel=multilabel,
        abstained=abstained,
    )
    return LivePrediction(NOW, float(number), number + 2.0, said, 0.05)


def event(name: str, seconds: float = 0.0) -> LiveEvent:
    return LiveEvent(name, NOW, seconds)


def told(found: list[LivePrediction | LiveEvent], **options: float) -> list[tuple[object, ...]]:
    return [
        (one.event, one.details.get("label"), one.details.get("start"), one.details.get("end"))
        for one in happenings(found, **options)
    ]


JUMP, RUN, NEITHER = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.2, 0.25, 0.25)
HOVERING = (0.4, 0.35, 0.25)  # between the thresholds


def test_begin_and_end_with_two_thresholds() -> None:
    shares = [NEITHER, JUMP, HOVERING, JUMP, NEITHER, HOVERING]
    found = [window(number, each) for number, each in enumerate(shares)]
    assert told(found) == [("begin", "jump", None, None), ("end", "jump", 2.0, 4.0)]
    (begin, end) = happenings(found)
    assert begin.seconds == 2.0  # the middle of the window
    assert end.details["peak"] == pytest.approx(0.8)
    assert end.details["windows"] == 3
    assert end.details["probability"] == pytest.approx((0.8 + 0.4 + 0.8) / 3)


def test_another_label_ends_the_one_before() -> None:
    found = [window(number, each) for number, each in enumerate([JUMP, RUN, NEITHER])]
    assert [one[:2] for one in told(found)] == [
        ("begin", "jump"), ("end", "jump"), ("begin", "run"), ("end", "run"),
    ]  # fmt: skip


def test_none_of_these_ends_all() -> None:
    found = [window(0, JUMP), window(1, JUMP, abstained=True), window(2, JUMP)]
    assert [one[:2] for one in told(found)] == [("begin", "jump"), ("end", "jump")] * 2


@pytest.mark.parametrize("stop", ["stalled", "jump", "reconnecting", "ended"])
def test_what_breaks_the_stream_ends_the_action_first(stop: str) -> None:
    found = [event("connected"), window(0, JUMP), event(stop, 3.0)]
    assert [one[0] for one in told(found)] == ["connected", "begin", "end", stop]


def test_labels_of_several_go_on_by_themselves() -> None:
    both, one = (0.9, 0.9, 0.1), (0.9, 0.1, 0.1)
    found = [window(n, each, multilabel=True) for n, each in enumerate([both, one, one])]
    assert [each[:2] for each in told(found)] == [
        ("begin", "jump"), ("begin", "run"), ("end", "run"), ("end", "jump"),
    ]  # fmt: skip


@given(
    st.lists(st.tuples(*[st.floats(0, 1)] * 3, st.booleans(), st.booleans()), max_size=30),
    st.booleans(),
)
def test_whatever_begins_ends_once(rows: list[tuple[float, ...]], several: bool) -> None:
    found: list[LivePrediction | LiveEvent] = []
    for number, (a, b, c, refused, broken) in enumerate(rows):
        found.append(window(number, (a, b, c), abstained=bool(refused), multilabel=several))
        if broken:
            found.append(event("jump"))
    going: set[str] = set()
    for one in happenings(found):
        if one.event == "begin":
            assert one.details["label"] not in going
            assert several or not going
            assert one.details["probability"] >= 0.5
            going.add(one.details["label"])
        elif one.event == "end":
            going.remove(one.details["label"])
            assert one.details["start"] <= one.details["end"]
            assert one.details["peak"] >= 0.5
    assert not going


def test_thresholds_must_be_in_order() -> None:
    with pytest.raises(UsageError, match=r"enter \(0.3\) and leave \(0.5\)"):
        happenings([], enter=0.3, leave=0.5)


def test_changes_leave_out_what_was_said_already() -> None:
    found = [window(0, JUMP), window(1, JUMP), window(2, RUN), event("jump"), window(3, RUN)]
    kept = [one.start if isinstance(one, LivePrediction) else one.event for one in changes(found)]
    assert kept == [0.0, 2.0, "jump", 3.0]


def test_a_line_is_plain_and_short() -> None:
    assert window(1, JUMP).to_dict() == {
        "time": "2026-05-01T12:00:00.123Z",
        "start": 1.0,
        "end": 3.0,
        "label": "jump",
        "probability": 0.8,
        "topk": [{"label": "jump", "probability": 0.8}],
        "latency": 0.05,
        "behind": 0.0,
        "dropped_windows": 0,
        "dropped_frames": 0,
    }
