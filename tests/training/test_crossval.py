"""Folds: scored once, by group; what leaks is shown."""

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from torch import nn

from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import LeakError, UsageError
from frameflow.evaluation.predictions import read_predictions
from frameflow.training.crossval import Samples, _random_folds, crossval, study
from frameflow.training.examples import ArrayFeatures
from frameflow.training.learning import Stored

RECIPE = load_recipe(
    "default",
    ["head.name=mean", "train.epochs=25", "train.lr=0.02", "train.batch_size=32"],
)


def made(*, signal: float, scene: float, views: int = 1) -> Samples:
    """3 classes, 30 scenes of one class each, 6 clips a scene; features show class and scene."""
    rng = np.random.default_rng(0)
    classes, scenes = rng.normal(size=(3, 24)), rng.normal(size=(30, 24))
    samples, features = [], []
    for number in range(30):
        for clip in range(6):
            group = f"g{number}"
            samples.append(
                Sample(f"{number}-{clip}.mp4", f"c{number % 3}", group=group, fold=number // 3 % 5)
            )
            centre = signal * classes[number % 3] + scene * scenes[number]
            features.append(centre + 0.3 * rng.normal(size=(views, 4, 24)))
    array = Stored(ArrayFeatures(np.stack(features, axis=1).astype(np.float16)))
    return Samples(Manifest(samples, "/"), array, array, [Backbone24()])


class Backbone24(nn.Module):
    """What made the features, as far as a head needs to know."""

    dim = 24

    def steps(self, frames: int) -> int:
        return frames


def test_what_can_be_learned_is_and_each_sample_is_scored_once() -> None:
    samples = made(signal=1.0, scene=0.3, views=2)
    steps: list[int] = []
    found = study(samples, RECIPE, [0, 1], lambda: steps.append(1))
    assert found.mean > 0.9
    assert len(steps) == len(found.scores) == 10
    for seed in (0, 1):
        assert sum(score.samples for score in found.scores if score.seed == seed) == 180
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    weights = [score.samples / 360 for score in found.scores]
    pooled = np.dot(weights, [score.top1 for score in found.scores])
    assert found.hits.mean() == pytest.approx(pooled)


def test_the_same_twice_and_other_seeds_differ() -> None:
    samples = made(signal=0.4, scene=1.0)
    one, two = study(samples, RECIPE, [3]), study(samples, RECIPE, [3])
    assert (one.probabilities == two.probabilities).all()
    assert (study(samples, RECIPE, [4]).probabilities != one.probabilities).any()


def test_random_clip_folds_claim_what_the_scene_gives_away() -> None:
    samples = made(signal=0.0, scene=1.0)
    held_out = study(samples, RECIPE, [0])
    random = study(_random_folds(samples, 5, multilabel=False), RECIPE, [0])
    assert held_out.mean < 0.55
    assert random.mean > held_out.mean + 0.25


def test_a_test_fold_changes_nothing_of_its_training() -> None:
    """The probabilities of a fold do not depend on the labels of that fold."""
    samples = made(signal=1.0, scene=0.3)
    turned = samples.manifest.replace(
        Sample(s.video, "c0" if s.fold == 2 else s.label, group=s.group, fold=s.fold)
        for s in samples.manifest
    )
    rows = [i for i, sample in enumerate(turned) if sample.fold == 2]
    one = study(samples, RECIPE, [0]).probabilities[rows]
    two = study(replace(samples, manifest=turned), RECIPE, [0])
    assert (one == two.probabilities[rows]).all()


def test_one_fold_is_none() -> None:
    samples = made(signal=1.0, scene=0.3)
    one = samples.manifest.replace(
        Sample(s.video, s.label, group=s.group, fold=0) for s in samples.manifest
    )
    with pytest.raises(UsageError, match="two folds or more, not 1"):
        study(replace(samples, manifest=one), RECIPE, [0])


def test_from_videos_to_tables(
    manifest: Manifest, tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="frameflow")
    (manifest.root / manifest[0].video).write_bytes(b"")
    out = tmp_path / "cv"
    options = {"overrides": [*tiny, "max_bad=0.2"], "engine": "torch", "folds": 3}
    result = crossval(manifest, **options, seeds=2, leak_study=True, out=out)
    assert result.samples == 35
    assert result.groups == 6
    assert [bad["video"] for bad in result.bad_videos] == [manifest[0].video]
    written = json.loads((out / "crossval.json").read_text())
    assert written["top1"] == pytest.approx(result.top1)
    assert written["top1_of_seed"].keys() == {"0", "1"}
    inflation = written["random_clips"]["top1"] - written["top1"]
    assert written["inflation"]["points"] == pytest.approx(100 * inflation)
    low, high = written["intervals"]["top1"]
    assert low <= written["pooled_top1"] <= high
    header, rows = result.table()
    assert header == ["test folds", "fold", "samples", "seed 0", "seed 1", "mean"]
    assert [row[1] for row in rows] == ["0", "1", "2", "mean", "sd over folds"] * 2
    with (out / "crossval.csv").open() as file:
        assert len(list(csv.reader(file))) == 11
    assert "random folds of clips the same recipe claims" in (out / "crossval.md").read_text()
    assert "are means over the seeds and not calibrated" in (out / "crossval.md").read_text()
    assert written["calibrated"] is False
    assert len(Manifest.read(out / "manifest.csv")) == 35
    for sample in read_predictions(out / "predictions.csv").samples:
        assert (out / sample.video).is_file(), "paths start from the folder they are in"
    low, high = written["inflation"]["interval"]
    assert low <= written["inflation"]["pooled_points"] <= high
    assert "new groups" in (out / "crossval.html").read_text()
    assert caplog.text.count("Computing features") == 1  # once for all folds, views and seeds
    with pytest.raises(UsageError, match="not empty"):
        crossval(manifest, **options, out=out)


def test_several_labels_have_the_mean_average_precision_of_all_clips(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    both = manifest.replace(
        replace(sample, label=f"{sample.label}|seen" if index % 3 else sample.label)
        for index, sample in enumerate(manifest)
    )
    out = tmp_path / "cv"
    changes = [*tiny, "multilabel=true", "evaluation.resamples=100"]
    result = crossval(both, overrides=changes, engine="torch", folds=3, out=out)
    kept = read_predictions(out / "predictions.csv")
    expected = average_precision_score(kept.targets, kept.probabilities)
    pooled = json.loads((out / "crossval.json").read_text())["pooled_sets"]
    assert pooled["map"] == pytest.approx(expected, abs=1e-3)  # the file has six digits
    low, high = pooled["intervals"]["map"]
    assert low <= pooled["map"] <= high
    assert (
        f"Mean average precision {pooled['map']:.3f} (95 % interval {low:.3f}" in result.summary()
    )


def test_groups_in_two_folds_are_refused(manifest: Manifest, tiny: list[str]) -> None:
    leaky = manifest.replace(
        Sample(s.video, s.label, group=s.group, fold=index % 2) for index, s in enumerate(manifest)
    )
    with pytest.raises(LeakError, match="LEAKY SPLIT"):
        crossval(leaky, overrides=tiny)
    assert "LEAKY SPLIT" in crossval(leaky, overrides=tiny, allow_leak=True).summary()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds"),
        ({"folds": 1}, "folds"),
        ({"folds": 50}, "50 folds"),
        ({"classes": "1"}, "two classes"),
    ],
)
def test_wrong_use(manifest: Manifest, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        crossval(manifest, **options)


@pytest.mark.parametrize("cut", ["null", "layer2"])
def test_what_a_fold_learns_does_not_reach_the_next(
    cut: str, videos: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds give the same, whatever was trained before them."""
    from frameflow.training import crossval as module

    options = ["train.learn=[{parts: ['*'], lr: 1.0}]", "train.epochs=2", "split.val=0"]
    seen: list[Samples] = []
    real = module.study
    monkeypatch.setattr(module, "study", lambda s, *rest: seen.append(s) or real(s, *rest))
    first = crossval(videos, folds=3, overrides=[*tiny, *options, f"streams.0.cut={cut}"])
    before = {k: v.clone() for k, v in seen[0].backbones[0].model.state_dict().items()}
    again = real(seen[0], first.recipe, [0])
    assert np.array_equal(first.held_out.probabilities, again.probabilities)
    after = seen[0].backbones[0].model.state_dict()
    assert all((before[key] == after[key]).all() for key in before)
