"""The trials of a search: handed out one at a time to whatever processes share it."""

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from frameflow.errors import UsageError
from frameflow.progress import progress
from frameflow.training.inner import SharedSamples
from frameflow.tuning.objective import Scored, score_recipe
from frameflow.tuning.plan import Plan
from frameflow.tuning.results import Searched, TrialRow
from frameflow.tuning.samplers import make_sampler
from frameflow.tuning.storage import (
    OWNER,
    PLACE,
    REASON,
    Storage,
    counting,
    free_place,
    running,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

log = logging.getLogger(__name__)

_LOOK = 0.2  # seconds between looks at what other processes do


def run_search(plan: Plan, search: str, storage: Storage, shared: SharedSamples) -> Searched:
    """All trials of one search that are left, and what others have in hand."""
    study = storage.study(search)
    wanted = plan.wanted(search)
    done = len(counting(study)[:wanted])
    if done:
        log.info("%s: %d of %d trials are done or in hand already.", search, done, wanted)
    with progress(f"Search {search}", total=wanted, unit="trials") as advance:
        advance(done)
        waited = False
        while True:
            while (trial := _next(plan, search, storage, study, wanted)) is not None:
                _score(plan, study, trial, shared)
                advance()
            if not running(study):
                break
            if not waited:
                log.info("%s: waiting for trials that other processes have in hand.", search)
                waited = True
            time.sleep(_LOOK)
    rows = [
        row for trial in counting(study)[:wanted] if (row := TrialRow.of(search, trial, plan.space))
    ]
    return Searched(search, rows, _importance(study))


def _next(plan: Plan, search: str, storage: Storage, study: "Study", wanted: int) -> "Trial | None":
    """The next trial with its values; None where every place is taken.

    One process at a time, so each sees what the others try, and no two try the same.
    """
    with storage.alone():
        storage.bury_the_dead(study)
        place = free_place(study)
        if place >= wanted:
            return None
        study.sampler = make_sampler(
            search, plan.space, trials=plan.trials, seed=plan.base.train.seed, place=place,
            options=plan.options,
        )  # fmt: skip
        trial = study.ask(fixed_distributions=plan.space.distributions())
        trial.set_user_attr(PLACE, place)
        trial.set_user_attr(OWNER, storage.owner)  # last: one without is nobody's
    return trial


def _score(plan: Plan, study: "Study", trial: "Trial", shared: SharedSamples) -> None:
    """Train a trial and write its score, or why it has none."""
    from optuna.trial import TrialState

    def hopeless(step: int, mean: float) -> bool:
        trial.report(mean, step)
        return plan.prune and trial.should_prune()

    try:
        recipe = plan.recipe(trial.params)
    except UsageError as error:
        scored = Scored(float("nan"), (), (), 0.0, failed=str(error))
    else:
        seeds = [plan.base.train.seed]
        scored = _known(plan, study, trial) or score_recipe(
            shared, recipe, seeds=seeds, metric=plan.metric, hopeless=hopeless
        )
    value = None if scored.failed else scored.value
    trial.set_user_attr("scored", scored.to_dict() | {"value": value})
    if scored.failed:
        trial.set_user_attr(REASON, scored.failed)
        study.tell(trial, state=TrialState.FAIL)
    elif scored.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, scored.value)


def _known(plan: Plan, study: "Study", trial: "Trial") -> Scored | None:
    """The score of a whole trial with the same values, which would come out the same."""
    from optuna.trial import TrialState

    wanted = plan.space.applying(trial.params)
    for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if "scored" in other.user_attrs and plan.space.applying(other.params) == wanted:
            return replace(Scored.of(other.user_attrs["scored"]), seconds=0.0)
    return None


def _importance(study: "Study") -> dict[str, float]:
    """How much of the scores' variance each setting explains; empty where it cannot be told."""
    import optuna

    try:
        judge = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return dict(optuna.importance.get_param_importances(study, evaluator=judge))
    except (ValueError, RuntimeError, ImportError) as error:
        log.debug("No importances: %s", error)
        return {}
