"""Search: trials see inner folds, finalists are scored anew, the best becomes a run."""

import hashlib
import itertools
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow._files import write_json, write_text
from frameflow.config import Recipe, dump_recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, UsageError
from frameflow.progress import progress
from frameflow.training.inner import SharedSamples, inner_folds, inner_samples, say_left_out
from frameflow.training.pipeline import resume, train
from frameflow.training.run import Run, refuse_used_folder
from frameflow.training.sources import Source, name_of
from frameflow.tuning.objective import Metric, Scored, score_recipe
from frameflow.tuning.page import tune_page
from frameflow.tuning.results import Finalist, Searched, TrialRow, TuneResult
from frameflow.tuning.samplers import check_searches, make_sampler
from frameflow.tuning.space import Space, read_parameter
from frameflow.tuning.storage import (
    OWNER,
    REASON,
    bury_the_dead,
    counting,
    finishing,
    open_study,
    owner,
    require_optuna,
    running,
)
from frameflow.tuning.ucb import UcbOptions

if TYPE_CHECKING:
    from optuna import Study

    from frameflow.features.engines import EngineKind

log = logging.getLogger(__name__)

PLAN = "plan.json"
_LOOK = 0.2  # seconds between looks at what other processes do


@dataclass(frozen=True)
class _Search:
    """What every part of a search needs."""

    folder: Path
    base: Recipe
    space: Space
    samples: Manifest  # of training and validation, without folds
    trials: int
    folds: int
    metric: Metric
    prune: bool
    options: UcbOptions
    engine: "EngineKind"

    def shared(self, seed: int) -> SharedSamples:
        several = self.base.multilabel
        manifest = inner_folds(self.samples, self.folds, seed=seed, multilabel=several)
        return SharedSamples(manifest, self.engine)

    def wanted(self, search: str) -> int:
        """Trials of one search: a grid may have fewer points."""
        return (
            min(self.trials, len(self.space.grid(self.trials)))
            if search == "grid"
            else (self.trials)
        )


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
    samples, whole = inner_samples(
        source, base, what="A search", fold=fold, classes=classes, allow_leak=allow_leak
    )
    own = _Search(
        Path(out), base, space, samples, trials, folds, metric, prune, bayes or UcbOptions(), engine
    )
    _claim(own, name_of(source))
    say_left_out(whole, samples, folds)
    begun = time.perf_counter()
    shared = own.shared(base.train.seed)
    shared.read(base)  # so that no trial pays for what all of them share
    found = [_run(own, name, shared) for name in search]
    with finishing(own.folder) as mine:
        if not mine:
            log.info("Another process shares this search and writes its results.")
            return None
        best, unchanged = _finalists(own, found, shared, finalists, seeds)
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
        )
        _write(own.folder, result)
        if refit:
            result = replace(result, run=_refit(own, result, whole, allow_leak=allow_leak))
            _write(own.folder, result)
        log.info("Wrote %s.", own.folder / "tune.html")
    return result


def _claim(own: _Search, source: str) -> None:
    """Make the folder one of this search, or see that it is.

    Raises:
        UsageError: it holds something else.
    """
    samples = [
        [str(own.samples.path(s).resolve()), s.start, s.end, s.frame, s.label, s.group]
        for s in own.samples
    ]
    wanted = {
        "recipe": own.base.model_dump(mode="json"),
        "samples": hashlib.sha256(json.dumps(samples).encode()).hexdigest(),
        "params": [repr(parameter) for parameter in own.space.parameters],
        "scoring": [own.folds, own.metric],
    }
    path = own.folder / PLAN
    if not path.is_file():
        refuse_used_folder(own.folder)
        own.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"source": source, **wanted})
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        what = [key for key in wanted if held.get(key) != wanted[key]]
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is damaged ({error}): name a new folder.") from None
    if what:
        raise UsageError(
            f"--out {own.folder} holds a search with other {' and '.join(what)}: name a new "
            f"folder, or give the same as there."
        )
    write_text(own.folder / "recipe.yaml", dump_recipe(own.base))


# Trials ---------------------------------------------------------------------------------------


