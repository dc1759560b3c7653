"""Jobs: a bounded queue, one at a time, progress, cancelling, results that expire."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from frameflow.errors import VideoError
from frameflow.serving.jobs import Job, Jobs, Stopped
from frameflow.serving.limits import Refused

FOUND: Any = object()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


class Work:
    """A job that goes on until it is let go, or stops when it is cancelled."""

    def __init__(self) -> None:
        self.begun, self.go, self.released = threading.Event(), threading.Event(), 0

    def __call__(self, job: Job) -> Any:
        self.begun.set()
        while not self.go.wait(0.005):
            job.report(0.5)
            if job.cancelled():
                raise Stopped
        return FOUND

    def done(self) -> None:
        self.released += 1


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
def jobs(ended: list[str]) -> Iterator[Jobs]:
    made = Jobs(most=2, ttl=60, ended=ended.append)
    yield made
    made.close()


def test_one_runs_at_a_time_and_two_wait(jobs: Jobs, ended: list[str]) -> None:
    works = [Work() for _ in range(4)]
    running = jobs.add(works[0], works[0].done)
    works[0].begun.wait(20)
    waiting = [jobs.add(work, work.done) for work in works[1:3]]
    with pytest.raises(Refused) as refused:
        jobs.add(works[3], works[3].done)
    assert (refused.value.status, refused.value.code) == (429, "busy")
    assert [job.state for job in (running, *waiting)] == ["running", "queued", "queued"]
    assert not works[1].begun.is_set()
    until(lambda: running.progress == 0.5)
    for work in works[:3]:
        work.go.set()
    until(lambda: all(job.state == "done" for job in (running, *waiting)))
    assert [work.released for work in works] == [1, 1, 1, 0]
    assert ended == ["done"] * 3
    assert running.found is FOUND
    assert running.progress == 1.0


def test_a_waiting_job_is_cancelled_at_once(jobs: Jobs, ended: list[str]) -> None:
    first, second, third = Work(), Work(), Work()
    jobs.add(first, first.done)
    first.begun.wait(20)
    waiting = jobs.add(second, second.done)
    assert jobs.cancel(waiting.id).state == "cancelled"
    assert (second.released, second.begun.is_set()) == (1, False)
    last = jobs.add(third, third.done)
    third.go.set()
    first.go.set()
    until(lambda: last.state == "done")
    assert not second.begun.is_set()
    assert ended == ["cancelled", "done", "done"]


def test_a_running_job_notices(jobs: Jobs) -> None:
    work = Work()
    job = jobs.add(work, work.done)
    work.begun.wait(20)
    jobs.cancel(job.id)
    until(lambda: job.state == "cancelled")
    assert (work.released, job.error) == (1, None)
    assert jobs.cancel(job.id).state == "cancelled", "once more does nothing"
    assert work.released == 1


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (VideoError("/tmp/secret/video", "ends early"), 422, "unreadable", "ends early"),
        (Refused(413, "too_long", "It lasts too long."), 413, "too_long", "lasts too long"),
        (RuntimeError("of the inside"), 500, "internal", "log"),
    ],
)
def test_a_failure_is_told_and_the_next_goes_on(
    jobs: Jobs, error: Exception, status: int, code: str, said: str
) -> None:
    def fail(_: Job) -> Any:
        raise error

    failed = jobs.add(fail, lambda: None)
    until(lambda: failed.over)
    assert failed.state == "failed"
    assert failed.error is not None
    assert (failed.error.status, failed.error.code) == (status, code)
    told = failed.to_dict()["error"]
    assert said in told["message"]
    assert "secret" not in str(told)
    assert "inside" not in str(told)
    good = Work()
    good.go.set()
    job = jobs.add(good, good.done)
    until(lambda: job.state == "done")


def test_what_was_not_asked_for_is_forgotten() -> None:
    jobs = Jobs(most=100, ttl=0.05)
    work = Work()
    work.go.set()
    job, other = jobs.add(work, work.done), Work()
    until(lambda: job.over)
    running = jobs.add(other, other.done)
    other.begun.wait(20)
    time.sleep(0.1)
    jobs.sweep()
    with pytest.raises(Refused) as refused:
        jobs.get(job.id)
    assert refused.value.status == 404
    assert jobs.get(running.id) is running, "what runs is kept however long it takes"
    jobs.close()
    assert running.state == "cancelled"


def test_only_so_many_results_are_kept() -> None:
    jobs = Jobs(most=200, ttl=3600)
    work = Work()
    work.go.set()
    made = [jobs.add(work, work.done) for _ in range(80)]
    until(lambda: all(job.over for job in made))
    jobs.sweep()
    assert jobs.count("done") == 64
    assert jobs.get(made[-1].id) is made[-1]
    jobs.close()


def test_ids_cannot_be_guessed(jobs: Jobs) -> None:
    work = Work()
    work.go.set()
    made = set()
    for _ in range(50):
        job = jobs.add(work, work.done)
        until(lambda job=job: job.over)  # type: ignore[misc]
        made.add(job.id)
    assert len(made) == 50
    assert all(len(name) >= 22 for name in made)  # 128 bits in base 64


def test_closing_cancels_all_and_ends_the_threads(ended: list[str]) -> None:
    jobs = Jobs(most=5, ttl=60, ended=ended.append)
    works = [Work() for _ in range(3)]
    made = [jobs.add(work, work.done) for work in works]
    works[0].begun.wait(20)
    jobs.close()
    assert [job.state for job in made] == ["cancelled"] * 3
    assert [work.released for work in works] == [1, 1, 1]
    assert not any(thread.is_alive() for thread in jobs._threads)
