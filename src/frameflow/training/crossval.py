"""Every fold held out once: mean and spread, and what a random split would have claimed."""

import copy
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow._files import write_json, write_text
from frameflow.config import Recipe, dump_recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.data.splits import add_folds, random_clip_folds, refuse_leaks
from frameflow.errors import UsageError
from frameflow.evaluation.predictions import Predictions
from frameflow.progress import progress
from frameflow.training.crossval_page import crossval_page
from frameflow.training.examples import view_means
from frameflow.training.results import CrossvalResult, FoldScore, Study
from frameflow.training.run import refuse_used_folder
from frameflow.training.sources import (
    Source,
    fold_splits,
    name_of,
    read_source,
    refuse_one_class,
    with_groups,
)
from frameflow.training.targets import targets_of
from frameflow.training.teacher import refuse_teacher

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.models.backbones import Backbone
    from frameflow.training.learning import Material

log = logging.getLogger(__name__)

DEFAULT_FOLDS = 5
_TALKATIVE = ("data.splits", "data._units", "training.sources")


@dataclass(frozen=True)
class Samples:
    """Readable samples with a fold: row i of each material is sample i.

    Attributes:
        manifest: the samples.
        training: their views for training.
        testing: their views for validation and test.
        backbones: before training; each fold begins with a copy of those that learn.
    """

    manifest: Manifest
    training: "Material"
    testing: "Material"
    backbones: "Sequence[Backbone]"
    _splits: dict[tuple[int, float, int, bool], Manifest] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def splits(self, fold: int, *, val: float, seed: int, multilabel: bool) -> Manifest:
        """The samples with a fold as test split; a search asks for the same again and again."""
        key = (fold, val, seed, multilabel)
        if key not in self._splits:
            self._splits[key] = fold_splits(
                self.manifest, fold, val=val, seed=seed, multilabel=multilabel
            )
        return self._splits[key]


def crossval(
    source: Source,
    *,
    recipe: str | Path | Recipe = "default",
    overrides: Sequence[str] = (),
    folds: int | None = None,
    seeds: int = 1,
    leak_study: bool = False,
    classes: str | Sequence[str] | int | None = None,
    out: str | os.PathLike[str] | None = None,
    engine: "EngineKind" = "auto",
    allow_leak: bool = False,
) -> CrossvalResult:
    """Train and test on every fold, with several seeds.

    Each fold is the test split once. Validation, for early stopping, is cut from the rest by
    group, so no choice sees the fold that is scored. Features are computed once for all.

    Args:
        source: a folder of class folders, a manifest file or a `Manifest`.
        recipe: a name, a YAML file or a `Recipe`.
        overrides: changes to it, ``"train.lr=0.001"`` and the like.
        folds: make so many by group; None: the manifest's own, or 5 where it has none.
        seeds: how often all folds are trained: with the recipe's seed and those after it.
        leak_study: the same on random folds of clips beside it, and the inflation that shows.
        classes: only these labels, or the first so many.
        out: a new folder for ``crossval.json``, ``.csv``, ``.md`` and ``.html``, ``recipe.yaml``,
            ``manifest.csv`` and the out-of-fold ``predictions.csv``; None: nothing is written.
        engine: what runs the frozen backbone.
        allow_leak: go on although a group stands in two folds; the result says so.

    Raises:
        UsageError: bad input, with its cure.
        LeakError: a group stands in two folds.

    Example:
        >>> print(crossval("tennis7/manifest.csv", seeds=3).summary())  # doctest: +SKIP
        Top-1 0.556: mean of 5 folds and 3 seeds; deviation 0.041 over folds, 0.006 over seeds.
    """
    from frameflow.inference._facts import versions

    chosen = load_recipe(recipe, overrides)
    refuse_teacher(chosen, "Cross-validation")
    if seeds < 1:
        raise UsageError(f"seeds ({seeds}) must be > 0.")
    if out is not None:
        refuse_used_folder(out)
    manifest = _with_folds(
        source, chosen.train.seed, folds=folds, classes=classes, multilabel=chosen.multilabel
    )
    leaky = _refuse_leaking_folds(manifest, allow=allow_leak)
    samples, bad = read_samples(manifest, chosen, engine)
    numbers = [chosen.train.seed + seed for seed in range(seeds)]
    count = len({sample.fold for sample in manifest})

    started = time.perf_counter()
    random = None
    log.info("Training %d folds with %d seed%s.", count, seeds, "s" if seeds > 1 else "")
    with progress("Folds", total=count * seeds * (1 + leak_study), unit="folds") as advance:
        held_out = study(samples, chosen, numbers, advance)
        if leak_study:
            log.info("Training the same on random folds of clips.")
            chance = _random_folds(samples, count, multilabel=chosen.multilabel)
            random = study(chance, chosen, numbers, advance)
    groups = [sample.group for sample in samples.manifest]
    labels = samples.manifest.label_names(multilabel=chosen.multilabel)
    result = CrossvalResult(
        recipe=chosen,
        source=name_of(source),
        labels=labels,
        samples=len(samples.manifest),
        groups=len(set(groups) - {""}) or None,
        group_of=groups,
        leaky=leaky,
        held_out=held_out,
        random_clips=random,
        bad_videos=bad,
        versions=versions(),
        seconds=time.perf_counter() - started,
        targets=targets_of(samples.manifest.samples, labels, multilabel=True)
        if chosen.multilabel
        else None,
    )
    if out is not None:
        _write(Path(out), result, samples.manifest)
    return result


