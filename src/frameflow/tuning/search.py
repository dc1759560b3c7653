"""Search: trials see inner folds, finalists are scored anew, the best becomes a run."""

import hashlib
import itertools
import json
import logging
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow._files import write_json, write_text
from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, UsageError
from frameflow.progress import progress
from frameflow.training.inner import SharedSamples, inner_samples, say_left_out
from frameflow.training.pipeline import resume, train
from frameflow.training.run import Run
from frameflow.training.sources import Source, name_of
from frameflow.tuning.objective import Metric, Scored, score_recipe
from frameflow.tuning.page import tune_page
from frameflow.tuning.plan import Plan
from frameflow.tuning.results import Finalist, Searched, TrialRow, TuneResult
from frameflow.tuning.samplers import check_searches
from frameflow.tuning.space import Space, read_parameter
from frameflow.tuning.storage import Storage, require_optuna
from frameflow.tuning.trials import run_search
from frameflow.tuning.ucb import UcbOptions

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind

log = logging.getLogger(__name__)


def tune(
    source: Source,
    *,
    params: Sequence[str],
    out: str | os.PathLike[str],
    search: Sequence[str] = ("tpe",),
    trials: int = 30,
    recipe: str | Path | Recipe = "default",
    overrides: Sequence[str] = (),
    metric: Metric = "top1",
    folds: int = 3,
    finalists: int = 5,
    seeds: int = 3,
    prune: bool = True,
    bayes: UcbOptions | None = None,
    refit: bool = True,
    fold: int | None = None,
    classes: str | Sequence[str] | int | None = None,
    engine: "EngineKind" = "auto",
    allow_leak: bool = False,
) -> TuneResult | None:
    """Search over settings of a recipe.

    The test split is set aside first, as `frameflow.training.pipeline.train` would cut it. What is
    left is cut into folds by group; a trial's score is the mean over them, each trained on the
    others. The best of many scores is partly luck, so the finalists are scored again, on other
    folds with other seeds, and the best of those is trained as an ordinary run: that run's
    evaluation is the only look at the test split.

    Args:
        source: a folder of class folders, a manifest file or a `Manifest`.
        params: what may be changed, see `frameflow.tuning.space.read_parameter`.
        out: a folder for all that is written. A search that was stopped goes on there, and
            several processes may share it.
        search: names of `frameflow.tuning.samplers.SEARCHES`; several each get all trials.
        trials: of each search.
        recipe: the base: a name, a YAML file or a `Recipe`.
        overrides: changes to the base itself.
        metric: ``top1``, or ``loss``: -log(probability of the truth).
        folds: of the training and validation samples.
        finalists: how many of the best are scored again.
        seeds: how often each of them is trained on each fold.
        prune: give a trial up whose first folds are worse than the median.
        bayes: options of the search ``bayes``.
        refit: train the best as a run, in ``out/run``.
        fold: of the manifest's folds, the one that is the test split.
        classes: only these labels, or the first so many.
        engine: what runs frozen backbones.
        allow_leak: go on although a group stands both in test and outside.

    Returns:
        What was found; None where another process, which shares the search, writes it.

    Raises:
        UsageError: bad input, with its cure; another search is in ``out``.
        LeakError: a group stands both in test and outside.
        FrameFlowError: Optuna is missing, or every trial failed.

    Example:
        >>> found = tune("tennis7/manifest.csv", params=["train.lr=log:1e-4..1"], out="tuned")
        ... # doctest: +SKIP
    """
    require_optuna()
    check_searches(list(search))
    for name, value, least in (
        ("trials", trials, 1), ("folds", folds, 2), ("finalists", finalists, 1), ("seeds", seeds, 1)
    ):  # fmt: skip
        if value < least:
            raise UsageError(f"{name} ({value}) must be {least} or more.")
    base = load_recipe(recipe, overrides)
    space = Space([read_parameter(text) for text in params])
    space.check(base)
    if "grid" in search:
        space.check_grid(trials)
    if bayes is not None and "bayes" not in search:
        raise UsageError("--bayes has the options of --search bayes, which is not asked for.")
    samples, whole = inner_samples(
        source, base, what="A search", fold=fold, classes=classes, allow_leak=allow_leak
    )
    plan = Plan(
        Path(out), base, space, samples, trials, folds, metric, prune, bayes or UcbOptions(), engine
    )
    digests = plan.claim(name_of(source))
    say_left_out(whole, samples, folds)
    begun = time.perf_counter()
    shared = plan.shared(base.train.seed)
    shared.read(base)  # so that no trial pays for what all of them share
    storage = Storage(plan.folder, digests)
    with storage, storage.saying():
        found = [run_search(plan, name, storage, shared) for name in search]
    with storage.finishing() as mine:
        if not mine:
            log.info("Another process shares this search and writes its results.")
            return None
        best, unchanged = _finalists(plan, found, shared, finalists, seeds)
        result = TuneResult(
            recipe=base,
            source=name_of(source),
            space=space,
            metric=metric,
            folds=folds,
            seeds=seeds,
            searches=found,
            finalists=best,
            unchanged=unchanged,
            samples=len(samples),
            held_back=len(whole.split("test")),
            seconds=time.perf_counter() - begun,
            run=None,
            command="",
        )
        command = _command(
            plan, source, result.winner.params, fold=fold, classes=classes, allow_leak=allow_leak
        )
        result = replace(result, command=command)
        _write(plan.folder, result)
        if refit:
            result = replace(result, run=_refit(plan, result, whole, allow_leak=allow_leak))
            _write(plan.folder, result)
        log.info("Wrote %s.", plan.folder / "tune.html")
    return result


