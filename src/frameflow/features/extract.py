"""Extraction: the videos of a manifest become stored features, each computed once.

Videos are decoded in threads while the backbone works on those decoded before; a bounded number
of them waits, so memory does not grow with the manifest. What is stored already, under whatever
path, is not computed again, and a job that was killed goes on where it was.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from frameflow._places import Name
from frameflow.config import Recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing
from frameflow.features._writer import Target, Writer, targets_of
from frameflow.features.encode import ClipEncoder, encode_stream
from frameflow.features.engines import EngineKind, cores
from frameflow.features.home import store_root
from frameflow.features.quarantine import Quarantine, read_or_reason, sample_keys
from frameflow.features.stored import BadVideo, Features
from frameflow.progress import progress
from frameflow.video.clip import Clip

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone
    from frameflow.models.recognizer import Recognizer

__all__ = ["BadVideo", "Features", "extract", "make_encoder"]

log = logging.getLogger(__name__)

Purpose = Literal["train", "test"]
_RANDOM = ("segments", "dense")  # strategies with randomness of their own for training
_MOST_WORKERS = 8
_WAITING = 2  # decoded samples that wait, beyond those being decoded


def extract(
    manifest: Manifest,
    recipe: Recipe,
    *,
    purpose: Purpose = "test",
    engine: EngineKind = "auto",
    store: Name | None = None,
    backbones: "Sequence[Backbone] | None" = None,
    views: int | None = None,
    workers: int | None = None,
    max_bad: float | None = None,
) -> Features:
    """Compute the features of a manifest that are not stored yet, and hand out all of them.

    Args:
        manifest: the samples; labels do not matter.
        recipe: says streams, sampling and views.
        purpose: ``test`` gives ``views.test`` views, always the same moments. ``train`` gives
            ``views.train``, with ``views.flip`` the mirrored ones after them. Where there are
            several, ``segments`` and ``dense`` draw each at random (the same ones every time).
        engine: see `frameflow.features.engines.make_engine`.
        store: the folder of stored features, or its URL; see `store_root` where None.
        backbones: one for each stream, for instance of a trained recognizer; built from the
            recipe where None.
        views: in place of the recipe's number.
        workers: threads that decode; half as many as cores, from 2 to 8, where None.
        max_bad: the share of unreadable samples at which to stop, where the manifest is part of
            the data set that the recipe's ``max_bad`` is a share of.

    Returns:
        The features of the readable samples, in manifest order, and the list of the others.

    Raises:
        UsageError: a value is out of range, or a backbone or engine is not to be had.
        FrameFlowError: more than ``max_bad`` of the samples, or all of them, cannot be read, or
            the disk is full. What was computed before is kept.
    """
    if purpose not in ("train", "test"):
        raise UsageError(f"purpose ({purpose!r}) must be 'train' or 'test'.")
    if workers is not None and workers < 1:
        raise UsageError(f"workers ({workers}) must be > 0.")
    encoder = _encoder(recipe, purpose, engine, backbones, views)
    flips = (False, True) if purpose == "train" and recipe.views.flip else (False,)
    root = store_root(store)
    keys, bad = sample_keys(manifest, store=root)
    targets = targets_of(encoder, flips, root)
    jobs = _jobs(manifest, keys, targets)
    limit = recipe.max_bad if max_bad is None else max_bad
    stated = f"{recipe.max_bad:g}{'' if max_bad is None else ' of the whole data set'}"
    quarantine = Quarantine(manifest, keys, bad, limit, stated)
    quarantine.check()
    if jobs:
        stored = len(set(keys.values())) - len(jobs)
        before = f" ({stored} are stored already)" if stored else ""
        log.info("Computing features of %d clips%s with %s.", len(jobs), before, encoder.engine)
        _run(jobs, encoder, targets, quarantine, workers or _workers())
    return _features(manifest, keys, targets, quarantine.found, encoder)


def make_encoder(
    recognizer: "Recognizer", *, engine: EngineKind = "auto", views: int | None = None
) -> ClipEncoder:
    """The encoder of a trained recognizer: what it computes equals its stored features.

    Args:
        recognizer: its recipe and backbones.
        engine: see `frameflow.features.engines.make_engine`.
        views: clips of a video; the recipe's ``views.test`` where None.

    Raises:
        UsageError: ``views`` is not positive, or the engine is unknown or not installed.
        FrameFlowError: the engine asked for cannot run a backbone.
    """
    encoder = _encoder(recognizer.recipe, "test", engine, recognizer.backbones(), views)
    log.debug("Encoding with %s.", encoder.engine)  # made now: a mistake shows at once
    return encoder


def _encoder(
    recipe: Recipe,
    purpose: Purpose,
    engine: EngineKind,
    backbones: "Sequence[Backbone] | None",
    views: int | None,
) -> ClipEncoder:
    if views is None:
        views = recipe.views.train if purpose == "train" else recipe.views.test
    if views < 1:
        raise UsageError(f"views ({views}) must be > 0.")
    if backbones is None:
        from frameflow.models.recognizer import build_streams

        backbones = build_streams(recipe)
    return ClipEncoder(
        recipe.streams,
        backbones,
        recipe.sampling,
        views=views,
        random=purpose == "train" and views > 1 and recipe.sampling.strategy in _RANDOM,
        engine=engine,
    )


# What is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """A sample to be computed, for the targets that lack it."""

    key: str
    path: Path
    sample: Sample
    needed: tuple[int, ...]

    def streams(self, targets: Sequence[Target]) -> list[int]:
        return sorted({targets[i].stream for i in self.needed})


def _jobs(manifest: Manifest, keys: dict[int, str], targets: Sequence[Target]) -> list[_Job]:
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
            jobs.append(_Job(key, manifest.path(sample), sample, tuple(needed.pop(key))))
    return jobs


# Doing it -------------------------------------------------------------------------------------


def _run(
    jobs: Sequence[_Job],
    encoder: ClipEncoder,
    targets: Sequence[Target],
    quarantine: Quarantine,
    workers: int,
) -> None:
    """Decode in threads, compute here, store shard by shard."""
    begun = time.perf_counter()
    batch = max(engine.batch for engine in encoder.engines)
    computed = 0
    with (
        progress("Extracting", total=len(jobs), unit="clips") as advance,
        Writer(targets, jobs=len(jobs)) as writer,
    ):
        group: list[tuple[_Job, list[list[Clip]]]] = []
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


def _workers() -> int:
    """Decoding takes about a quarter of the work; the threads of the engine do the rest."""
    return min(_MOST_WORKERS, max(2, cores() // 2))


def _decoded(
    jobs: Sequence[_Job], encoder: ClipEncoder, targets: Sequence[Target], workers: int
) -> Iterator[tuple[_Job, list[list[Clip]] | str]]:
    """The jobs in order, each with its clips or the reason why there are none."""
    waiting: deque[tuple[_Job, Future[list[list[Clip]] | str]]] = deque()
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


def _read(job: _Job, encoder: ClipEncoder, streams: Sequence[int]) -> list[list[Clip]] | str:
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
    group: Sequence[tuple[_Job, list[list[Clip]]]],
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


def _features(
    manifest: Manifest,
    keys: dict[int, str],
    targets: Sequence[Target],
    bad: Sequence[BadVideo],
    encoder: ClipEncoder,
) -> Features:
    streams = len(encoder.streams)
    stores = [[t.store for t in targets[i : i + streams]] for i in range(0, len(targets), streams)]
    readable = [i for i, key in keys.items() if all(t.store.has(key) for t in targets)]
    if bad:
        log.warning("Set aside %d of %d videos: %s.", len(bad), len(manifest), listing(bad))
    return Features(
        [manifest[i] for i in readable],
        [keys[i] for i in readable],
        stores,
        views=[targets[i].name for i in range(0, len(targets), streams)],
        bad=bad,
        dims=[backbone.dim for backbone in encoder.backbones],
        frames=encoder.steps,
        precision=encoder.precision,
    )
