"""The time of a stream only grows, whatever its stamps do."""

from hypothesis import given
from hypothesis import strategies as st

from frameflow.inference.live.clock import StreamClock

STAMPS = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(
    st.lists(st.tuples(STAMPS, st.floats(0, 5), st.booleans()), max_size=40),
    st.floats(0.1, 10),
)
def test_seconds_only_grow(frames: list[tuple[float | None, float, bool]], hole: float) -> None:
    clock, arrived, last = StreamClock(hole=hole), 0.0, -1.0
    for stamp, wait, opened in frames:
        arrived += wait
        if opened:
            clock.opened()
        moment = clock(stamp, arrived)
        if moment is not None:
            assert moment.seconds > last
            assert moment.anew or moment.seconds - last <= hole + 1e-6
            last = moment.seconds


def test_own_stamps_count_within_a_piece() -> None:
    clock = StreamClock(hole=2.0)
    found = [clock(90.0 + 0.04 * i, arrived=7.0 + (i % 3)) for i in range(5)]
    assert [round(m.seconds, 6) for m in found if m] == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert [m.anew for m in found if m] == [True, False, False, False, False]


def test_a_hole_within_bounds_is_bridged_and_a_longer_one_begins_a_piece() -> None:
    clock = StreamClock(hole=2.0)
    moments = [clock(stamp, arrived=stamp) for stamp in (0.0, 1.9, 4.0)]
    assert [m.anew for m in moments if m] == [True, False, True]


def test_a_jump_back_goes_on_by_real_time() -> None:
    clock = StreamClock(hole=2.0)
    clock(100.0, arrived=1.0)
    clock(101.0, arrived=2.0)
    back = clock(3.0, arrived=2.5)
    assert back is not None
    assert back.anew
    assert back.seconds == 1.5
    after = clock(3.25, arrived=9.0)
    assert after is not None
    assert not after.anew
    assert after.seconds == 1.75


def test_late_and_repeated_frames_are_left_out() -> None:
    clock = StreamClock(hole=2.0)
    assert clock(1.0, arrived=0.0)
    assert clock(1.0, arrived=0.1) is None
    assert clock(0.8, arrived=0.1) is None
    moment = clock(1.1, arrived=0.2)
    assert moment is not None
    assert not moment.anew


def test_without_stamps_arrival_is_the_time() -> None:
    clock = StreamClock(hole=2.0)
    moments = [clock(None, arrived=arrived) for arrived in (5.0, 5.5, 6.0, 9.0)]
    assert [m.seconds for m in moments if m] == [0.0, 0.5, 1.0, 4.0]
    assert [m.anew for m in moments if m] == [True, False, False, True]


def test_opened_again_a_piece_begins() -> None:
    clock = StreamClock(hole=2.0)
    clock(1.0, arrived=0.0)
    clock.opened()
    moment = clock(1.04, arrived=8.0)
    assert moment is not None
    assert (moment.seconds, moment.anew) == (8.0, True)
