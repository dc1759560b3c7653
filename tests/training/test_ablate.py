"""Changes of a recipe: planned, trained once, judged on the same folds, the test left alone."""

import csv
import io
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, LeakError, UsageError
from frameflow.training import ablate as module
from frameflow.training.ablate import ablate
from frameflow.training.ablation_cells import Cell, cell_path, read_cell, write_cell
from frameflow.training.ablation_page import ablation_page
from frameflow.training.ablation_plan import plan, read_factor
from frameflow.training.ablation_results import AblationResult
from frameflow.training.ablation_words import main_table, notes, summary, variant_table
from frameflow.training.results import FoldScore

BASE = load_recipe("frozen-gru")


class TestPlan:
    def test_values_are_split_where_yaml_splits(self) -> None:
        assert read_factor("head=mean, gru").key == "head.name"
        assert read_factor("sampling=uniform").key == "sampling.strategy"
        assert read_factor("backbone=resnet18").key == "streams.0.backbone"
        assert read_factor("head={name: mean}, {name: gru, hidden: 4}").key == "head"
        assert read_factor("train.lr=1e-3,0.1").values == ["1e-3", 0.1]
        assert read_factor("train.patience=null,3").shown(0) == "null"
        parts = read_factor("train.learn=[], [{parts: [layer4, layer3], lr: 0.1}]")
        assert len(parts.values) == 2
        assert "layer3" in parts.shown(1)

    @given(st.lists(st.sampled_from(["a", "b-c", 3, 0.5, None, True, [1, 2], {"k": "v, w"}]),
                    min_size=1, max_size=5, unique_by=str))  # fmt: skip
    def test_an_override_brings_its_value(self, values: list[Any]) -> None:
        factor = read_factor("x.y=" + ", ".join(json.dumps(value) for value in values))
        assert list(factor.values) == values
        from frameflow._overrides import apply_override

        for place, value in enumerate(values):
            found: dict[str, Any] = {"x": {}}
            apply_override(found, factor.override(place))
            assert found["x"]["y"] == value

    def test_a_grid_has_the_base_once(self) -> None:
        factors = [read_factor("head=gru,mean"), read_factor("train.lr=0.001,0.01")]
        variants = plan(BASE, factors)
        assert [v.name for v in variants] == [
            "base",
            "head.name=gru, train.lr=0.01",
            "head.name=mean, train.lr=0.001",
            "head.name=mean, train.lr=0.01",
        ]
        assert variants[0].levels == {"head.name": "gru", "train.lr": "0.001"}
        assert variants[1].recipe is not None
        assert variants[1].recipe.head.options == BASE.head.options, "gru keeps its options"

    def test_one_at_a_time(self) -> None:
        factors = [read_factor("head=gru,mean"), read_factor("train.lr=0.01,0.1")]
        variants = plan(BASE, factors, one_at_a_time=True)
        names = ["base", "head.name=mean", "train.lr=0.01", "train.lr=0.1"]
        assert [variant.name for variant in variants] == names

    def test_a_base_outside_the_grid_stands_beside_it(self) -> None:
        variants = plan(BASE, [read_factor("head=mean,max")])
        assert [v.name for v in variants] == ["base", "head.name=mean", "head.name=max"]
        assert variants[0].levels == {}

    def test_a_combination_that_cannot_be_is_kept_with_its_reason(self) -> None:
        factors = [
            read_factor("augment={}, {crop: 0.5}"),
            read_factor("train.learn=[], [{parts: ['*']}]"),
        ]
        variants = plan(BASE, factors)
        faulty = [variant for variant in variants if variant.recipe is None]
        assert len(variants) == 4
        assert len(faulty) == 1
        assert "augment needs backbones that learn" in faulty[0].fault

    @pytest.mark.parametrize(
        ("over", "says"),
        [
            (["head"], "must read key=value"),
            (["head="], "must read key=value"),
            (["head=[mean"], "not valid YAML"),
            (["head=mean,mean"], "names a value twice"),
            (["head=mean", "head.name=gru"], "stands there twice"),
            (["head=grru,mean"], "gru"),
            (["head.hiden=3"], "no option 'hiden'"),
            (["train.lrr=3"], "unknown key"),
            (["train.epochs=0,3"], "train.epochs"),
            (["streams.7.size=3"], "no place"),
            ([], "Say what to change"),
        ],
    )
    def test_mistakes_are_told_before_any_work(self, over: list[str], says: str) -> None:
        with pytest.raises(UsageError, match=says):
            plan(BASE, [read_factor(text) for text in over])