# Finalists ------------------------------------------------------------------------------------


def _finalists(
    plan: Plan, searches: Sequence[Searched], shared: SharedSamples, most: int, seeds: int
) -> tuple[list[Finalist], Finalist]:
    """The best of all searches and the base, on folds and with seeds that no trial has seen."""
    whole = [row for found in searches for row in found.trials if row.state == "complete"]
    if not whole:
        reasons = [row.failed for found in searches for row in found.trials if row.failed]
        why = f": {reasons[0]}" if reasons else "."
        raise FrameFlowError(f"No trial came to its end{why}")
    chosen: dict[str, TrialRow] = {}
    for row in sorted(whole, key=lambda row: -row.value):
        chosen.setdefault(json.dumps(row.params, sort_keys=True), row)
    best = list(chosen.values())[:most]
    seed = plan.base.train.seed
    before = _scored(plan, shared, {}, [seed])
    numbers = [seed + 1 + number for number in range(seeds)]  # trials had the seed before these
    fresh = plan.shared(seed + 1)
    with progress("Finalists", total=len(best) + 1, unit="recipes") as advance:
        found = []
        for row in best:
            scored = _scored(plan, fresh, row.params, numbers)
            found.append(Finalist(row.search, row.number, row.params, row.value, scored))
            advance()
        unchanged = Finalist("", -1, {}, before.value, _scored(plan, fresh, {}, numbers))
        advance()
    good = [finalist for finalist in found if not finalist.scored.failed]
    if not good:
        raise FrameFlowError(f"Every finalist failed: {found[0].scored.failed}")
    return sorted(good, key=lambda finalist: -finalist.scored.value), unchanged


def _scored(
    plan: Plan, shared: SharedSamples, params: dict[str, Any], seeds: Sequence[int]
) -> Scored:
    """The score of some values, read where it is known; of the base where there are none."""
    path = plan.folder / "finalists" / f"{_digest(params, plan.folds, seeds)}.json"
    held = _read(path)
    if held is not None:
        return held
    recipe = plan.recipe(params)
    scored = score_recipe(shared, recipe, seeds=seeds, metric=plan.metric)
    path.parent.mkdir(exist_ok=True)
    if not scored.failed:
        write_json(path, scored.to_dict(), indent=None)
    return scored


def _digest(params: dict[str, Any], folds: int, seeds: Sequence[int]) -> str:
    text = json.dumps([params, folds, list(seeds)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read(path: Path) -> Scored | None:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return Scored.of(held)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _refit(plan: Plan, result: TuneResult, whole: Manifest, *, allow_leak: bool) -> Run:
    """The best finalist as an ordinary run, evaluated on the test split."""
    params = result.winner.params
    recipe = plan.recipe(params)
    for number in itertools.count(1):
        path = plan.folder / ("run" if number == 1 else f"run-{number}")
        if not (path / "manifest.csv").is_file():
            break
        if Run(path).recipe == recipe:
            return Run(path) if Run(path).is_finished else resume(path, engine=plan.engine)
    return train(whole, recipe=recipe, out=path, engine=plan.engine, allow_leak=allow_leak)


def _command(
    plan: Plan,
    source: Source,
    params: dict[str, Any],
    *,
    fold: int | None,
    classes: str | Sequence[str] | int | None,
    allow_leak: bool,
) -> str:
    """What trains the best as an ordinary run; empty where the data has no name."""
    if isinstance(source, Manifest):
        return ""
    words = ["frameflow", "train", str(source), "--recipe", str(plan.folder / "recipe.yaml")]
    for override in plan.space.overrides(params) if params else ():
        words += ["--set", override]
    if fold is not None:
        words += ["--fold", str(fold)]
    if classes is not None:
        words += ["--classes", classes if isinstance(classes, str) else _joined(classes)]
    if plan.engine != "auto":
        words += ["--engine", plan.engine]
    if allow_leak:
        words.append("--allow-leak")
    return shlex.join([*words, "--out", f"{plan.folder}-best"])


def _joined(classes: Sequence[str] | int) -> str:
    return str(classes) if isinstance(classes, int) else ",".join(classes)


def _write(folder: Path, result: TuneResult) -> None:
    write_text(folder / "trials.csv", result.csv())
    write_json(folder / "tune.json", result.to_dict())
    write_text(folder / "tune.html", tune_page(result))
