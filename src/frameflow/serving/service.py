"""All that a server holds: models, readers, the computing thread, jobs and uploads."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from frameflow.serving.batching import Batcher
from frameflow.serving.jobs import ALIVE, Jobs
from frameflow.serving.limits import Refused
from frameflow.serving.metrics import Metrics, memory
from frameflow.serving.models import Models, load_models
from frameflow.serving.previews import Previews
from frameflow.serving.reader import SafeReader
from frameflow.serving.samples import Samples
from frameflow.serving.uploads import Uploads

if TYPE_CHECKING:
    from starlette.requests import Request

    from frameflow.serving.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

SWEEP_SECONDS = 15.0


class Service:
    """What the routes share.

    Args:
        runs: named run folders, the default first.
        settings: of the server.

    Attributes:
        failure: why loading ended, where it did not end well.
        key: opens model cards and reports to a page's frames, which cannot send a token.
    """

    def __init__(self, runs: Sequence[tuple[str, Path]], settings: "Settings") -> None:
        self.runs, self.settings = runs, settings
        self.key = secrets.token_urlsafe(16)
        self.metrics = Metrics()
        self.samples = Samples(settings.samples)
        self.failure: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._models: Models | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether the models are loaded and warm."""
        return self._models is not None

    @property
    def models(self) -> Models:
        """The runs.

        Raises:
            Refused: 503 while they are being loaded.
        """
        if self._models is None:
            raise Refused(503, "starting", "The models are being loaded.", "Try again soon.")
        return self._models

    @contextlib.asynccontextmanager
    async def running(self) -> Any:
        """Everything started, and in the end stopped again and nothing left behind."""
        settings = self.settings
        self.uploads = Uploads(settings.limits, ttl=settings.ttl)
        self.reader = SafeReader(
            settings.limits, workers=settings.workers, folder=self.uploads.folder
        )
        self.batcher = Batcher(settings.batch, self.metrics.together.observe)
        self.jobs = Jobs(most=settings.jobs, ttl=settings.ttl, ended=self._job_ended)
        self.reading = ThreadPoolExecutor(settings.workers, thread_name_prefix="read")
        self.explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self.framing = ThreadPoolExecutor(1, thread_name_prefix="frames")
        self.previews = Previews(self.reader, self.uploads)
        self._watch()
        self._tasks = [asyncio.create_task(self._load()), asyncio.create_task(self._sweep())]
        try:
            yield
        finally:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for task in self._tasks:
            task.get_loop().call_soon_threadsafe(task.cancel)
        for pool in (self.reading, self.explaining, self.framing):
            pool.shutdown(wait=False, cancel_futures=True)
        self.previews.close()
        self.jobs.close()
        self.reader.close()
        self.batcher.close()
        self.uploads.close()

    async def _load(self) -> None:
        settings = self.settings
        try:
            self._models = await asyncio.to_thread(
                load_models, self.runs, engine=settings.engine, views=settings.views
            )
        except Exception as error:
            self.failure = error
            self.on_failure()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self.jobs.sweep()
                await asyncio.to_thread(self.uploads.sweep)
                self.previews.sweep()
            except Exception:  # once more in a while: it must not end for good
                log.exception("What has expired could not be removed.")

    def _job_ended(self, state: str) -> None:
        self.metrics.jobs.labels(state).inc()

    def _watch(self) -> None:
        """Figures that are looked up when Prometheus asks."""
        watch = self.metrics.watch
        watch(
            "compute_waiting", "Predictions that wait for the engine.", lambda: self.batcher.waiting
        )
        watch("uploads", "Uploads that are kept.", lambda: self.uploads.count)
        watch("upload_bytes", "Their size on disk.", lambda: self.uploads.bytes)
        watch("ready", "1 once the models are loaded.", lambda: float(self.ready))
        watch("memory_bytes", "Resident memory of the server itself.", memory)
        watch("worker_memory_bytes", "Resident memory of its decoding processes.", self._workers)
        watch("worker_restarts", "Decoding processes that were replaced.", self._restarts)
        for state in ALIVE:
            watch(
                f"jobs_{state}", f"Timelines that are {state}.",
                lambda state=state: float(self.jobs.count(state)),  # type: ignore[misc]
            )  # fmt: skip

    def _workers(self) -> float:
        return sum(memory(pid) for pid in self.reader.pids())

    def _restarts(self) -> float:
        return float(self.reader.restarts)


async def in_pool(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run in one of a pool's threads; what was not begun when the caller is cancelled never is."""
    return await asyncio.get_running_loop().run_in_executor(pool, work)


async def unless_gone(request: "Request", work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled if the client hangs up meanwhile.

    Raises:
        ClientDisconnect: it did.
    """
    from starlette.requests import ClientDisconnect

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watcher = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for each in (task, watcher):
            each.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)
