"""Videos as examples: read ahead in threads, changed by augmentation, mixed, and kept decoded.

`Videos` finds out which samples can be read, and keeps their frames where that pays. `ClipExamples`
hands out batches of them. Every view of a sample is decoded as for stored features.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from frameflow.config import Augment, Recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, UsageError, listing
from frameflow.features.encode import ClipEncoder
from frameflow.features.home import home
from frameflow.features.quarantine import Quarantine, read_or_reason, sample_keys
from frameflow.features.stored import BadVideo
from frameflow.models.streams import stream_images
from frameflow.training._keeping import Keeper
from frameflow.training._randaugment import functional
from frameflow.training._reading import RANDOM, read_all, reading_workers, sees_fresh_clips, wider
from frameflow.training._team import team
from frameflow.training.augment import Changes, draw
from frameflow.training.cache import DamagedFrames, FrameStore
from frameflow.training.examples import Batch
from frameflow.training.mirror import Mirror
from frameflow.training.mixing import mix, shares_of
from frameflow.training.targets import targets_of
from frameflow.video.clip import Clip

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone

log = logging.getLogger(__name__)

Purpose = Literal["train", "test"]


class Videos:
    """The readable samples of a manifest, and their clips.

    All samples are read once here, unless their frames are kept: those that cannot be read are
    set aside with their reason.

    Args:
        manifest: the samples.
        recipe: says streams, sampling, views, augmentation, cache and workers.
        backbones: one for each stream: their size and interpolation are what frames are read in.
        labels: the K labels of the model.
        purpose: ``train`` gives ``views.train`` clips, ``test`` ``views.test``, always the same.
        max_bad: the share of unreadable samples at which to stop, where the manifest is part of
            the data set that the recipe's ``max_bad`` is a share of.
        cache: the folder of kept frames; ``frames`` in `home` where None.

    Attributes:
        samples: the readable ones, in manifest order.
        bad: the others.
        count: clips of each sample: moments times crops.
        fresh: every epoch of training sees clips of its own, see `sees_fresh_clips`.
        workers: threads to read batches in.

    Raises:
        UsageError: a value is out of range, or the recipe asks for what only stored features do.
        FrameFlowError: more than ``max_bad`` of the samples, or all of them, cannot be read; the
            disk is full with ``train.cache: on``.
    """

    def __init__(
        self,
        manifest: Manifest,
        recipe: Recipe,
        backbones: "Sequence[Backbone]",
        labels: Sequence[str],
        *,
        purpose: Purpose,
        max_bad: float | None = None,
        cache: Path | None = None,
    ) -> None:
        _check(recipe, purpose)
        self.recipe, self.labels, self.purpose = recipe, list(labels), purpose
        training = purpose == "train"
        self.augment = recipe.augment if training else Augment()
        self.mirror = Mirror(labels, self.augment.mirror)
        self.fresh = training and sees_fresh_clips(recipe)
        views = 1 if self.fresh else (recipe.views.train if training else recipe.views.test)
        draws = training and recipe.sampling.strategy in RANDOM and (views > 1 or self.fresh)
        self._encoder = ClipEncoder(
            recipe.streams, backbones, recipe.sampling, views=views, random=draws
        )
        self.sizes = [backbone.preprocess.size for backbone in backbones]
        functional()  # imported here, once, and not by several threads at a time
        self._encoder.requests = [wider(r, self.augment) for r in self._encoder.requests]
        self.count = self._encoder.views
        self.workers = reading_workers(recipe, self.sizes)
        self._stores = self._open_stores(cache or home() / "frames")
        if training:
            self._tell()
        limit = recipe.max_bad if max_bad is None else max_bad
        stated = f"{recipe.max_bad:g}{'' if max_bad is None else ' of the whole data set'}"
        keys, bad = sample_keys(manifest)
        quarantine = Quarantine(manifest, keys, bad, limit, stated)
        quarantine.check()
        self._manifest = manifest
        # Of several processes one reads; the others are told what it found, and what was kept.
        if team().leads:
            self._read_all(keys, quarantine)
        quarantine.reasons = team().share(quarantine.reasons)
        if not team().leads:
            for store in self._stores:
                store.refresh()
        self.bad: list[BadVideo] = quarantine.found
        if self.bad:
            log.warning(
                "Set aside %d of %d videos: %s.", len(self.bad), len(manifest), listing(self.bad)
            )
        rows = [row for row in keys if row not in quarantine.reasons]
        self.samples: list[Sample] = [manifest[row] for row in rows]
        self._keys = [keys[row] for row in rows]

    def __len__(self) -> int:
        return len(self.samples)

    def examples(
        self, targets: np.ndarray, *, rows: np.ndarray | None = None, every_view: bool = False
    ) -> "ClipExamples":
        """Some of the samples, or all, with their targets; see `ClipExamples`."""
        return ClipExamples(self, targets, rows=rows, every_view=every_view)

    def clips(self, row: int, view: int, rng: np.random.Generator | None) -> list[Clip]:
        """One clip of a sample as each stream reads it, before augmentation.

        Args:
            row: of ``samples``.
            view: which of the ``count`` clips.
            rng: draws the moments of fresh clips; None: the deterministic ones.

        Raises:
            FrameFlowError: the video can no longer be read.
        """
        key, sample = self._keys[row], self.samples[row]
        streams = range(len(self.sizes))
        try:
            if self._is_kept(key):
                kept = [
                    store.read(key, view * store.request.total_views // self.count)
                    for store in self._stores
                ]
                return [kept[self._encoder.request_of[stream]] for stream in streams]
        except (DamagedFrames, KeyError):
            pass  # it was told, and is decoded now
        read = self._decode(key, sample, rng)
        if isinstance(read, str):
            raise FrameFlowError(
                f"{self._manifest.path(sample)} could be read before, but not any more: {read}. "
                f"Put it back, or take it out of the manifest and train again."
            )
        return [self._encoder.clips_of(stream, read)[view] for stream in streams]

    def _decode(
        self, key: str, sample: Sample, rng: np.random.Generator | None = None
    ) -> list[list[Clip]] | str:
        if not self.fresh:  # the same moments every time
            rng = np.random.default_rng(int(key, 16)) if self._encoder.random else None
        path = self._manifest.path(sample)

        def read() -> list[list[Clip]]:
            return self._encoder.read(
                path,
                start=sample.start,
                end=sample.end,
                frame=sample.frame,
                region=sample.region,
                rng=rng,
            )

        return read_or_reason(path, read)

    def _open_stores(self, root: Path) -> list[FrameStore]:
        if self.fresh or self.recipe.train.cache == "off":
            return []
        random = self._encoder.random
        return [FrameStore(root, request, random=random) for request in self._encoder.requests]

    def _is_kept(self, key: str) -> bool:
        return bool(self._stores) and all(key in store for store in self._stores)

    def _read_all(self, keys: dict[int, str], quarantine: Quarantine) -> None:
        jobs: dict[str, Sample] = {}
        for row, key in keys.items():
            if not self._is_kept(key):
                jobs.setdefault(key, self._manifest[row])
        if not jobs:
            return
        keeper, train = None, self.recipe.train
        if self._stores:
            keeper = Keeper(
                self._stores,
                "on" if train.cache == "on" else "auto",
                samples=len(jobs),
                epochs=train.epochs * len(train.rounds),
            )
        read_all(
            list(jobs.items()),
            self._decode,
            quarantine=quarantine,
            keeper=keeper,
            workers=self.workers,
        )

    def _tell(self) -> None:
        sided = [label for label, may in zip(self.labels, self.mirror.allowed.tolist()) if not may]
        if self.augment.flip and sided:
            log.info("Not mirrored, since the label names a side: %s.", listing(sided))
        if self.fresh and self.recipe.train.cache == "auto":
            log.info("Every epoch decodes clips of its own (views.train > 1 keeps so many).")
        random = self.recipe.sampling.strategy in RANDOM
        if random and self.recipe.train.cache == "on" and self.count == 1:
            log.info("Every epoch sees the same clip of a sample (views.train > 1 keeps more).")


class ClipExamples:
    """Clips of videos with a target each; see `frameflow.training.examples.Examples`.

    In training one view of each sample is drawn. Where every view counts (validation, test), each
    is an example of its own, sample by sample.

    Args:
        videos: the samples.
        targets: ``(N,)`` class numbers or ``(N, K)`` float, of each of ``rows``.
        rows: which samples; None: all.
        every_view: each view is an example.

    Attributes:
        taught: ``(N, K or more)`` float32, what a teacher says of each example: of the labels
            first; None: there is none.
    """

    taught: np.ndarray | None = None

    def __init__(
        self,
        videos: Videos,
        targets: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        every_view: bool = False,
    ) -> None:
        rows = np.arange(len(videos)) if rows is None else np.asarray(rows)
        targets = np.asarray(targets)
        if len(targets) != len(rows):
            raise ValueError(f"targets ({len(targets)}) must be one for each of {len(rows)} rows")
        views = np.zeros_like(rows)
        if every_view:
            views = np.tile(np.arange(videos.count), len(rows))
            rows = np.repeat(rows, videos.count)
            targets = np.repeat(targets, videos.count, axis=0)
        self.videos, self.targets, self.rows, self.views = videos, targets, rows, views
        self.bad, self.workers = videos.bad, videos.workers

    def __len__(self) -> int:
        return len(self.rows)

    def names(self, rows: np.ndarray) -> list[str]:
        """The videos of some examples, with their row in the manifest, for messages."""
        samples = [self.videos.samples[row] for row in self.rows[rows].tolist()]
        return [f"{s.video} (row {s.row})" if s.row else s.video for s in samples]

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        """Some examples; safe to call from several threads.

        Args:
            rows: (n,) which.
            rng: draws views, augmentation and mixing; None: the examples' own views, unchanged.

        Returns:
            for each stream ``(n, T, H, W, 3)`` uint8, ``(n, T)`` masks and the targets: ``(n,)``
            int64, or ``(n, K)`` float32 for several labels a clip and for clips that were mixed.
        """
        seeds = [None] * len(rows) if rng is None else _seeds(rows, rng)
        made = self._made(rows, seeds)
        if rng is None or not self._mixes:
            return made
        classes, augment = len(self.videos.labels), self.videos.augment
        targets = made.targets
        if made.taught is not None:  # is mixed in the same shares
            targets = torch.cat([shares_of(targets, classes), made.taught], dim=1)
        inputs, mask, targets = mix(
            list(made.inputs),
            made.mask,
            targets,
            classes=classes,
            mixup=augment.mixup,
            cutmix=augment.cutmix,
            rng=rng,
        )
        taught = None if made.taught is None else targets[:, classes:]
        return Batch(inputs, mask, targets[:, :classes], taught)

    def part(self, rows: np.ndarray, rng: np.random.Generator, part: slice) -> Batch:
        """``batch(rows, rng).part(part)``, of which only the part is read.

        Where clips are mixed all are read: the partner of each may be any of the batch.
        """
        if self._mixes:
            return self.batch(rows, rng).part(part)
        return self._made(rows[part], _seeds(rows, rng)[part])

    @property
    def _mixes(self) -> bool:
        return bool(self.videos.augment.mixup or self.videos.augment.cutmix)

    def _made(self, rows: np.ndarray, seeds: Sequence[int | None]) -> Batch:
        videos = self.videos
        read = [self._one(row, seed) for row, seed in zip(rows.tolist(), seeds)]
        inputs = [
            torch.from_numpy(np.stack([images[n] for images, *_ in read]))
            for n in range(len(videos.sizes))
        ]
        mask = torch.from_numpy(np.stack([one[1] for one in read]))
        targets = torch.from_numpy(np.stack([one[2] for one in read]))
        taught = [one[3] for one in read if one[3] is not None]
        return Batch(inputs, mask, targets, torch.from_numpy(np.stack(taught)) if taught else None)

    def _one(
        self, row: int, seed: int | None
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray | None]:
        """The images of one clip for each stream, its mask, its target, and what is taught."""
        videos, target = self.videos, self.targets[row]
        sample, view = int(self.rows[row]), int(self.views[row])
        rng, changes = None, Changes()
        if seed is not None:
            rng = np.random.default_rng(seed)
            view = int(rng.integers(videos.count))
            may_flip = videos.mirror.may_flip(target)
            changes = draw(videos.augment, rng, may_flip=may_flip)
        clips = videos.clips(sample, view, rng)
        images, changed = [], {}
        for stream, size, clip in zip(videos.recipe.streams, videos.sizes, clips):
            if id(clip) not in changed:  # streams that share a reading share its changes
                changed[id(clip)] = clip.unpack(changes.apply(clip.pack(), size=size))
            images.append(stream_images(stream, changed[id(clip)]))
        taught = None if self.taught is None else self.taught[row]
        if changes.flip:
            target = videos.mirror.flipped(target)
            taught = None if taught is None else videos.mirror.flipped_taught(taught)
        mask = np.logical_and.reduce([clip.mask for clip in clips])  # as of stored features
        return images, mask, np.asarray(target), taught


class VideoExamples(ClipExamples):
    """All readable samples of a manifest as examples: `Videos` and their `ClipExamples` in one.

    Args:
        manifest: labelled samples; for this and the others see `Videos`.
        recipe: says all choices.
        backbones: one for each stream.
        labels: the K labels of the model.
        purpose: ``train`` or ``test``.
        every_view: each view is an example.
        cache: the folder of kept frames.
        max_bad: the share of unreadable samples at which to stop.
    """

    def __init__(
        self,
        manifest: Manifest,
        recipe: Recipe,
        backbones: "Sequence[Backbone]",
        labels: Sequence[str],
        *,
        purpose: Purpose,
        every_view: bool = False,
        cache: Path | None = None,
        max_bad: float | None = None,
    ) -> None:
        videos = Videos(
            manifest, recipe, backbones, labels, purpose=purpose, max_bad=max_bad, cache=cache
        )
        targets = targets_of(videos.samples, labels, multilabel=recipe.multilabel)
        super().__init__(videos, targets, every_view=every_view)


def _seeds(rows: np.ndarray, rng: np.random.Generator) -> list[int]:
    return [int(seed) for seed in rng.integers(2**63, size=len(rows))]


def _check(recipe: Recipe, purpose: str) -> None:
    if purpose not in ("train", "test"):
        raise UsageError(f"purpose ({purpose!r}) must be 'train' or 'test'.")
    if recipe.views.flip:
        raise UsageError(
            "views.flip stores mirrored features of frozen backbones; where backbones learn from "
            "videos, set augment.flip."
        )