def made(
    *,
    over: list[str],
    skill: Callable[[str], float],
    seeds: int = 3,
    groups: int = 20,
    luck: float = 0.0,
    fails: str = "",
    one_at_a_time: bool = False,
) -> AblationResult:
    """Answers drawn as a variant's skill says, without any training."""
    samples = [
        Sample(f"{i}.mp4", "abc"[i % 3], group=f"g{i % groups}" if groups else "", fold=i % 4)
        for i in range(120)
    ]
    manifest = Manifest(samples, "/")
    truth = np.arange(120) % 3
    variants = plan(BASE, [read_factor(text) for text in over], one_at_a_time=one_at_a_time)
    ease = np.random.default_rng(7).random(120)
    cells = {}
    for place, variant in enumerate(variants):
        for seed in range(seeds):
            if fails and fails in variant.name:
                cells[place, seed] = Cell.failure("it diverged")
                continue
            rng = np.random.default_rng([place, seed])
            share = skill(variant.name) + luck * rng.normal()
            right = ease < share
            right ^= rng.random(120) < 0.05
            predicted = np.where(right, truth, (truth + 1) % 3)
            scores = [
                FoldScore(f, seed, 30, float(right[f::4].mean()), 5, 3, 0.5) for f in range(4)
            ]
            loss = np.where(right, 0.2, 2.0)
            cells[place, seed] = Cell(scores, np.arange(120), predicted, loss, None, 1.0)
    return AblationResult(BASE, "made", variants, range(seeds), 4, manifest, 30, cells)


class TestResults:
    def test_what_helps_is_found_and_what_does_not_is_not(self) -> None:
        skills = {"base": 0.5, "head.name=mean": 0.5, "head.name=max": 0.9}
        found = made(over=["head=mean,max"], skill=skills.__getitem__)
        base, mean, best = found.rows
        assert base.effect is None
        assert base.mean == pytest.approx(0.5, abs=0.08)
        assert best.effect is not None
        assert mean.effect is not None
        assert best.mean is not None
        assert best.effect.value == pytest.approx(best.mean - (base.mean or 0))
        assert found.sure(best.corrected) is True
        assert found.sure(mean.corrected) is False
        assert any("More than chance better: head.name=max (+" in line for line in summary(found))
        assert base.sd_folds == pytest.approx(
            np.mean([[s.top1 for s in found.cells[0, k].scores] for k in range(3)], axis=0).std(
                ddof=1
            )
        )

    def test_luck_of_the_seeds_widens_the_interval(self) -> None:
        widths = []
        for luck in (0.0, 0.2):
            effect = made(over=["head=max"], skill=lambda _: 0.5, luck=luck).rows[1].effect
            assert effect is not None
            assert effect.bounds is not None
            widths.append(effect.bounds[1] - effect.bounds[0])
        assert widths[1] > 1.5 * widths[0]

    @settings(max_examples=10, deadline=None)
    @given(st.floats(0.1, 0.9), st.floats(0.1, 0.9))
    def test_main_effects_are_means_of_the_pairs(self, one: float, two: float) -> None:
        def skill(name: str) -> float:
            return one * ("max" in name) / 2 + two * ("0.01" in name) / 2

        found = made(over=["head=gru,max", "train.lr=0.001,0.01"], skill=skill, seeds=2)
        means = {tuple(v.levels.values()): row.mean for v, row in zip(found.variants, found.rows)}
        head, rate = found.main_effects
        assert (head.key, head.level, head.reference, head.pairs) == (
            "head.name",
            "max",
            "gru",
            2,
        )
        by_hand = np.mean([means["max", r] - means["gru", r] for r in ("0.001", "0.01")])
        assert head.effect.value == pytest.approx(by_hand)
        assert rate.key == "train.lr"

    def test_one_at_a_time_has_no_main_effects(self) -> None:
        over = ["head=mean,max", "train.lr=0.01"]
        assert not made(over=over, skill=lambda _: 0.5, one_at_a_time=True).main_effects

    def test_a_failed_variant_is_listed_and_the_others_judged(self) -> None:
        found = made(over=["head=mean,max"], skill=lambda _: 0.5, fails="mean")
        assert found.rows[1].mean is None
        assert found.failures == [("head.name=mean", "it diverged")]
        assert found.rows[2].effect is not None
        assert variant_table(found)[1][1][1] == "failed"
        assert "Failed: head.name=mean: it diverged" in notes(found)

    def test_a_failed_base(self) -> None:
        found = made(over=["head=mean"], skill=lambda _: 0.5, fails="base")
        assert "The base itself failed" in " ".join(summary(found))
        assert found.rows[1].effect is None
        json.dumps(found.to_dict(), allow_nan=False)

    @pytest.mark.parametrize(("groups", "seeds"), [(1, 1), (0, 1), (3, 2)])
    def test_few_groups_and_seeds_give_true_figures(self, groups: int, seeds: int) -> None:
        found = made(over=["head=mean"], skill=lambda _: 0.5, groups=groups, seeds=seeds)
        text = json.dumps(found.to_dict(), allow_nan=False) + ablation_page(found)
        assert "nan" not in text.lower()
        if groups == 1:
            assert variant_table(found)[1][1][7] == "cannot be said"
        if seeds == 1:
            assert any("With one seed" in note for note in notes(found))

    def test_the_files_hold_the_same(self) -> None:
        found = made(over=["head=mean,max", "train.lr=0.001,0.01"], skill=lambda _: 0.5)
        rows = list(csv.DictReader(io.StringIO(found.csv())))
        assert [row["variant"] for row in rows] == [v.name for v in found.variants]
        assert float(rows[1]["effect"]) == pytest.approx(found.rows[1].effect.value, abs=1e-5)  # type: ignore[union-attr]
        text = found.markdown()
        for row in main_table(found)[1]:
            assert f"| {row[0]} |" in text

    def test_long_names_are_told_apart_in_the_drawing(self) -> None:
        over = ["head=gru,bilstm-attention", "sampling=uniform,segments"]
        text = ablation_page(made(over=over, skill=lambda _: 0.5))
        assert "bilstm-attention, uniform</text>" in text
        assert "bilstm-attention, segments</text>" in text

    @pytest.mark.parametrize("width", [390, 1100])
    def test_the_page_opens(self, width: int, browser: Any, tmp_path: Path) -> None:
        long = "train.learn=[], [{parts: [layer4, layer3, layer2], epoch: 5, lr: 0.1}]"
        found = made(over=["head=gru,max", long], skill=lambda _: 0.5, fails="max, train.learn=[{")
        path = tmp_path / "ablation.html"
        path.write_text(ablation_page(found), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 800})
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.as_uri())
        assert page.locator("svg").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert "it diverged" in page.inner_text("main")
        assert not faults
        page.close()


