"""Timelines as jobs: a bounded queue, progress, cancelling, and results that expire."""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from frameflow.serving.faults import busy, missing, refused_by
from frameflow.serving.limits import Refused

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.segments import Segment

State = Literal["queued", "running", "done", "failed", "cancelled"]
ALIVE = ("queued", "running")
_KEPT = 64  # finished jobs; beyond it the oldest go first


@dataclass(frozen=True, slots=True)
class Found:
    """What a job found."""

    timeline: "Timeline"
    segments: "list[Segment]"


class Stopped(Exception):
    """The work noticed that its job was cancelled."""


@dataclass(slots=True, eq=False)
class Job:
    """One timeline, from being asked for to being forgotten.

    Attributes:
        id: 128 random bits: who knows it may see and cancel the job.
        work: does it; told the job, whose `report` and `cancelled` it uses.
        done: called once it has ended, whatever way.
        used: when it was last asked for, monotonic seconds.
    """

    work: "Callable[[Job], Found]"
    done: Callable[[], None]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "queued"
    progress: float = 0.0
    error: Refused | None = None
    found: Found | None = None
    used: float = field(default_factory=time.monotonic)
    _cancel: threading.Event = field(default_factory=threading.Event)

    def report(self, share: float) -> None:
        """How much is done, 0 to 1; it never goes back."""
        self.progress = max(self.progress, min(float(share), 1.0))

    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self._cancel.is_set()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in ALIVE

    def to_dict(self) -> dict[str, Any]:
        """State and progress, and the error where there is one; not the result."""
        said: dict[str, Any] = {
            "job": self.id, "state": self.state, "progress": round(self.progress, 4),
        }  # fmt: skip
        if self.error is not None:
            said["error"] = {"code": self.error.code, "message": self.error.message}
        return said


class Jobs:
    """Runs jobs in threads of their own.

    Args:
        most: jobs that wait at most.
        at_once: jobs that run at once.
        ttl: seconds that an ended job is kept after its last use.
        ended: told the state that a job ended in.
    """

    def __init__(
        self,
        *,
        most: int,
        ttl: float,
        at_once: int = 1,
        ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._most, self._ttl, self._ended = most, ttl, ended
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"timeline-{number}", daemon=True)
            for number in range(at_once)
        ]
        for thread in self._threads:
            thread.start()

    def full(self) -> bool:
        """Whether the next one would be refused."""
        return len(self._waiting) >= self._most

    def check_room(self) -> None:
        """Refuse before anything is read or kept.

        Raises:
            Refused: 429, as many wait as there is room for.
        """
        if self.full():
            raise busy(f"{len(self._waiting)} timelines wait, and that is all there is room for")

    def add(self, work: "Callable[[Job], Found]", done: Callable[[], None]) -> Job:
        """Queue a job.

        Args:
            work: what it does, in a thread.
            done: called once it has ended, also where it never began.

        Raises:
            Refused: 429, there is no room; ``done`` is not called.
        """
        with self._change:
            self.check_room()
            job = Job(work, done)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._change.notify()
        return job

    def get(self, name: str) -> Job:
        """The job of that id, which counts as its use.

        Raises:
            Refused: 404, there is none, or no more.
        """
        job = self._jobs.get(name)
        if job is None:
            raise missing("unknown_job", "There is no such job; ended ones are kept for a while.")
        job.used = time.monotonic()
        return job

    def cancel(self, name: str) -> Job:
        """Stop a job that waits or runs; one that has ended stays as it is.

        Raises:
            Refused: 404, there is none.
        """
        job = self.get(name)
        with self._change:
            job._cancel.set()
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
        if waits:
            self._end(job, "cancelled")
        return job

    def count(self, state: str) -> int:
        """How many of those kept are in a state."""
        return sum(job.state == state for job in tuple(self._jobs.values()))

    def sweep(self) -> None:
        """Forget what ended long ago, and the oldest of too many."""
        over = sorted((j for j in tuple(self._jobs.values()) if j.over), key=lambda j: j.used)
        late = time.monotonic() - self._ttl
        for place, job in enumerate(over):
            if job.used < late or place < len(over) - _KEPT:
                self._jobs.pop(job.id, None)

    def close(self) -> None:
        """Cancel everything and wait for what runs to notice."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for job in tuple(self._jobs.values()):
            self.cancel(job.id)
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                job = self._waiting.popleft()
                job.state = "running"
            self._do(job)

    def _do(self, job: Job) -> None:
        try:
            found = job.work(job)
        except Stopped:
            self._end(job, "cancelled")
        except Exception as error:
            if not job.cancelled():  # closing what it reads from may make it fail too
                job.error = refused_by(error)
            self._end(job, "cancelled" if job.cancelled() else "failed")
        else:
            job.found, job.progress = found, 1.0
            self._end(job, "done")
        self.sweep()

    def _end(self, job: Job, state: State) -> None:
        job.used = time.monotonic()
        try:
            job.done()
        finally:  # who sees it ended finds its files gone
            job.state = state
            self._ended(state)
