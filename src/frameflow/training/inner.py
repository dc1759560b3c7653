"""Choices between recipes see training and validation samples only: those, in folds by group."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow.config import Recipe
from frameflow.data.manifest import Manifest
from frameflow.data.splits import add_folds, refuse_leaks
from frameflow.errors import UsageError
from frameflow.evaluation._words import plural
from frameflow.training.crossval import Samples, read_samples
from frameflow.training.sources import Source, read_source, with_groups, with_splits
from frameflow.training.teacher import refuse_teacher

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind

log = logging.getLogger(__name__)


def inner_samples(
    source: Source,
    recipe: Recipe,
    *,
    what: str,
    fold: int | None = None,
    classes: str | Sequence[str] | int | None = None,
    allow_leak: bool = False,
) -> tuple[Manifest, Manifest]:
    """Part the samples as `frameflow.training.pipeline.train` would.

    Args:
        source: a folder of class folders, a manifest file or a `Manifest`.
        recipe: says how splits are cut where there are none.
        what: of which the error speaks: ``An ablation``.
        fold: of the manifest's folds, the one that is the test split.
        classes: only these labels, or the first so many.
        allow_leak: go on although a group stands both in test and outside.

    Returns:
        The training and validation samples, without splits or folds; and all samples with their
        splits.

    Raises:
        UsageError: bad input, with its cure.
        LeakError: a group stands both in test and outside.
    """
    refuse_teacher(recipe, what)
    several = recipe.multilabel
    manifest = read_source(source, classes=classes, multilabel=several)
    manifest = manifest.where(lambda sample: bool(sample.label))
    scanned = not isinstance(source, Manifest) and Path(source).is_dir()
    if scanned or not (manifest.has_splits or fold is not None):
        manifest = with_groups(manifest, always=scanned)
    if fold is not None or not manifest.has_splits:
        manifest = with_splits(manifest, recipe, fold=fold)
    refuse_leaks(manifest, allow=allow_leak)
    rest = manifest.where(lambda sample: sample.split in ("train", "val"))
    labels = rest.label_names(multilabel=several)
    if len(labels) < 2 and not several:
        raise UsageError(f"{what} needs samples of at least two classes, not {len(labels)}.")
    plain = rest.replace(replace(sample, split="", fold=None) for sample in rest)
    return plain, manifest


def inner_folds(samples: Manifest, folds: int, *, seed: int, multilabel: bool = False) -> Manifest:
    """Training and validation samples in folds by group."""
    return add_folds(samples, folds, seed=seed, multilabel=multilabel)


def say_left_out(manifest: Manifest, samples: Manifest, folds: int) -> int:
    """Log what is not looked at; how many samples of test these are."""
    held_back = len(manifest.split("test"))
    log.info(
        "%s of test are left out; %d others are cut into %d folds.",
        plural(held_back, "sample"), len(samples), folds,
    )  # fmt: skip
    return held_back


def features_key(recipe: Recipe) -> str:
    """What decides the stored features of a recipe."""
    values: dict[str, Any] = recipe.model_dump(mode="json")
    parts = [values[key] for key in ("sampling", "streams", "views", "max_bad", "augment")]
    return json.dumps([*parts, recipe.way, values["train"]["learn"]], sort_keys=True)


class SharedSamples:
    """Samples as recipes read them; frozen features are read once for all that share them.

    Args:
        manifest: the samples, with folds.
        engine: what runs frozen backbones.
    """

    def __init__(self, manifest: Manifest, engine: "EngineKind") -> None:
        self.manifest = manifest
        self._engine = engine
        self._held: tuple[str, Samples] | None = None

    def read(self, recipe: Recipe) -> Samples:
        """The readable samples of the manifest as a recipe sees them."""
        key = features_key(recipe)
        if self._held is None or self._held[0] != key or recipe.way != "frozen":
            self._held = None  # before the next are read: both may not fit into memory
            samples, _ = read_samples(self.manifest, recipe, self._engine)
            self._held = (key, samples)
        return self._held[1]
