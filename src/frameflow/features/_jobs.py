"""Computing the features of samples in this process, whoever decided which.

Videos are decoded in threads while the backbone works on those decoded before; a bounded number
of them waits, so memory does not grow with the number of samples.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from frameflow.data.manifest import Manifest, Sample
from frameflow.features._writer import Target, Writer
from frameflow.features.encode import ClipEncoder, encode_stream
from frameflow.features.engines import cores
from frameflow.features.quarantine import read_or_reason
from frameflow.progress import progress
from frameflow.video.clip import Clip

log = logging.getLogger(__name__)

_MOST_WORKERS = 8
_WAITING = 2  # decoded samples that wait, beyond those being decoded


@dataclass(frozen=True, slots=True)
class Job:
    """A sample to be computed, for the targets that lack it."""

    key: str
    path: Path
    sample: Sample
    needed: tuple[int, ...]

    def streams(self, targets: Sequence[Target]) -> list[int]:
        return sorted({targets[i].stream for i in self.needed})


def jobs_of(manifest: Manifest, keys: dict[int, str], targets: Sequence[Target]) -> list[Job]:
    """One job for each key that some target lacks, in manifest order."""
    needed: dict[str, list[int]] = {}
    seen: set[Path] = set()  # streams or views that are the same share a folder
    for number, target in enumerate(targets):
        if target.store.folder in seen:
            continue
        seen.add(target.store.folder)
        for key in target.store.missing(keys.values()):
            needed.setdefault(key, []).append(number)
    jobs = []
    for index, key in keys.items():
        if key in needed:
            sample = manifest[index]
            jobs.append(Job(key, manifest.path(sample), sample, tuple(needed.pop(key))))
    return jobs


class Bad(Protocol):
    """Who takes the samples that cannot be read, and says when there are too many."""

    def add(self, key: str, reason: str) -> None: ...

    def check(self) -> None: ...


def compute(
    jobs: Sequence[Job],
    encoder: ClipEncoder,
    targets: Sequence[Target],
    quarantine: Bad,
    workers: int,
    *,
    rows: int | None = None,
) -> None:
    """Decode in threads, compute here, store shard by shard.

    Args:
        jobs: what is to be done.
        encoder: computes.
        targets: where to.
        quarantine: takes what cannot be read.
        workers: threads that decode.
        rows: samples of a shard; by the number of jobs where None.
    """
    begun = time.perf_counter()
    batch = max(engine.batch for engine in encoder.engines)
    computed = 0
    with (
        progress("Extracting", total=len(jobs), unit="clips") as advance,
        Writer(targets, jobs=len(jobs), rows=rows) as writer,
    ):
        group: list[tuple[Job, list[list[Clip]]]] = []
        held = 0
        for job, clips in _decoded(jobs, encoder, targets, workers):
            if isinstance(clips, str):
                quarantine.add(job.key, clips)
                quarantine.check()
                advance()
                continue
            group.append((job, clips))
            held += sum(len(clip.mask) for clip in next(filter(None, clips)))
            if held < batch:
                continue
            _compute(group, encoder, targets, writer)
            computed += len(group)
            advance(len(group))
            group, held = [], 0
        if group:
            _compute(group, encoder, targets, writer)
            computed += len(group)
            advance(len(group))
    seconds = time.perf_counter() - begun
    if computed:
        speed = computed / seconds
        log.info("Stored %d clips in %.1f s (%.1f per second).", computed, seconds, speed)


def threads() -> int:
    """Decoding takes about a quarter of the work; the threads of the engine do the rest."""
    return min(_MOST_WORKERS, max(2, cores() // 2))


def _decoded(
    jobs: Sequence[Job], encoder: ClipEncoder, targets: Sequence[Target], workers: int
) -> Iterator[tuple[Job, list[list[Clip]] | str]]:
    """The jobs in order, each with its clips or the reason why there are none."""
    waiting: deque[tuple[Job, Future[list[list[Clip]] | str]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for job in jobs:
                waiting.append((job, pool.submit(_read, job, encoder, job.streams(targets))))
                if len(waiting) >= workers + _WAITING:
                    first, clips = waiting.popleft()
                    yield first, clips.result()
            while waiting:
                first, clips = waiting.popleft()
                yield first, clips.result()
        finally:
            for _, clips in waiting:
                clips.cancel()


def _read(job: Job, encoder: ClipEncoder, streams: Sequence[int]) -> list[list[Clip]] | str:
    sample = job.sample
    rng = np.random.default_rng(int(job.key, 16)) if encoder.random else None

    def read() -> list[list[Clip]]:
        return encoder.read(
            job.path,
            start=sample.start,
            end=sample.end,
            frame=sample.frame,
            region=sample.region,
            rng=rng,
            only=streams,
        )

    return read_or_reason(job.path, read)


def _compute(
    group: Sequence[tuple[Job, list[list[Clip]]]],
    encoder: ClipEncoder,
    targets: Sequence[Target],
    writer: Writer,
) -> None:
    """Encode several samples at once: full batches, whatever the length of a clip."""
    wanted = sorted({(targets[i].stream, targets[i].flip) for job, _ in group for i in job.needed})
    for stream, flip in wanted:
        jobs = [
            (job, clips)
            for job, clips in group
            if any((targets[i].stream, targets[i].flip) == (stream, flip) for i in job.needed)
        ]
        clips = [clip for _, read in jobs for clip in encoder.clips_of(stream, read)]
        # A view that is stored already is computed again only after a kill between two shards.
        features = encode_stream(encoder.streams[stream], clips, encoder.engines[stream], flip=flip)
        for number, (job, _) in enumerate(jobs):
            for index in job.needed:
                target = targets[index]
                if (target.stream, target.flip) == (stream, flip):
                    row = number * encoder.views + target.view
                    mask = encoder.mask_of(stream, clips[row])
                    writer.add(index, job.key, features[row], mask)
    writer.flush_full()