def _run(own: _Search, search: str, shared: SharedSamples) -> Searched:
    """All trials of one search that are left."""
    study = open_study(own.folder, search)
    bury_the_dead(study)
    wanted = own.wanted(search)
    done = len(counting(study))
    if done:
        log.info("%s: %d of %d trials are done already.", search, min(done, wanted), wanted)
    with progress(f"Search {search}", total=wanted, unit="trials") as advance:
        advance(min(done, wanted))
        while True:
            while len(counting(study)) < wanted and _trial(own, search, study, shared, wanted):
                advance()
            if not running(study):
                break
            time.sleep(_LOOK)  # other processes have trials in hand
            bury_the_dead(study)  # and if one of them dies its place is free
    rows = [row for trial in counting(study)[:wanted] if (row := TrialRow.of(search, trial))]
    return Searched(search, rows, _importance(study))


def _trial(own: _Search, search: str, study: "Study", shared: SharedSamples, wanted: int) -> bool:
    """One trial; False where its place was taken meanwhile."""
    from optuna.trial import TrialState

    seed = own.base.train.seed
    study.sampler = make_sampler(
        search, own.space, trials=own.trials, seed=seed, options=own.options
    )
    trial = study.ask(fixed_distributions=own.space.distributions())
    trial.set_user_attr(OWNER, owner())
    if sum(other.number < trial.number for other in counting(study)) >= wanted:
        study.tell(trial, state=TrialState.FAIL)  # without a reason: it does not count
        return False

    def hopeless(step: int, mean: float) -> bool:
        trial.report(mean, step)
        return own.prune and trial.should_prune()

    try:
        recipe = own.space.recipe(own.base, trial.params)
    except UsageError as error:
        scored = Scored(float("nan"), (), (), 0.0, failed=str(error))
    else:
        scored = score_recipe(shared, recipe, seeds=[seed], metric=own.metric, hopeless=hopeless)
    value = None if scored.failed else scored.value
    trial.set_user_attr("scored", scored.to_dict() | {"value": value})
    if scored.failed:
        trial.set_user_attr(REASON, scored.failed)
        study.tell(trial, state=TrialState.FAIL)
    elif scored.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, scored.value)
    return True


def _importance(study: "Study") -> dict[str, float]:
    """How much of the scores' variance each setting explains; empty where it cannot be told."""
    import optuna

    try:
        judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=judge))
    except (ValueError, RuntimeError, ImportError) as error:
        log.debug("No importances: %s", error)
        return {}


# Finalists ------------------------------------------------------------------------------------


def _finalists(
    own: _Search, searches: Sequence[Searched], shared: SharedSamples, most: int, seeds: int
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
    seed = own.base.train.seed
    before = _scored(own, shared, {}, [seed])
    numbers = [seed + 1 + number for number in range(seeds)]  # trials had the seed before these
    fresh = own.shared(seed + 1)
    with progress("Finalists", total=len(best) + 1, unit="recipes") as advance:
        found = []
        for row in best:
            scored = _scored(own, fresh, row.params, numbers)
            found.append(Finalist(row.search, row.number, row.params, row.value, scored))
            advance()
        unchanged = Finalist("", -1, {}, before.value, _scored(own, fresh, {}, numbers))
        advance()
    good = [finalist for finalist in found if not finalist.scored.failed]
    if not good:
        raise FrameFlowError(f"Every finalist failed: {found[0].scored.failed}")
    return sorted(good, key=lambda finalist: -finalist.scored.value), unchanged


def _scored(
    own: _Search, shared: SharedSamples, params: dict[str, Any], seeds: Sequence[int]
) -> Scored:
    """The score of some values, read where it is known; of the base where there are none."""
    path = own.folder / "finalists" / f"{_digest(params, own.folds, seeds)}.json"
    held = _read(path)
    if held is not None:
        return held
    recipe = own.space.recipe(own.base, params) if params else own.base
    scored = score_recipe(shared, recipe, seeds=seeds, metric=own.metric)
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
        return Scored(**{**held, "folds": tuple(held["folds"]), "epochs": tuple(held["epochs"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _refit(own: _Search, result: TuneResult, whole: Manifest, *, allow_leak: bool) -> Run:
    """The best finalist as an ordinary run, evaluated on the test split."""
    params = result.winner.params
    recipe = own.space.recipe(own.base, params) if params else own.base
    for number in itertools.count(1):
        path = own.folder / ("run" if number == 1 else f"run-{number}")
        if not (path / "manifest.csv").is_file():
            break
        if Run(path).recipe == recipe:
            return Run(path) if Run(path).is_finished else resume(path, engine=own.engine)
    return train(whole, recipe=recipe, out=path, engine=own.engine, allow_leak=allow_leak)


def _write(folder: Path, result: TuneResult) -> None:
    write_text(folder / "trials.csv", result.csv())
    write_json(folder / "tune.json", result.to_dict())
    write_text(folder / "tune.html", tune_page(result))
