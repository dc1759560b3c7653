"""Extraction: the videos of a manifest become stored features, each computed once.

What is stored already, under whatever path, is not computed again, and a job that was killed goes
on where it was.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from frameflow._places import Name
from frameflow.config import Recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError, listing
from frameflow.features._jobs import compute, jobs_of, threads
from frameflow.features._writer import Target, targets_of
from frameflow.features.encode import ClipEncoder
from frameflow.features.engines import EngineKind
from frameflow.features.home import store_root
from frameflow.features.quarantine import Quarantine, sample_keys
from frameflow.features.stored import BadVideo, Features

if TYPE_CHECKING:
    from frameflow.cluster import Cluster
    from frameflow.models.backbones import Backbone
    from frameflow.models.recognizer import Recognizer

__all__ = ["BadVideo", "Features", "extract", "make_encoder"]

log = logging.getLogger(__name__)

Purpose = Literal["train", "test"]
_RANDOM = ("segments", "dense")  # strategies with randomness of their own for training


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
    cluster: "Cluster | None" = None,
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
        cluster: where the work is done, see `frameflow.features.over_cluster`; in this process
            where None. The store must be a folder that all its machines share, or a URL.

    Returns:
        The features of the readable samples, in manifest order, and the list of the others.

    Raises:
        UsageError: a value is out of range, or a backbone or engine is not to be had.
        FrameFlowError: more than ``max_bad`` of the samples, or all of them, cannot be read, or
            the disk is full, or the cluster fails. What was computed before is kept.
    """
    if purpose not in ("train", "test"):
        raise UsageError(f"purpose ({purpose!r}) must be 'train' or 'test'.")
    if workers is not None and workers < 1:
        raise UsageError(f"workers ({workers}) must be > 0.")
    encoder = _encoder(recipe, purpose, engine, backbones, views)
    flips = (False, True) if purpose == "train" and recipe.views.flip else (False,)
    root = store_root(store)
    targets = targets_of(encoder, flips, root)
    limit = recipe.max_bad if max_bad is None else max_bad
    stated = f"{recipe.max_bad:g}{'' if max_bad is None else ' of the whole data set'}"
    if cluster is not None:
        from frameflow.features.over_cluster import extract_over

        keys, quarantine = extract_over(
            cluster, manifest, encoder, targets, flips=flips, engine=engine, root=root,
            limit=limit, stated=stated,
        )  # fmt: skip
        return _features(manifest, keys, targets, quarantine.found, encoder)
    keys, bad = sample_keys(manifest, store=root)
    jobs = jobs_of(manifest, keys, targets)
    quarantine = Quarantine(manifest, keys, bad, limit, stated)
    quarantine.check()
    if jobs:
        stored = len(set(keys.values())) - len(jobs)
        before = f" ({stored} are stored already)" if stored else ""
        log.info("Computing features of %d clips%s with %s.", len(jobs), before, encoder.engine)
        compute(jobs, encoder, targets, quarantine, workers or threads())
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
        apart=encoder.apart,
    )