def study(
    samples: Samples,
    recipe: Recipe,
    seeds: Sequence[int],
    advance: Callable[..., None] = lambda: None,
) -> Study:
    """Train on all folds but one, and test on that, for every fold and seed.

    Raises:
        UsageError: fewer than two folds, or a fold whose rest has fewer than two classes.
    """
    manifest, several = samples.manifest, recipe.multilabel
    labels = manifest.label_names(multilabel=several)
    folds = sorted({sample.fold for sample in manifest if sample.fold is not None})
    if len(folds) < 2:
        raise UsageError(f"Cross-validation needs two folds or more, not {len(folds)}.")
    targets = targets_of(manifest.samples, labels, multilabel=several)
    probabilities = np.zeros((len(manifest), len(labels)))
    hits = np.zeros(len(manifest))
    scores = []
    with _each_warning_once():
        for seed in seeds:
            for fold in folds:
                score, rows, found = score_fold(samples, recipe, targets, fold=fold, seed=seed)
                scores.append(score)
                probabilities[rows] += found / len(seeds)
                hits[rows] += right(found, targets[rows]) / len(seeds)
                advance()
    return Study(scores, probabilities, hits)


def right(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``(n,)`` bool: whether the likeliest label is the true one, or one of the true ones."""
    likeliest = probabilities.argmax(axis=1)
    if targets.ndim == 1:
        return likeliest == targets
    return targets[np.arange(len(targets)), likeliest] > 0


def score_fold(
    samples: Samples, recipe: Recipe, targets: np.ndarray, *, fold: int, seed: int
) -> tuple[FoldScore, np.ndarray, np.ndarray]:
    """Train without a fold; its score, its rows and their ``(n, K)`` probabilities."""
    from frameflow.models.recognizer import build_recognizer
    from frameflow.training._random import reproducible
    from frameflow.training.learning import fit_recognizer, trainee
    from frameflow.training.loop import predict

    several = recipe.multilabel
    manifest = samples.splits(fold, val=recipe.split.val, seed=seed, multilabel=several)
    splits = np.array([sample.split for sample in manifest])
    rows = {name: np.flatnonzero(splits == name) for name in ("train", "val", "test")}
    try:
        refuse_one_class(manifest.split("train").samples, multilabel=several)
    except UsageError as error:
        raise UsageError(f"Without fold {fold}: {error}") from None
    training = samples.training.examples(targets[rows["train"]], rows=rows["train"])
    validation, test = (
        samples.testing.examples(targets[rows[name]], rows=rows[name], every_view=True)
        for name in ("val", "test")
    )
    # What learns must not carry over from fold to fold; what is frozen need not be copied.
    learns = recipe.way != "frozen"
    backbones = copy.deepcopy(list(samples.backbones)) if learns else samples.backbones
    with reproducible(seed):
        recognizer = build_recognizer(
            recipe, manifest.label_names(multilabel=several), backbones=backbones
        )
    settings = recipe.train.model_copy(update={"seed": seed})
    fitted = fit_recognizer(recognizer, training, validation if len(validation) else None, settings)
    logits = predict(trainee(recognizer), test)
    found = (logits.sigmoid() if several else logits.softmax(dim=1)).numpy()
    found = view_means(found, samples.testing.count)
    score = FoldScore(
        fold=fold,
        seed=seed,
        samples=len(found),
        top1=float(right(found, targets[rows["test"]]).mean()),
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        val_top1=fitted.history[fitted.best_epoch - 1].val_top1,
    )
    return score, rows["test"], found


def _with_folds(
    source: Source,
    seed: int,
    *,
    folds: int | None,
    classes: str | Sequence[str] | int | None,
    multilabel: bool,
) -> Manifest:
    manifest = read_source(source, classes=classes, multilabel=multilabel)
    manifest = manifest.where(lambda sample: bool(sample.label))
    labels = manifest.label_names(multilabel=multilabel)
    if len(labels) < 2 and not multilabel:
        raise UsageError(
            f"Cross-validation needs samples of at least two classes, not {len(labels)}."
        )
    if folds is None and manifest.has_folds:
        kept = manifest.where(lambda sample: sample.fold is not None)
        if len(kept) < len(manifest):
            log.warning("%d samples have no fold and are left out.", len(manifest) - len(kept))
        return kept
    folder = not isinstance(source, Manifest) and Path(source).is_dir()
    found = with_groups(manifest, always=folder)
    return add_folds(found, folds or DEFAULT_FOLDS, seed=seed, multilabel=multilabel)


def _refuse_leaking_folds(manifest: Manifest, *, allow: bool) -> bool:
    named = manifest.replace(replace(sample, split=f"fold {sample.fold}") for sample in manifest)
    return refuse_leaks(named, allow=allow)


def read_samples(
    manifest: Manifest, recipe: Recipe, engine: "EngineKind" = "auto"
) -> tuple[Samples, list[dict[str, object]]]:
    """The readable samples as a recipe sees them, and what was set aside."""
    from frameflow.models.recognizer import build_recognizer
    from frameflow.training.learning import read_material

    labels = manifest.label_names(multilabel=recipe.multilabel)
    recognizer = build_recognizer(recipe, labels)
    testing = read_material(recognizer, manifest, purpose="test", engine=engine)
    readable = manifest.replace(testing.samples)
    training = read_material(recognizer, readable, purpose="train", engine=engine)
    if len(training.samples) < len(readable):  # became unreadable between the two
        raise UsageError("Some videos changed while they were read: run it again.")
    found = Samples(readable, training, testing, recognizer.backbones())
    return found, [asdict(bad) for bad in testing.bad]


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Every fold is cut in the same way, so what there is to say of it is said once."""
    said: set[str] = set()

    def first(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not (message in said or said.add(message))  # type: ignore[func-returns-value]

    loggers = [logging.getLogger(f"frameflow.{name}") for name in _TALKATIVE]
    for logger in loggers:
        logger.addFilter(first)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(first)


def _random_folds(samples: Samples, count: int, *, multilabel: bool) -> Samples:
    """Folds over clips; without groups, validation is cut over clips too."""
    manifest = random_clip_folds(samples.manifest, count, multilabel=multilabel)
    manifest = manifest.replace(replace(sample, group="") for sample in manifest)
    return replace(samples, manifest=manifest)


def _write(out: Path, result: CrossvalResult, manifest: Manifest) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "recipe.yaml", dump_recipe(result.recipe))
    manifest.write(out / "manifest.csv")
    written = Manifest.read(out / "manifest.csv", check_files=False)  # paths from here
    found = Predictions(
        written.samples,
        result.labels,
        result.held_out.probabilities,
        multilabel=result.recipe.multilabel,
    )
    found.write_csv(out / "predictions.csv")
    write_text(out / "crossval.csv", result.csv())
    write_text(out / "crossval.md", result.markdown())
    write_text(out / "crossval.html", crossval_page(result))
    write_json(out / "crossval.json", result.to_dict())
    log.info("Wrote %s.", out / "crossval.md")
