"""Batches made ahead: the same ones in the same order, and no thread left."""

import gc
import random
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.training.examples import Batch
from frameflow.training.loader import AHEAD, load


class Numbers:
    """Examples that return their rows and a draw, after a while; one batch may fail."""

    def __init__(self, count: int = 40, *, delay: float = 0.0, fails: int | None = None) -> None:
        self.targets = np.arange(count)
        self.delay, self.fails = delay, fails
        self.made: list[int] = []
        self.working = self.most = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        with self._lock:
            self.made.append(int(rows[0]))
            self.working += 1
            self.most = max(self.most, self.working)
        try:
            if self.delay:
                time.sleep(random.random() * self.delay)
            if rows[0] == self.fails:
                raise ValueError(f"batch {rows[0]}")
        finally:
            with self._lock:
                self.working -= 1
        draw = 0.0 if rng is None else rng.random()
        mask = torch.ones(len(rows), 1, dtype=torch.bool)
        return Batch(torch.full((len(rows), 1), draw), mask, torch.from_numpy(self.targets[rows]))


def rows_of(count: int, size: int = 4) -> list[np.ndarray]:
    return np.array_split(np.arange(count), max(1, count // size))


def taken(loaded) -> list[tuple[list[int], float]]:
    return [(rows.tolist(), float(batch.inputs[0, 0])) for rows, batch in loaded]


def workers_left() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


@settings(max_examples=200, deadline=None)
@given(
    workers=st.integers(1, 5),
    count=st.integers(1, 30),
    delay=st.sampled_from([0.0, 0.0005, 0.002]),
    stop=st.none() | st.integers(0, 8),
    fails=st.none() | st.integers(0, 8),
    skip=st.integers(0, 9),
)
def test_random_schedules_end_in_order_and_leave_no_thread(
    workers: int, count: int, delay: float, stop: int | None, fails: int | None, skip: int
) -> None:
    parts = rows_of(count, 2)
    failing = None if fails is None or fails >= len(parts) else fails
    examples = Numbers(count, delay=delay, fails=None if failing is None else parts[failing][0])
    loaded = load(examples, parts, np.random.default_rng(0), workers=workers, skip=skip)
    got = []
    try:
        for rows, batch in loaded:
            assert batch.targets.tolist() == rows.tolist()
            got.append(rows.tolist())
            if stop is not None and len(got) > stop:
                loaded.close()
    except ValueError:
        assert failing is not None
        assert failing == skip + len(got)
    else:
        reached = skip + len(got)
        assert reached == max(skip, len(parts)) or len(got) == (stop or 0) + 1
    assert got == [part.tolist() for part in parts[skip : skip + len(got)]]
    assert not workers_left()


def test_workers_make_the_same_batches_whatever_their_number() -> None:
    ways = [
        taken(load(Numbers(delay=0.001), rows_of(40), np.random.default_rng(5), workers=workers))
        for workers in (1, 2, 7)
    ]
    assert ways[0] == ways[1] == ways[2]
    assert len({draw for _, draw in ways[0]}) == len(ways[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_batches_leave_the_others_as_they_were(workers: int) -> None:
    whole = taken(load(Numbers(), rows_of(40), np.random.default_rng(5), workers=workers))
    examples = Numbers()
    rest = taken(load(examples, rows_of(40), np.random.default_rng(5), workers=workers, skip=3))
    assert rest == whole[3:]
    assert (0 in examples.made) == (workers == 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_generator_is_left_as_after_a_whole_epoch(workers: int) -> None:
    states = []
    for skip in (0, 6):
        rng = np.random.default_rng(5)
        order = (part for part in np.array_split(rng.permutation(40), 10))
        taken(load(Numbers(), order, rng, workers=workers, skip=skip))
        states.append(rng.bit_generator.state)
    assert states[0] == states[1]


def test_without_workers_the_batch_draws_from_the_generator_itself_in_this_thread() -> None:
    rng, own = np.random.default_rng(5), np.random.default_rng(5)
    loaded = taken(load(Numbers(), rows_of(40), rng, workers=0))
    assert [draw for _, draw in loaded] == pytest.approx([own.random() for _ in loaded], abs=1e-7)
    threads = []
    examples = Numbers()
    made = examples.batch
    examples.batch = lambda *given: threads.append(threading.current_thread()) or made(*given)  # type: ignore[method-assign]
    taken(load(examples, rows_of(40), rng, workers=0))
    assert set(threads) == {threading.main_thread()}


def test_no_randomness_is_passed_on_as_none() -> None:
    for workers in (0, 2):
        loaded = taken(load(Numbers(), rows_of(8), None, workers=workers, skip=1))
        assert [draw for _, draw in loaded] == [0.0]


def test_batches_do_not_pile_up_before_a_slow_network() -> None:
    examples = Numbers(400)
    loaded = load(examples, rows_of(400, 1), None, workers=3)
    for number in range(1, 11):
        next(loaded)
        time.sleep(0.005)
        assert len(examples.made) <= number + 3 + AHEAD
    assert examples.most <= 3
    loaded.close()


def test_workers_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)

    class Meeting(Numbers):
        def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
            meeting.wait()
            return super().batch(rows, rng)

    assert len(taken(load(Meeting(12), rows_of(12, 2), None, workers=3))) == 6


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_exception_comes_at_its_place(workers: int) -> None:
    examples = Numbers(40, delay=0.001, fails=16)
    loaded = load(examples, rows_of(40), None, workers=workers)
    assert [int(next(loaded)[0][0]) for _ in range(4)] == [0, 4, 8, 12]
    with pytest.raises(ValueError, match="batch 16"):
        next(loaded)
    assert not workers_left()


def test_an_interrupted_loop_leaves_no_thread() -> None:
    def train() -> None:
        for number, _ in enumerate(load(Numbers(delay=0.01), rows_of(40), None, workers=3)):
            if number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    gc.collect()  # the traceback held the loop
    assert not workers_left()


def test_closing_does_not_begin_what_waits() -> None:
    examples = Numbers(400, delay=0.02)
    loaded = load(examples, rows_of(400, 1), None, workers=2)
    next(loaded)
    loaded.close()
    assert len(examples.made) <= 1 + 2 + AHEAD
    assert not workers_left()


def test_what_is_never_begun_starts_no_thread() -> None:
    load(Numbers(), rows_of(40), None, workers=3).close()
    assert not workers_left()


def test_workers_compute_on_one_core_and_change_nobody_elses_number() -> None:
    seen = []

    class Asking(Numbers):
        def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
            seen.append(torch.get_num_threads())
            return super().batch(rows, rng)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        taken(load(Asking(), rows_of(40), None, workers=2))
        assert torch.get_num_threads() == 3
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
    assert later == [3]
