"""Items shared out over a real Ray: one worker here, killed ones in the slow tests."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from frameflow.cluster import Cluster, _session, run, workers_of
from frameflow.errors import FrameFlowError, UsageError


def squares(**options: Any) -> Callable[[], Callable[[Sequence[int]], list[Any]]]:
    """A maker of workers; nested, so that it is sent by value."""

    def make() -> Callable[[Sequence[int]], list[Any]]:
        import os

        made = []

        def work(items: Sequence[int]) -> list[Any]:
            made.append(len(items))
            for item in items:
                if item in options.get("fail", ()):
                    raise options["error"](f"item {item}")
                if item in options.get("die", ()):
                    os.kill(os.getpid(), 9)
                if item in options.get("die_once", ()) and not os.path.exists(options["mark"]):  # noqa: PTH110
                    open(options["mark"], "w").close()
                    os.kill(os.getpid(), 9)
            return [(item * item, len(made), os.environ["FRAMEFLOW_CORES"]) for item in items]

        return work

    return make


def test_each_item_once(ray_cluster: Cluster) -> None:
    found = list(run(ray_cluster, list(range(23)), squares(), block=4, what="Squaring"))
    assert sorted((item, result[0]) for item, result in found) == [(i, i * i) for i in range(23)]
    assert max(calls for _, (_, calls, _) in found) == 6  # one worker, made once
    assert {cores for _, (_, _, cores) in found} == {str(_session._cores())}
    assert workers_of(ray_cluster) == 1


def test_nothing_to_do_needs_no_cluster() -> None:
    assert list(run(Cluster("nowhere:1"), [], squares(), block=4, what="Squaring")) == []


def test_an_error_of_a_worker_is_raised_here(ray_cluster: Cluster) -> None:
    failing = squares(fail=[5], error=UsageError)
    with pytest.raises(UsageError, match="item 5"):
        list(run(ray_cluster, list(range(8)), failing, block=2, what="Squaring"))


@pytest.mark.slow
def test_a_full_memory_and_a_worker_that_cannot_be_made(ray_cluster: Cluster) -> None:
    with pytest.raises(FrameFlowError, match="memory of a worker is full"):
        list(run(ray_cluster, [1], squares(fail=[1], error=MemoryError), block=2, what="Squaring"))

    def unmakable() -> Any:
        raise FrameFlowError("no weights")

    with pytest.raises(FrameFlowError, match="no weights"):
        list(run(ray_cluster, [1], unmakable, block=2, what="Squaring"))


def test_a_caller_that_stops_early_stops_the_work(ray_cluster: Cluster) -> None:
    work = run(ray_cluster, list(range(400)), squares(), block=1, what="Squaring")
    next(work)
    work.close()
    again = run(ray_cluster, [3], squares(), block=1, what="Squaring")
    assert [result[0] for _, result in again] == [9]  # the place is free again


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(ray_cluster: Cluster, tmp_path: Path) -> None:
    dying = squares(die_once=[5], mark=str(tmp_path / "died"))
    found = list(run(ray_cluster, list(range(12)), dying, block=3, what="Squaring"))
    assert (tmp_path / "died").exists()
    assert sorted((item, result[0]) for item, result in found) == [(i, i * i) for i in range(12)]


@pytest.mark.slow
def test_an_item_that_ends_its_worker_each_time_is_given_up(ray_cluster: Cluster) -> None:
    items = list(range(6))
    given_up = run(
        ray_cluster, items, squares(die=[4]), block=3, what="Squaring",
        lost=lambda _, reason: (reason, 0, ""),
    )  # fmt: skip
    found = {item: result[0] for item, result in given_up}
    assert {item: found[item] for item in items if item != 4} == {
        item: item * item for item in items if item != 4
    }
    assert "ends the process that reads it (4 times" in str(found[4])


@pytest.mark.slow
def test_without_a_way_to_set_it_aside_it_is_named(ray_cluster: Cluster) -> None:
    work = run(
        ray_cluster, [1, 2], squares(die=[2]), block=1, what="Squaring", name=lambda i: f"video {i}"
    )
    with pytest.raises(FrameFlowError, match=r"^video 2 ends the process .* more memory"):
        list(work)


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_not_started_for_ever(ray_cluster: Cluster) -> None:
    def make() -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(FrameFlowError, match="ended 3 times while it started: its memory is full"):
        list(run(ray_cluster, list(range(9)), make, block=1, what="Squaring"))
