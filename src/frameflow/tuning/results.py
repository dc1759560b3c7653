"""What a search found: trials, finalists and the run they became."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frameflow.config import Recipe
from frameflow.training.run import Run
from frameflow.tuning.objective import Metric, Scored
from frameflow.tuning.space import Space
from frameflow.tuning.storage import PLACE

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial.

    Attributes:
        search: the way of searching.
        number: of the trial in its search, from 0.
        params: the values that were tried, without those of no account to the head.
        state: ``complete``, ``pruned`` or ``failed``.
        value: the mean over the folds that were trained; higher is better, NaN where it failed.
        folds: the score of each fold that was trained.
        seconds: what it took.
        failed: why there is no value.
    """

    search: str
    number: int
    params: dict[str, Any]
    state: str
    value: float
    folds: tuple[float, ...]
    seconds: float
    failed: str = ""

    @classmethod
    def of(cls, search: str, trial: "FrozenTrial", space: Space) -> "TrialRow | None":
        """From a trial of Optuna's; None while it runs."""
        held = trial.user_attrs.get("scored")
        if held is None or not trial.state.is_finished():
            return None
        state = "failed" if held["failed"] else "pruned" if held["pruned"] else "complete"
        return cls(
            search,
            trial.user_attrs[PLACE],
            space.applying(trial.params),
            state,
            math.nan if held["value"] is None else float(held["value"]),
            tuple(held["folds"]),
            float(held["seconds"]),
            held["failed"],
        )


@dataclass(frozen=True)
class Searched:
    """All trials of one search.

    Attributes:
        search: its name.
        trials: in the order of their numbers.
        importance: how much of the variance of the scores each key explains, together 1; empty
            where it cannot be told.
    """

    search: str
    trials: Sequence[TrialRow]
    importance: Mapping[str, float]

    @property
    def best(self) -> TrialRow | None:
        """The best whole trial, the first of equals."""
        whole = [row for row in self.trials if row.state == "complete"]
        return max(whole, key=lambda row: row.value, default=None)

    @property
    def seconds(self) -> float:
        """What all trials took together."""
        return sum(row.seconds for row in self.trials)

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.trials)

    @property
    def first_best(self) -> int:
        """After how many trials the best was found."""
        best = self.best
        return 0 if best is None else 1 + list(self.trials).index(best)


@dataclass(frozen=True, slots=True)
class Finalist:
    """One of the best trials (or the recipe as it was), scored on other folds with other seeds.

    Attributes:
        search: where it was found.
        number: of its trial.
        params: its values.
        searched: the score of its trial.
        scored: the score that no choice has seen.
    """

    search: str
    number: int
    params: dict[str, Any]
    searched: float
    scored: Scored


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Attributes:
        recipe: the base.
        source: a short name of the data.
        space: what was searched.
        metric: of all scores here.
        folds: of a trial.
        seeds: of a finalist.
        searches: one for each way of searching.
        finalists: best first, by the scores that no choice has seen.
        unchanged: the base, scored as they are.
        samples: of training and validation.
        held_back: samples of test.
        seconds: of this process.
        run: the best as an ordinary run, or None.
        command: what trains the best as an ordinary run, for a shell; empty where the data is no
            file.
    """

    recipe: Recipe
    source: str
    space: Space
    metric: Metric
    folds: int
    seeds: int
    searches: Sequence[Searched]
    finalists: Sequence[Finalist]
    unchanged: Finalist
    samples: int
    held_back: int
    seconds: float
    run: Run | None
    command: str

    @property
    def trials(self) -> list[TrialRow]:
        return [row for search in self.searches for row in search.trials]

    @property
    def best_searched(self) -> Finalist:
        """The finalist whose trial scored highest."""
        return max(self.finalists, key=lambda finalist: finalist.searched)

    @property
    def winner(self) -> Finalist:
        """The best by the scores that no choice has seen; the base, where no trial beats it."""
        beaten = not self.finalists[0].scored.value > self.unchanged.scored.value
        return self.unchanged if beaten else self.finalists[0]

    @property
    def claimed(self) -> float | None:
        """By how much the best trial was better than the base; None where the base failed."""
        gain = self.best_searched.searched - self.unchanged.searched
        return None if math.isnan(gain) else gain

    @property
    def kept(self) -> float | None:
        """The same of that trial on folds and seeds that no choice has seen."""
        gain = self.best_searched.scored.value - self.unchanged.scored.value
        return None if math.isnan(gain) else gain

    @property
    def test(self) -> float | None:
        """Top-1 of the run on its test split; None without one."""
        if self.run is None or self.run.metrics.get("split") != "test":
            return None
        return float(self.run.metrics["top1"])

    def csv(self) -> str:
        """``trials.csv``: a row for each trial."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        keys = self.space.keys
        folds = [f"fold_{fold}" for fold in range(self.folds)]
        writer.writerow(
            ["search", "trial", *keys, "state", self.metric, *folds, "seconds", "error"]
        )
        sign = -1 if self.metric == "loss" else 1
        for row in self.trials:
            scores = [f"{sign * value:.6g}" for value in row.folds]
            value = "" if math.isnan(row.value) else f"{sign * row.value:.6g}"
            cells = [row.params.get(key, "") for key in keys]
            writer.writerow([
                row.search, row.number, *cells, row.state, value,
                *scores, *[""] * (self.folds - len(scores)), f"{row.seconds:.2f}", row.failed,
            ])  # fmt: skip
        return file.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "recipe": self.recipe.name,
            "source": self.source,
            "params": self.space.keys,
            "metric": self.metric,
            "folds": self.folds,
            "seeds": self.seeds,
            "samples": self.samples,
            "held_back": self.held_back,
            "searches": [
                {
                    "search": search.search,
                    "trials": len(search.trials),
                    "pruned": search.count("pruned"),
                    "failed": search.count("failed"),
                    "best": None if search.best is None else search.best.value,
                    "best_params": None if search.best is None else search.best.params,
                    "found_after": search.first_best,
                    "seconds": search.seconds,
                    "importance": dict(search.importance),
                }
                for search in self.searches
            ],
            "finalists": [
                {
                    "search": finalist.search,
                    "trial": finalist.number,
                    "params": finalist.params,
                    "searched": finalist.searched,
                    "scored_again": finalist.scored.value,
                }
                for finalist in self.finalists
            ],
            "unchanged": {
                "searched": _finite(self.unchanged.searched),
                "scored_again": _finite(self.unchanged.scored.value),
            },
            "gain_claimed": self.claimed,
            "gain_kept": self.kept,
            "best": self.winner.params,
            "test": self.test,
            "run": None if self.run is None else str(self.run.path),
            "command": self.command,
            "seconds": self.seconds,
        }


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
