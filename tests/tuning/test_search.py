"""A search on tiny videos: what it sees, that it goes on, that processes share it."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.tuning.page import tune_page
from frameflow.tuning.results import TuneResult
from frameflow.tuning.search import tune
from frameflow.tuning.words import summary

FAST = [
    "streams.0.backbone=mobilenetv3_small_050",
    "streams.0.weights=none",
    "streams.0.size=64",
    "sampling.frames=4",
    "train.epochs=3",
    "evaluation.resamples=50",
]
LR = "train.lr=log:1e-3..1"


@pytest.fixture
def here(small_clips: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``manifest.csv``: the small clips with their splits."""
    monkeypatch.chdir(small_clips)
    return small_clips


def searched(here: Path, **options: Any) -> TuneResult:
    given: dict[str, Any] = {
        "params": [LR], "out": here / "tuned", "trials": 4, "folds": 2, "finalists": 2, "seeds": 1,
        "overrides": FAST, "engine": "torch", "refit": False, "search": ["random"],
    }  # fmt: skip
    found = tune(here / "manifest.csv", **(given | options))
    assert found is not None
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_test_split_is_not_looked_at(here: Path) -> None:
    manifest = Manifest.read(here / "manifest.csv")
    test = manifest.split("test")
    assert len(test)
    for sample in test:
        manifest.path(sample).write_bytes(b"whoever reads this fails")
    found = searched(here)
    assert found.samples == len(manifest) - len(test)
    assert found.held_back == len(test)
    assert [row.state for row in found.trials] == ["complete"] * 4
    assert found.test is None


def test_the_best_becomes_an_ordinary_run(here: Path) -> None:
    found = searched(here, refit=True, params=[LR, "head.name=mean,max"], search=["bayes"])
    assert found.run is not None
    assert found.run.is_finished
    assert found.test == found.run.metrics["top1"]
    params = found.winner.params
    if params:
        assert found.run.recipe.train.lr == pytest.approx(params["train.lr"])
        assert found.run.recipe.head.name == params["head.name"]
    again = searched(here, refit=True, params=[LR, "head.name=mean,max"], search=["bayes"])
    assert again.run is not None
    assert again.run.path == found.run.path
    said = json.loads((here / "tuned" / "tune.json").read_text(encoding="utf-8"))
    assert said["best"] == params
    assert said["test"] == found.test
    assert "looked at once" in " ".join(summary(found))


@pytest.mark.parametrize("search", ["tpe", "bayes"])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(here: Path, search: str) -> None:
    whole = searched(here, out=here / "whole", search=[search], trials=5)
    for trials in (2, 5):
        parts = searched(here, out=here / "parts", search=[search], trials=trials)
    assert [row.params for row in parts.trials] == [row.params for row in whole.trials]
    assert [row.value for row in parts.trials] == [row.value for row in whole.trials]
    assert parts.winner.params == whole.winner.params


def test_a_grid_is_tried_once_and_whole(here: Path) -> None:
    found = searched(here, search=["grid"], params=[f"{LR}/3", "head.name=mean,max"], trials=50)
    assert len(found.trials) == 6
    tried = {(round(math.log10(r.params["train.lr"]), 6), r.params["head.name"])
             for r in found.trials}  # fmt: skip
    assert tried == {(lr, head) for lr in (-3, -1.5, 0) for head in ("mean", "max")}


def test_several_searches_have_the_same_budget(here: Path) -> None:
    found = searched(here, search=["grid", "gp"], trials=3)
    assert [(s.search, len(s.trials)) for s in found.searches] == [("grid", 3), ("gp", 3)]
    assert {row["search"] for row in rows(here / "tuned")} == {"grid", "gp"}
    page = tune_page(found)
    assert "<script" not in page
    assert page.count("<svg") >= 3


def test_what_cannot_be_trained_is_a_row_with_its_reason(here: Path) -> None:
    overrides = [*FAST, "head.name=self-attention"]
    found = searched(
        here, params=["head.heads=1,3"], search=["grid"], trials=4, overrides=overrides
    )
    failed = [row for row in found.trials if row.state == "failed"]
    assert failed
    assert all(row.failed for row in failed)
    assert all(math.isnan(row.value) for row in failed)
    assert {row["error"] for row in rows(here / "tuned")} >= {failed[0].failed}
    assert found.finalists


def test_hopeless_trials_are_given_up(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frameflow.tuning import objective

    scores = iter([0.9] * 5 * 3 + [0.0] * 3)
    real = objective.score_fold

    def scored(*given: Any, **more: Any) -> Any:
        from dataclasses import replace

        score, found_rows, found = real(*given, **more)
        return replace(score, top1=next(scores, 0.5)), found_rows, found

    monkeypatch.setattr(objective, "score_fold", scored)
    found = searched(here, trials=6, folds=3)
    assert [row.state for row in found.trials] == ["complete"] * 5 + ["pruned"]
    assert len(found.trials[-1].folds) == 1
    assert all(finalist.number < 5 for finalist in found.finalists)


def test_the_gain_is_told_from_luck(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frameflow.tuning import objective, search, trials

    def scored(_: Any, recipe: Any, *, seeds: Any, **__: Any) -> Any:
        base = recipe.train.lr == 0.005
        value = (0.5 if base else 0.8) if list(seeds) == [0] else (0.5 if base else 0.55)
        return objective.Scored(value, (value, value), (1, 1), 0.1)

    for module in (search, trials):
        monkeypatch.setattr(module, "score_recipe", scored)
    found = searched(here)
    assert found.claimed == pytest.approx(0.3)
    assert found.kept == pytest.approx(0.05)
    assert "25.0 points were luck" in " ".join(summary(found))


def test_the_folder_of_another_search_is_refused(here: Path) -> None:
    searched(here, trials=1)
    with pytest.raises(UsageError, match="search with other params"):
        searched(here, trials=1, params=["train.lr=log:1e-3..0.5"])
    with pytest.raises(UsageError, match="search with other recipe"):
        searched(here, trials=1, overrides=[*FAST, "train.label_smoothing=0.1"])
    (here / "other").mkdir()
    (here / "other" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="other"):
        searched(here, out=here / "other")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"search": ["bays"]}, "Did you mean 'bayes'"),
        ({"search": ["grid", "grid"]}, "twice"),
        ({"params": []}, "Say what to search over"),
        ({"trials": 0}, "trials"),
        ({"folds": 1}, "folds"),
        ({"params": ["train.lrr=1..2"]}, "'lr'"),
    ],
)
def test_wrong_use_is_said(here: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        searched(here, **options)
    assert not (here / "tuned").exists()


def test_trials_share_their_folds(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frameflow.training import crossval

    asked, real = [], crossval.fold_splits

    def counted(manifest: Manifest, fold: int, **more: Any) -> Manifest:
        asked.append((fold, more["seed"]))
        return real(manifest, fold, **more)

    monkeypatch.setattr(crossval, "fold_splits", counted)
    searched(here, trials=3)
    seeds = [seed for _, seed in asked]
    assert len(asked) == len(set(asked)) == 4  # two folds of the trials, two of the finalists
    assert len(set(seeds)) == 2