def test_a_cell_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = made(over=["head=mean"], skill=lambda _: 0.5)
    path = cell_path(tmp_path, "abc", 3)
    write_cell(path, found.cells[0, 0], name="base")
    again = read_cell(path)
    assert again is not None
    assert (again.predicted == found.cells[0, 0].predicted).all()
    assert again.scores == found.cells[0, 0].scores
    path.write_text(path.read_text()[:-20])
    assert read_cell(path) is None
    assert read_cell(tmp_path / "none.json") is None


@pytest.fixture
def options(tiny: list[str], tmp_path: Path) -> dict[str, Any]:
    quick = [*tiny, "train.epochs=2"]
    return {"overrides": quick, "engine": "torch", "folds": 2, "seeds": 1, "out": tmp_path / "abl"}


class TestTraining:
    def test_the_test_split_is_never_read(self, manifest: Manifest, options: Any) -> None:
        for sample in manifest.split("test"):
            (manifest.root / sample.video).unlink()
        found = ablate(manifest, over=["head=mean,max"], **options)
        assert found.held_back == len(manifest.split("test"))
        assert not found.failures
        assert len(found.manifest) == len(manifest) - found.held_back
        held = {sample.group for sample in manifest.split("test")}
        assert not held & {sample.group for sample in found.manifest}
        files = {path.name for path in options["out"].iterdir()}
        assert {"ablation.csv", "ablation.md", "ablation.html", "ablation.json"} <= files
        assert (
            f"{found.held_back} samples of the test split were not looked at" in summary(found)[0]
        )

    def test_a_manifest_without_splits_loses_the_test_that_train_would_cut(
        self, manifest: Manifest, options: Any
    ) -> None:
        from frameflow.data.splits import split_manifest

        plain = manifest.replace(replace(sample, split="") for sample in manifest)
        found = ablate(plain, over=["head=mean,max"], **options)
        recipe = found.recipe
        cut = split_manifest(plain, val=recipe.split.val, test=recipe.split.test, seed=0)
        test = {sample.video for sample in cut.split("test")}
        assert test
        assert {s.video for s in found.manifest} == {s.video for s in plain} - test

    def test_stopped_it_goes_on_to_the_same_numbers(
        self, manifest: Manifest, options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over = ["head=mean,max"]
        whole = ablate(manifest, over=over, **(options | {"out": tmp_path / "whole"}))
        real, calls = module.study, []

        def killed(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(module, "study", killed)
        with pytest.raises(KeyboardInterrupt):
            ablate(manifest, over=over, **options)
        assert len(list((options["out"] / "cells").iterdir())) == 1
        found = ablate(manifest, over=over, **options)
        assert len(calls) == 3, "the first is not trained again"
        for key, cell in whole.cells.items():
            assert (found.cells[key].predicted == cell.predicted).all()
            assert found.cells[key].loss == pytest.approx(cell.loss, abs=1e-6)
        assert [row.effect for row in found.rows] == [row.effect for row in whole.rows]

    def test_more_changes_and_seeds_are_added(
        self, manifest: Manifest, options: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        ablate(manifest, over=["head=mean,max"], **options)
        caplog.set_level(logging.INFO, logger="frameflow")
        more = ablate(manifest, over=["head=mean,max,gru"], **(options | {"seeds": 2}))
        assert "2 of 6 trainings are done already" in caplog.text
        assert more.rows[0].seeds == 2

    def test_another_recipe_or_data_is_refused(self, manifest: Manifest, options: Any) -> None:
        over = ["head=mean,max"]
        ablate(manifest, over=over, **options)
        other = options | {"overrides": [*options["overrides"], "train.lr=0.5"]}
        with pytest.raises(UsageError, match="another recipe"):
            ablate(manifest, over=over, **other)
        with pytest.raises(UsageError, match="another data or other folds"):
            ablate(manifest, over=over, **(options | {"folds": 3}))
        (options["out"] / "plan.json").write_text("{")
        with pytest.raises(UsageError, match="is damaged"):
            ablate(manifest, over=over, **options)
        (options["out"] / "plan.json").unlink()
        with pytest.raises(UsageError, match="is not empty"):
            ablate(manifest, over=over, **options)

    def test_what_fails_is_told_and_the_rest_goes_on(
        self, manifest: Manifest, options: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = module.study

        def failing(samples: Any, recipe: Any, *rest: Any) -> Any:
            if recipe.head.name == "max":
                raise FrameFlowError("the loss became nan: the training diverged.\nLower train.lr.")
            if recipe.head.name == "gru":
                raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
            return real(samples, recipe, *rest)

        monkeypatch.setattr(module, "study", failing)
        found = ablate(manifest, over=["head=max,gru,average"], **options)
        assert [name for name, _ in found.failures] == ["head.name=max", "head.name=gru"]
        assert "diverged. Lower train.lr." in found.failures[0][1]
        assert "RuntimeError: mat1" in found.failures[1][1]
        assert found.rows[3].effect is not None

    def test_features_are_computed_once(
        self, manifest: Manifest, options: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="frameflow")
        (manifest.root / manifest[0].video).write_bytes(
            (manifest.root / manifest[1].video).read_bytes()
        )
        ablate(manifest, over=["head=mean,max,gru"], **options)
        assert caplog.text.count("Computing features") <= 1

    def test_unreadable_videos_count_for_none(self, manifest: Manifest, options: Any) -> None:
        first = manifest.split("train")[0]
        (manifest.root / first.video).write_bytes(b"")
        options["overrides"] = [*options["overrides"], "max_bad=0.3"]
        found = ablate(manifest, over=["head=mean,max"], **options)
        assert len(found.cells[0, 0].rows) == len(found.manifest) - 1
        assert any("1 sample could not be read" in note for note in notes(found))

    def test_a_leaking_test_split_is_refused(self, manifest: Manifest, options: Any) -> None:
        leaky = manifest.replace(
            replace(s, split="test" if i % 2 else "train") for i, s in enumerate(manifest)
        )
        with pytest.raises(LeakError, match="LEAKY SPLIT"):
            ablate(leaky, over=["head=mean,max"], **options)

    def test_several_labels(self, manifest: Manifest, options: Any) -> None:
        both = manifest.replace(
            replace(s, label="a|b" if i % 3 == 0 else "a" if i % 3 == 1 else "none")
            for i, s in enumerate(manifest)
        )
        options["overrides"] = [*options["overrides"], "multilabel=true"]
        found = ablate(both, over=["head=mean,max"], **options)
        assert found.headline == "map"
        assert "mean average precision" in variant_table(found)[0]
        assert found.rows[0].sd_folds is None
        assert "nan" not in ablation_page(found).lower()
