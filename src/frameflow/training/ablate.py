"""Change a recipe, train each change with several seeds, and say what each change does.

Everything is scored out of fold on the training and validation samples: a choice between recipes
must not see the test split.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow._files import write_json, write_text
from frameflow.config import Recipe, dump_recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, UsageError
from frameflow.progress import progress
from frameflow.training.ablation_cells import Cell, cell_path, read_cell, write_cell
from frameflow.training.ablation_page import ablation_page
from frameflow.training.ablation_plan import Variant, plan, read_factor
from frameflow.training.ablation_results import AblationResult
from frameflow.training.crossval import DEFAULT_FOLDS, study
from frameflow.training.inner import (
    SharedSamples,
    features_key,
    inner_folds,
    inner_samples,
    say_left_out,
)
from frameflow.training.run import refuse_used_folder
from frameflow.training.sources import Source, name_of
from frameflow.training.targets import targets_of

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind

log = logging.getLogger(__name__)

PLAN = "plan.json"


def ablate(
    source: Source,
    *,
    over: Sequence[str],
    out: str | os.PathLike[str],
    recipe: str | Path | Recipe = "default",
    overrides: Sequence[str] = (),
    seeds: int = 3,
    folds: int = DEFAULT_FOLDS,
    one_at_a_time: bool = False,
    fold: int | None = None,
    classes: str | Sequence[str] | int | None = None,
    engine: "EngineKind" = "auto",
    allow_leak: bool = False,
) -> AblationResult:
    """Train a recipe and its changes, and judge each change against the recipe.

    The test split is set aside first, as `frameflow.training.pipeline.train` would cut it. What
    is left is cut into folds by group; each is scored by a training on the others, which cuts its
    own validation from them for early stopping. Every recipe sees the same folds and seeds.

    Args:
        source: a folder of class folders, a manifest file or a `Manifest`.
        over: changes, ``"head.name=mean,gru"``: a key and its values in YAML.
        out: a folder for the finished cells and the tables. An ablation that was stopped goes on
            there; more changes or seeds of the same recipe may be added.
        recipe: the base: a name, a YAML file or a `Recipe`.
        overrides: changes to the base itself.
        seeds: how often each recipe is trained: with the base's seed and those after it.
        folds: of the training and validation samples.
        one_at_a_time: each value alone against the base, rather than all combinations.
        fold: of the manifest's folds, the one that is the test split.
        classes: only these labels, or the first so many.
        engine: what runs frozen backbones.
        allow_leak: go on although a group stands both in test and outside.

    Raises:
        UsageError: bad input, with its cure; another ablation is in ``out``.
        LeakError: a group stands both in test and outside.

    Example:
        >>> found = ablate("tennis7/manifest.csv", over=["head=mean,gru"], out="ablation")
        ... # doctest: +SKIP
    """
    if seeds < 1:
        raise UsageError(f"seeds ({seeds}) must be > 0.")
    base = load_recipe(recipe, overrides)
    variants = plan(base, [read_factor(text) for text in over], one_at_a_time=one_at_a_time)
    samples, whole = inner_samples(
        source, base, what="An ablation", fold=fold, classes=classes, allow_leak=allow_leak
    )
    held_back = say_left_out(whole, samples, folds)
    manifest = inner_folds(samples, folds, seed=base.train.seed, multilabel=base.multilabel)
    folder = Path(out)
    _claim(folder, base, manifest)
    numbers = [base.train.seed + seed for seed in range(seeds)]
    cells = _train(folder, variants, numbers, manifest, engine)
    result = AblationResult(
        recipe=base,
        source=name_of(source),
        variants=variants,
        seeds=numbers,
        folds=folds,
        manifest=manifest,
        held_back=held_back,
        cells=cells,
    )
    _write(folder, result)
    return result


def _claim(folder: Path, recipe: Recipe, manifest: Manifest) -> None:
    """Make the folder one of this recipe and these samples, or see that it is.

    Raises:
        UsageError: it holds something else.
    """
    samples = [
        [str(manifest.path(s).resolve()), s.start, s.end, s.frame, s.label, s.group, s.fold]
        for s in manifest
    ]
    wanted = {
        "recipe": recipe.model_dump(mode="json"),
        "samples": hashlib.sha256(json.dumps(samples).encode()).hexdigest(),
    }
    path = folder / PLAN
    if not path.is_file():
        refuse_used_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        what = [key for key in wanted if held.get(key) != wanted[key]]
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is damaged ({error}): name a new folder.") from None
    if what:
        other = "recipe" if "recipe" in what else "data or other folds"
        raise UsageError(
            f"--out {folder} holds an ablation of another {other}: name a new folder, or "
            f"give the same as there ({folder / 'recipe.yaml'}, {folder / 'manifest.csv'})."
        )
    write_text(folder / "recipe.yaml", dump_recipe(recipe))
    manifest.write(folder / "manifest.csv")


def _train(
    folder: Path,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    manifest: Manifest,
    engine: "EngineKind",
) -> dict[tuple[int, int], Cell]:
    """Every variant with every seed; those that are done are read."""
    found: dict[tuple[int, int], Cell] = {}
    for place, variant in enumerate(variants):
        for seed in seeds:
            cell = read_cell(cell_path(folder, variant.digest, seed))
            if variant.recipe is None:
                cell = Cell.failure(variant.fault)
            if cell is not None:
                found[place, seed] = cell
    left = [(p, s) for p in range(len(variants)) for s in seeds if (p, s) not in found]
    done = len(variants) * len(seeds) - len(left)
    if done and left:
        log.info("%d of %d trainings are done already.", done, done + len(left))
    reader = SharedSamples(manifest, engine)
    folds = len({sample.fold for sample in manifest})
    with progress("Folds", total=len(left) * folds, unit="folds") as advance:
        for place, seed in _in_turn(left, variants):
            variant = variants[place]
            cell = _cell(reader, variant, seed, advance)
            write_cell(cell_path(folder, variant.digest, seed), cell, name=variant.name)
            found[place, seed] = cell
            said = f"failed: {cell.failed}" if cell.failed else _told(cell)
            log.info("%s, seed %d: %s", variant.name, seed, said)
    return found


def _in_turn(left: Sequence[tuple[int, int]], variants: Sequence[Variant]) -> list[tuple[int, int]]:
    """The base first; those that share their features follow one another."""
    first: dict[str, int] = {}
    for place, _ in left:
        first.setdefault(_features(variants[place]), place)
    return sorted(left, key=lambda own: (first[_features(variants[own[0]])], own))


def _features(variant: Variant) -> str:
    return "" if variant.recipe is None else features_key(variant.recipe)


def _told(cell: Cell) -> str:
    samples = sum(score.samples for score in cell.scores)
    hits = sum(score.top1 * score.samples for score in cell.scores)
    return f"top-1 {hits / samples:.3f} in {cell.seconds:.1f} s"


def _cell(reader: SharedSamples, variant: Variant, seed: int, advance: Callable[..., None]) -> Cell:
    """Train one cell; what goes wrong with it alone does not end the others."""
    assert variant.recipe is not None
    try:
        samples = reader.read(variant.recipe)
        started = time.perf_counter()
        found = study(samples, variant.recipe, [seed], advance)
        seconds = time.perf_counter() - started
    except OSError:  # a full disk is everyone's
        raise
    except FrameFlowError as error:
        return Cell.failure(" ".join(str(error).split()))
    except (RuntimeError, ValueError, MemoryError) as error:  # shapes that do not fit, memory
        return Cell.failure(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    several = variant.recipe.multilabel
    labels = samples.manifest.label_names(multilabel=several)
    targets = targets_of(samples.manifest.samples, labels, multilabel=several)
    if labels != reader.manifest.label_names(multilabel=several):
        return Cell.failure("no video of some class could be read")
    return Cell.of(found, _rows(reader.manifest, samples.manifest), targets, seconds)


def _rows(manifest: Manifest, readable: Manifest) -> np.ndarray:
    """Which samples of a manifest are readable: both are in the same order."""
    left = iter(enumerate(manifest))
    return np.array([next(i for i, s in left if s == sample) for sample in readable])


def _write(folder: Path, result: AblationResult) -> None:
    write_text(folder / "ablation.csv", result.csv())
    write_text(folder / "ablation.md", result.markdown())
    write_json(folder / "ablation.json", result.to_dict())
    write_text(folder / "ablation.html", ablation_page(result))
    log.info("Wrote %s.", folder / "ablation.html")
