"""Which labels may be mirrored, and what they become."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.training.mirror import Mirror, names_side


@pytest.mark.parametrize(
    "label",
    [
        "left", "Turn Right", "swipe_left", "TurnLeft", "turnLEFT", "TURN-RIGHT", "step leftwards",
        "left-hand serve", "lefthanded serve", "rightward", "clockwise", "anti-clockwise",
        "CounterClockwise", "rotate CW", "rotate_ccw", "left2", "1 right",
    ],
)  # fmt: skip
def test_labels_that_name_a_side(label: str) -> None:
    assert names_side(label)


@pytest.mark.parametrize(
    "label",
    ["bright", "copyright", "leftovers", "upright row", "clock", "wise", "Forehand", "", "wright"],
)
def test_labels_that_do_not(label: str) -> None:
    assert not names_side(label)


def test_pairs_swap_the_others_stay_and_sides_without_a_pair_are_not_mirrored() -> None:
    labels = ["jump", "step right", "step left", "turn left"]
    mirror = Mirror(labels, [("step left", "step right")])
    assert [mirror.may_flip(np.array(i)) for i in range(4)] == [True, True, True, False]
    assert [int(mirror.flipped(np.array(i))) for i in range(3)] == [0, 2, 1]


def test_a_pair_need_not_name_a_side_and_a_label_may_be_its_own() -> None:
    mirror = Mirror(["inward", "outward", "right of way"], [("inward", "outward")])
    assert mirror.becomes.tolist() == [1, 0, 2]
    assert mirror.allowed.tolist() == [True, True, False]
    own = Mirror(["inward", "right of way"], [("right of way", "right of way")])
    assert (own.becomes.tolist(), own.allowed.tolist()) == ([0, 1], [True, True])


def test_several_labels_are_mirrored_together_or_not_at_all() -> None:
    mirror = Mirror(["jump", "step right", "step left", "turn left"], [("step left", "step right")])
    both = np.array([1, 1, 0, 0], np.float32)
    assert mirror.may_flip(both)
    assert mirror.flipped(both).tolist() == [1, 0, 1, 0]
    assert mirror.flipped(both).dtype == np.float32
    assert not mirror.may_flip(np.array([1, 0, 0, 1], np.float32))
    assert mirror.may_flip(np.zeros(4, np.float32))


@given(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=2, max_size=8))
def test_twice_is_nothing(chosen: list[str]) -> None:
    mirror = Mirror(list("abcdefgh"), list(zip(chosen[::2], chosen[1::2])))
    for number in range(8):
        assert mirror.flipped(mirror.flipped(np.array(number))) == number
    target = np.random.default_rng(0).random(8)
    assert np.array_equal(mirror.flipped(mirror.flipped(target)), target)


def test_mistakes_in_the_pairs_are_told() -> None:
    with pytest.raises(UsageError, match=r"'step lft'.*mean 'step left'"):
        Mirror(["step left", "step right"], [("step lft", "step right")])
    with pytest.raises(UsageError, match="'a' in two pairs"):
        Mirror(["a", "b", "c"], [("a", "b"), ("c", "a")])
