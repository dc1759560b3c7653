"""Extraction by the workers of a cluster, into one store that all of them write.

Each worker holds the backbones, sent to it once with their weights. It reads videos, computes and
writes shards itself, and returns no more than what became of each sample: pixels and features
never pass through the process that was started. A block of samples is stored before it is
reported, so a worker that ends loses no more than the block it was at, which another then does
again, without what was stored of it.
"""

import contextlib
import logging
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from frameflow._places import path_of, shown, url_of
from frameflow.cluster import Cluster, connected, run, workers_of
from frameflow.config import Sampling, Stream
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, VideoError
from frameflow.features._jobs import Job, compute, jobs_of, threads
from frameflow.features._writer import Target, targets_of
from frameflow.features.digests import DigestBook, content_digest, sample_key
from frameflow.features.encode import ClipEncoder
from frameflow.features.engines import EngineKind
from frameflow.features.quarantine import Quarantine, sample_keys

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone

log = logging.getLogger(__name__)

_FEWEST, _MOST = 4, 256  # samples of a block, which is a shard
_BLOCKS = 8  # of each worker at least, so that they end together


@dataclass(frozen=True, slots=True)
class Task:
    """A sample to be computed, as it is sent.

    Attributes:
        video: its path or URL, whole.
        sample: its span, frame and region count.
        key: in the store, where its video's digest is remembered.
    """

    video: str
    sample: Sample
    key: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a sample.

    Attributes:
        key: in the store; None where its video cannot be read at all.
        digest: of its video, where it was computed.
        reason: why it has no features.
        computed: it was computed now; otherwise it was there.
    """

    key: str | None = None
    digest: str | None = None
    reason: str | None = None
    computed: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """All that a worker must know, to be sent to each once."""

    backbones: bytes
    streams: tuple[Stream, ...]
    sampling: Sampling
    views: int
    random: bool
    flips: tuple[bool, ...]
    engine: EngineKind
    store: str
    token: str | None
    folders: tuple[str, ...]
    precision: str

    @classmethod
    def of(
        cls,
        encoder: ClipEncoder,
        flips: Sequence[bool],
        engine: EngineKind,
        root: Path,
        targets: Sequence[Target],
        token: str | None,
    ) -> "Order":
        return cls(
            backbones=pickle.dumps(list(encoder.backbones), protocol=pickle.HIGHEST_PROTOCOL),
            streams=encoder.streams,
            sampling=encoder.sampling,
            views=encoder.moments,
            random=encoder.random,
            flips=tuple(flips),
            engine=engine,
            store=shown(root.absolute()),
            token=token,
            folders=tuple(target.store.spec.folder for target in targets),
            precision=encoder.precision,
        )


class Extractor:
    """What a worker holds.

    Raises:
        FrameFlowError: its store is not that of the others, or its features would differ.
    """

    def __init__(self, order: Order) -> None:
        from frameflow.models.weights import import_timm

        root = path_of(order.store)
        _refuse_other_store(root, order.token)
        import_timm()
        backbones: list[Backbone] = pickle.loads(order.backbones)
        self._encoder = ClipEncoder(
            order.streams,
            backbones,
            order.sampling,
            views=order.views,
            random=order.random,
            engine=order.engine,
        )
        self._targets = targets_of(self._encoder, order.flips, root)
        if tuple(target.store.spec.folder for target in self._targets) != order.folders:
            raise FrameFlowError(
                f"A worker would compute in {self._encoder.precision} and not in "
                f"{order.precision}, as this machine does: start this on a machine like the "
                f"workers (with a GPU where they have one), or choose another --engine."
            )
        self._digests: dict[str, str | VideoError] = {}
        log.debug("Computing with %s.", self._encoder.engine)  # made now

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Compute what is not stored yet, and store it."""
        found = [self._known(task) for task in tasks]
        stores = {id(target.store): target for target in self._targets}
        for target in stores.values():
            target.store.refresh()
        jobs: dict[str, Job] = {}
        for task, outcome in zip(tasks, found):
            needed = tuple(
                number
                for number, target in enumerate(self._targets)
                if stores[id(target.store)] is target
                and outcome.key is not None
                and not target.store.has(outcome.key)
            )
            if needed and outcome.key is not None:
                jobs[outcome.key] = Job(outcome.key, path_of(task.video), task.sample, needed)
        bad = _Reasons()
        compute(list(jobs.values()), self._encoder, self._targets, bad, threads(), rows=len(tasks))
        return [
            Outcome(
                one.key,
                one.digest,
                one.reason or bad.found.get(one.key or ""),
                computed=one.key in jobs,
            )
            for one in found
        ]

    def _known(self, task: Task) -> Outcome:
        if task.key is not None:
            return Outcome(task.key)
        if task.video not in self._digests:
            try:
                self._digests[task.video] = content_digest(path_of(task.video))
            except VideoError as error:
                self._digests[task.video] = error
        digest = self._digests[task.video]
        if isinstance(digest, VideoError):
            return Outcome(reason=digest.reason)
        return Outcome(sample_key(task.sample, digest), digest)


