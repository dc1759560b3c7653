"""Reading videos from strangers: in processes of their own, under limits.

A file that makes the decoder crash, hang or eat memory ends the process it is read in, and so the
one request it came with; the process is started anew and all others go on.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from frameflow.errors import UsageError
from frameflow.serving import _wire
from frameflow.serving._process import PROGRAM, Died, WorkerProcess, not_wanted, refused_by_death
from frameflow.serving.limits import Limits, Refused
from frameflow.serving.sniff import check_kind

if TYPE_CHECKING:
    from frameflow.inference.timeline.shots import Shot, ShotRequest
    from frameflow.video.clip import Clip, ClipRequest
    from frameflow.video.probe import VideoInfo

log = logging.getLogger(__name__)

_WATCH = 0.05  # seconds between two looks at the workers
_FAILED_STARTS = 3  # in a row, after which requests are told

Cancelled = Callable[[], bool] | None
T = TypeVar("T")


class SafeReader:
    """A pool of worker processes that read videos; its methods are called from any thread.

    Args:
        limits: of videos and of the processes.
        workers: how many processes.
        folder: the only one that the processes may write in (where the system can see to that),
            so previews go there; None: any.
        program: what the processes run.

    Attributes:
        restarts: processes that a video, a limit or the system ended, and that were replaced.

    Raises:
        UsageError: ``workers`` is not positive.

    Every method that reads raises `Refused`: 415 for what is no video, 413 for one over a limit,
    422 for one that cannot be read, 429 where all processes stay busy, 499 where ``cancelled``
    says that nobody waits for the answer, 503 while the pool is closed or cannot start.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        workers: int = 1,
        folder: Path | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        if workers < 1:
            raise UsageError(f"workers ({workers}) must be > 0.")
        self.restarts = 0
        self._limits, self._program, self._size = limits, tuple(program), workers
        self._folder = None if folder is None else folder.absolute()
        self._changed = threading.Condition()
        self._idle: list[WorkerProcess] = []
        self._live: set[WorkerProcess] = set()
        self._worn: list[WorkerProcess] = []  # to be closed as soon as their heirs have started
        self._starting = 0
        self._long = 0
        self._failed = 0
        self._closed = False
        for _ in range(workers):
            self._start()
        self._watcher = threading.Thread(target=self._watch, name="watch workers", daemon=True)
        self._watcher.start()

    def __enter__(self) -> "SafeReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def probe(self, path: Path, *, cancelled: Cancelled = None) -> "VideoInfo":
        """What a video is."""
        (found,) = self._ask("probe", path, cancelled, lambda value, _: _wire.unpack_info(value))
        return found

    def times(self, path: Path, *, cancelled: Cancelled = None) -> "tuple[VideoInfo, np.ndarray]":
        """What a video is, and the seconds at which each of its frames is shown."""
        (found,) = self._ask("times", path, cancelled, _unpack_times)
        return found

    def read(
        self, path: Path, requests: "Sequence[ClipRequest]", *, cancelled: Cancelled = None
    ) -> "list[list[Clip]]":
        """The clips of each request, as `ClipEncoder.read` gives them."""
        return self.read_with_info(path, requests, cancelled=cancelled)[1]

    def read_with_info(
        self, path: Path, requests: "Sequence[ClipRequest]", *, cancelled: Cancelled = None
    ) -> "tuple[VideoInfo, list[list[Clip]]]":
        """What `probe` and `read` give, at once."""
        wanted = list(requests)
        (found,) = self._ask("read", path, cancelled, _unpack_read, requests=wanted)
        return found

    def shots(
        self, path: Path, request: "ShotRequest", *, cancelled: Cancelled = None
    ) -> "Generator[Shot]":
        """Moments of a long video, a few ahead of the one that reads them.

        Closing the generator ends the reading.
        """
        for chunk in self._ask(
            "shots", path, cancelled, _wire.unpack_shots, long=True, request=request
        ):
            yield from chunk

    def preview(
        self,
        path: Path,
        out: Path,
        *,
        progress: Callable[[float], None] | None = None,
        cancelled: Cancelled = None,
    ) -> None:
        """Write a small H.264 MP4 that every browser plays; ``out`` is there whole or not at all.

        Args:
            path: of the video.
            out: of the preview, in a folder that only this server writes into.
            progress: is told the share that is done, 0 to 1.
            cancelled: whether it is still wanted.
        """
        out = out.absolute()
        try:
            for share in self._ask(
                "preview", path, cancelled, lambda v, _: float(v), long=True, out=str(out)
            ):
                if progress is not None:
                    progress(share)
        finally:
            out.with_name(f".{out.stem}.partial{out.suffix}").unlink(missing_ok=True)

    def pids(self) -> list[int]:
        """The processes that are there."""
        with self._changed:
            return [worker.pid for worker in self._live]

    @property
    def ready(self) -> bool:
        """Whether there is a process that reads, or that will as soon as it is free."""
        with self._changed:
            return not self._closed and any(worker.started for worker in self._live)

    def close(self) -> None:
        """End all processes; what is under way is refused."""
        with self._changed:
            self._closed = True
            live = list(self._live)
            self._changed.notify_all()
        for worker in live:
            worker.kill("closed")
        with self._changed:
            self._changed.wait_for(lambda: not self._starting, timeout=10)
            for worker in self._idle:
                self._live.discard(worker)
                worker.close()
            self._idle.clear()
        self._watcher.join(timeout=10)

    # One request ---------------------------------------------------------------------------------

    def _ask(
        self,
        do: str,
        path: Path,
        cancelled: Cancelled,
        unpack: Callable[[Any, list[np.ndarray]], T],
        *,
        long: bool = False,
        **more: Any,
    ) -> Iterator[T]:
        """The parts of the answer."""
        path = path.absolute()  # never anything that FFmpeg takes for an address
        check_kind(path)
        budget = self._limits.stream_seconds if long else self._limits.decode_seconds
        try:
            worker = self._asked(do, long, budget, cancelled, path=str(path), **more)
            try:
                yield from self._parts(worker, budget, unpack)
            finally:
                if worker.busy and worker.alive:
                    worker.cancel()
                self._give_back(worker, long)
        except Died as death:
            raise refused_by_death(death.reason, self._limits) from None

    def _parts(
        self, worker: WorkerProcess, budget: float, unpack: Callable[[Any, list[np.ndarray]], T]
    ) -> Iterator[T]:
        while True:
            begun = time.monotonic()
            reply, arrays = worker.receive(min(budget, self._limits.decode_seconds))
            budget -= time.monotonic() - begun
            try:
                if reply["kind"] == "refused":
                    raise Refused(*reply["refused"])
                if reply["kind"] == "cancelled":
                    raise not_wanted()
                part = unpack(reply["value"], arrays)
            except (LookupError, TypeError, ValueError, AttributeError):
                worker.kill("nonsense")
                raise Died("nonsense") from None
            yield part
            if reply["kind"] == "done":
                return
            if budget <= 0:
                worker.kill("timeout")

    # The pool ------------------------------------------------------------------------------------

    def _asked(
        self, do: str, long: bool, budget: float, cancelled: Cancelled, **more: Any
    ) -> WorkerProcess:
        """A worker that has begun; one that was dead before that is not the video's fault."""
        for _ in range(self._size + 1):
            worker = self._take(long, cancelled)
            try:
                worker.ask(do, budget, cancelled, **more)
            except BaseException as error:
                self._give_back(worker, long)
                if isinstance(error, Died) and not error.reason:
                    continue
                raise
            return worker
        raise Died("")

    def _take(self, long: bool, cancelled: Cancelled) -> WorkerProcess:
        """A worker; long work leaves one for the others, where there are several."""
        most_long = max(1, self._size - 1)
        end = time.monotonic() + self._limits.queue_seconds
        with self._changed:
            while True:
                if self._closed:
                    raise refused_by_death("closed", self._limits)
                if cancelled is not None and cancelled():
                    raise not_wanted()
                if self._idle and not (long and self._long >= most_long):
                    worker = self._idle.pop()
                    if not worker.alive:
                        self._drop(worker)
                        continue
                    self._long += long
                    return worker
                if self._failed >= _FAILED_STARTS and not self._live:
                    self._failed = 0
                    self._start()
                    raise Refused(
                        503, "no_worker", "The processes that read videos do not start.",
                        "The server's log says why.",
                    )  # fmt: skip
                if time.monotonic() > end:
                    raise Refused(429, "busy", "Too many videos are being read.", "Try again soon.")
                self._changed.wait(0.2)

    def _give_back(self, worker: WorkerProcess, long: bool) -> None:
        with self._changed:
            self._long -= long
            if self._closed:
                self._live.discard(worker)
                worker.close()
            elif worker.busy or not worker.alive:
                self._drop(worker)
            elif worker not in self._live:  # its heir is here
                worker.close()
            else:
                self._idle.append(worker)
                worn = worker.videos >= self._limits.videos_per_worker
                if (worn or worker.grown > self._limits.memory_bytes // 2) and (
                    worker not in self._worn
                ):
                    self._worn.append(worker)
                    self._start()
            self._changed.notify_all()

    def _drop(self, worker: WorkerProcess) -> None:
        """A worker ended, or must: another one takes its place."""
        self._live.discard(worker)
        worker.close()
        if worker in self._worn:
            self._worn.remove(worker)  # its heir is under way already
        else:
            self._start()
        self.restarts += 1

    def _start(self) -> None:
        self._starting += 1
        threading.Thread(target=self._start_one, name="start worker", daemon=True).start()

    def _start_one(self) -> None:
        try:
            worker = WorkerProcess(self._limits, self._program, folder=self._folder)
        except OSError as error:
            self._not_started(None, error)
            return
        with self._changed:
            self._live.add(worker)
            if self._closed:
                worker.kill("closed")
        try:
            worker.wait_ready()
        except Died as death:
            self._not_started(worker, death)
            return
        with self._changed:
            self._starting -= 1
            self._failed = 0
            self._idle.append(worker)
            if self._worn:
                old = self._worn.pop(0)
                self._live.discard(old)
                if old in self._idle:
                    self._idle.remove(old)
                    old.close()
            self._changed.notify_all()

    def _not_started(self, worker: WorkerProcess | None, why: Exception) -> None:
        with self._changed:
            self._starting -= 1
            if worker is not None:
                self._live.discard(worker)
                worker.close()
            self._failed += 1
            again = not self._closed and self._failed < _FAILED_STARTS
            if not self._closed:
                log.error("A process that reads videos did not start (%s).", why)
            if again:
                self._start()
            self._changed.notify_all()

    def _watch(self) -> None:
        while not self._closed:
            with self._changed:
                live = list(self._live)
            for worker in live:
                worker.watch()
            time.sleep(_WATCH if any(worker.busy for worker in live) else 4 * _WATCH)


def _unpack_times(value: Any, arrays: list[np.ndarray]) -> "tuple[VideoInfo, np.ndarray]":
    info, place = value
    times = arrays[place]
    if times.dtype != np.float64 or times.ndim != 1 or not len(times):
        raise ValueError("these are no times")
    return _wire.unpack_info(info), times


def _unpack_read(value: Any, arrays: list[np.ndarray]) -> "tuple[VideoInfo, list[list[Clip]]]":
    info, clips = value
    return _wire.unpack_info(info), _wire.unpack_clips(clips, arrays)