class _Reasons:
    """Bad videos of a block; the process that was started decides when there are too many."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def add(self, key: str, reason: str) -> None:
        self.found[key] = reason

    def check(self) -> None:
        pass


def extract_over(
    cluster: Cluster,
    manifest: Manifest,
    encoder: ClipEncoder,
    targets: Sequence[Target],
    *,
    flips: Sequence[bool],
    engine: EngineKind,
    root: Path,
    limit: float,
    stated: str,
) -> tuple[dict[int, str], Quarantine]:
    """Have the features computed that are not stored yet.

    Args:
        cluster: who does it.
        manifest: the samples.
        encoder: what the workers make too.
        targets: the folders of the store, of which it makes the same ones.
        flips: see `targets_of`.
        engine: of the workers.
        root: of the store.
        limit: see `Quarantine`.
        stated: see `Quarantine`.

    Returns:
        The keys of the samples by index, in order, and those that were set aside.

    Raises:
        UsageError: Ray is not installed, or the cluster's address is none.
        FrameFlowError: too many videos cannot be read, or the cluster or the disk fails. What was
            computed before is kept.
    """
    paths = [manifest.path(sample) for sample in manifest]
    with DigestBook(paths, store=root) as book:
        keys, bad = sample_keys(manifest, digests=book.found)
        quarantine = Quarantine(manifest, keys, bad, limit, stated)
        quarantine.check()
        work = _Work(manifest, book, keys, quarantine, jobs_of(manifest, keys, targets))
        if work.tasks:
            with _token(root) as token, connected(cluster):
                order = Order.of(encoder, flips, engine, root, targets, token)
                _share(cluster, work, order)
            for target in targets:
                target.store.refresh()
            _refuse_unseen(root, work.stored, targets)
    return dict(sorted(keys.items())), quarantine


class _Work:
    """What is to be done, and what has become of it.

    Attributes:
        tasks: of samples whose key is known and that are not stored, then of those whose video's
            digest nobody remembers; samples that show the same are one task.
        stored: the keys of what the workers say is stored.
        computed: how many of these they computed.
    """

    def __init__(
        self,
        manifest: Manifest,
        book: DigestBook,
        keys: dict[int, str],
        quarantine: Quarantine,
        jobs: Sequence[Job],
    ) -> None:
        self._book, self._keys, self._quarantine = book, keys, quarantine
        self.tasks = [Task(shown(job.path.absolute()), job.sample, job.key) for job in jobs]
        self._of: dict[int, tuple[Path, list[int]]] = {}
        for path, own in _unknown(manifest, book):
            task = Task(shown(path.absolute()), manifest[own[0]], None)
            self.tasks.append(task)
            self._of[id(task)] = path, own
        self.stored: list[str] = []
        self.computed = 0

    def take(self, task: Task, outcome: Outcome) -> None:
        """Take down what became of a task.

        Raises:
            FrameFlowError: too many videos cannot be read.
        """
        path, own = self._of.get(id(task), (None, []))
        if path is not None and outcome.digest is not None:
            self._book.learn(path, outcome.digest)
        for index in own:
            if outcome.key is not None:
                self._keys[index] = outcome.key
                self._quarantine.know(index, outcome.key)
            elif outcome.reason is not None:
                self._quarantine.set_aside(index, outcome.reason)
        if outcome.reason is None and outcome.key is not None:
            self.stored.append(outcome.key)
            self.computed += outcome.computed
            return
        if outcome.key is not None and outcome.reason is not None:
            self._quarantine.add(outcome.key, outcome.reason)
        self._quarantine.check()


def _share(cluster: Cluster, work: _Work, order: Order) -> None:
    gpu = "float16" in order.precision
    begun = time.perf_counter()
    workers = workers_of(cluster, gpu=gpu)
    log.info("Computing features of %d clips by %d workers.", len(work.tasks), workers)
    found = run(
        cluster,
        work.tasks,
        partial(Extractor, order),
        block=block_size(len(work.tasks), workers),
        what="Extracting",
        gpu=gpu,
        lost=lambda task, reason: Outcome(task.key, reason=reason),
        name=lambda task: task.video,
    )
    with contextlib.closing(found):
        for task, outcome in found:
            work.take(task, outcome)
    seconds, count = time.perf_counter() - begun, work.computed
    if count:
        log.info("Stored %d clips in %.1f s (%.1f per second).", count, seconds, count / seconds)


def block_size(tasks: int, workers: int) -> int:
    """Samples of a block: as few as to share the work evenly, as many as make a decent shard."""
    fair = tasks // (workers * _BLOCKS)
    return min(_MOST, max(_FEWEST, min(fair, max(16, tasks // 64))))


def _refuse_unseen(root: Path, keys: Sequence[str], targets: Sequence[Target]) -> None:
    """Look for what the workers have stored.

    Raises:
        FrameFlowError: some of it is not there.
    """
    lost = [key for key in keys if not all(target.store.has(key) for target in targets)]
    if lost:
        raise FrameFlowError(
            f"The workers stored {len(lost)} clips that are not in {shown(root)} here: it must be "
            f"one folder for all machines, or a URL (--store). Run the same command again."
        )


def _unknown(manifest: Manifest, book: DigestBook) -> list[tuple[Path, list[int]]]:
    """The samples of videos without digest, those that show the same together; by video."""
    unknown = {path: place for place, path in enumerate(book.unknown)}
    found: dict[tuple[int, str], tuple[Path, list[int]]] = {}
    for index, sample in enumerate(manifest):
        path = manifest.path(sample)
        if path in unknown:
            same = (unknown[path], sample_key(sample, ""))
            found.setdefault(same, (path, []))[1].append(index)
    return [found[same] for same in sorted(found, key=lambda same: same[0])]


@contextlib.contextmanager
def _token(root: Path) -> Iterator[str | None]:
    """A file by which workers see that their store is this one."""
    if url_of(root):
        yield None
        return
    path = root / f".job-{uuid4().hex[:12]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise FrameFlowError(f"{root} cannot be written ({error.strerror or error}).") from error
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def _refuse_other_store(root: Path, token: str | None) -> None:
    if token is not None and not (root / token).exists():
        raise FrameFlowError(
            f"A worker does not see the folder {root} as this machine does: features must be "
            f"stored where all machines find them. Name a shared folder or a URL (--store)."
        )
