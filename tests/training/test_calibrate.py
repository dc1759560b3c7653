"""A trained run knows what its probabilities are worth, from samples that did not teach it."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation.calibration import Calibration
from frameflow.evaluation.predictions import read_predictions
from frameflow.inference.predictor import Prediction, load
from frameflow.models.recognizer import Recognizer
from frameflow.training import calibrate as module
from frameflow.training import crossval
from frameflow.training.calibrate import HeldOut, settle
from frameflow.training.crossval import Samples
from frameflow.training.pipeline import resume, train
from frameflow.training.run import Run


@pytest.fixture
def whole(manifest: Manifest) -> Manifest:
    """Four groups of each class to learn from, one to test on, and no validation."""
    return manifest.where(lambda sample: sample.split != "val")


def extra(run: Run) -> dict[str, Any]:
    return dict(Recognizer.load(run.path).extra)


def test_without_validation_inner_folds_of_the_training_samples_are_predicted(
    whole: Manifest,
    tiny: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, logger="frameflow")
    seen: list[Manifest] = []
    real = module.__dict__["_study"]

    def study(recognizer: Any, samples: Manifest, *others: Any) -> np.ndarray:
        seen.append(samples)
        return np.asarray(real(recognizer, samples, *others))

    monkeypatch.setattr(module, "_study", study)
    changes = [*tiny, "split.val=0", "calibration.folds=4", "calibration.method=temperature"]
    run = train(whole, overrides=changes, out=tmp_path / "run", engine="torch")
    (held,) = seen
    assert {sample.split for sample in held} == {"train"}, "the test split is not touched"
    kept = extra(run)
    assert kept["calibration"]["method"] == "temperature"
    assert kept["calibration"]["samples"] == len(run.manifest.split("train"))
    assert "predicted without its fold of 4" in kept["calibration"]["fitted_on"]
    assert "of 4 groups" in kept["calibration"]["fitted_on"]
    assert kept["refusal"]["units"] == 4
    assert "Training the head on 4 inner folds" in caplog.text
    assert "inner folds took" in caplog.text
    assert "log loss" in caplog.text
    assert "too few for sets at an error rate of 0.1" in caplog.text

    metrics = run.metrics
    before, after = metrics["calibration"]["before"], metrics["calibration"]["after"]
    assert before["log_loss"] != after["log_loss"]
    assert metrics["log_loss"] == pytest.approx(after["log_loss"], abs=1e-6)
    assert metrics["refusal"]["conformal"]["coverage"] == 1, "every label is in every set"
    assert metrics["refusal"]["samples"] == kept["calibration"]["samples"]

    # What is written and what is said later is calibrated, and the same.
    written = read_predictions(run.path / "predictions.csv")
    predictor = load(run.path, engine="torch")
    sample = run.manifest.split("test")[0]
    said = predictor.predict(run.manifest.path(sample))
    assert isinstance(said, Prediction)
    np.testing.assert_allclose(said.probabilities, written.probabilities[0], rtol=1e-4, atol=1e-6)
    assert set(said.set or ()) == set(predictor.labels)
    assert not said.abstained


def test_folds_are_of_groups(whole: Manifest, tiny: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    folds: list[Samples] = []
    real = crossval.study

    def study(samples: Samples, *others: Any) -> Any:
        folds.append(samples)
        return real(samples, *others)

    monkeypatch.setattr(crossval, "study", study)
    changes = [*tiny, "split.val=0", "train.epochs=2", "calibration.folds=2"]
    train(whole, overrides=changes, out=tmp_path / "run", engine="torch")
    (samples,) = folds
    found = {(sample.group, sample.fold) for sample in samples.manifest}
    assert len(found) == len({group for group, _ in found}) == 4
    assert {fold for _, fold in found} == {0, 1}


def test_with_validation_its_predictions_are_used(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    splits = {"g1": "train", "g2": "train", "g3": "val", "g4": "val", "g5": "val", "g6": "val"}
    parted = manifest.replace(replace(sample, split=splits[sample.group]) for sample in manifest)
    kept = extra(train(parted, overrides=tiny, out=tmp_path / "run", engine="torch"))
    assert kept["calibration"]["samples"] == 24
    assert kept["calibration"]["fitted_on"] == "24 validation samples of 4 groups"
    assert kept["refusal"]["samples"] == 24


def test_a_run_stopped_before_it_was_saved_has_the_same_calibration(
    whole: Manifest, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [*tiny, "split.val=0", "train.epochs=8"]
    expected = train(whole, overrides=changes, out=tmp_path / "whole", engine="torch")

    class Stopped(BaseException):
        pass

    def stop(*_: Any, **__: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(module, "settle", stop)
        with pytest.raises(Stopped):
            train(whole, overrides=changes, out=tmp_path / "broken", engine="torch")
    assert not (tmp_path / "broken" / "model.json").exists()
    found = resume(tmp_path / "broken", engine="torch")
    for name in ("calibration", "refusal", "refusal_reason"):
        assert extra(found)[name] == extra(expected)[name]
    assert expected.metrics["calibration"] == found.metrics["calibration"]
    one, other = (run.path / "predictions.csv" for run in (expected, found))
    assert one.read_bytes() == other.read_bytes()


def test_where_nothing_may_be_answered_card_and_report_say_so(
    whole: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    changes = [*tiny, "split.val=0", "train.epochs=2", "calibration.abstain_error=0.01"]
    run = train(whole, overrides=changes, out=tmp_path / "run", engine="torch")
    assert run.metrics["refusal"]["abstain"]["threshold"] is None
    assert "It answers nothing" in (run.path / "README.md").read_text(encoding="utf-8")
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "none: no threshold keeps the errors to 0.01" in report


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["calibration.folds=0"], "calibration.folds"),
        (["train.learn=[{parts: ['*']}]", "streams.0.cut=layer3"], "no validation sample"),
    ],
)
def test_no_calibration_and_why(
    whole: Manifest, tiny: list[str], tmp_path: Path, changes: list[str], reason: str
) -> None:
    options = [*tiny, "split.val=0", "train.epochs=1", *changes]
    run = train(whole, overrides=options, out=tmp_path / "run", engine="torch")
    kept = extra(run)
    assert kept["calibration"]["method"] == "none"
    assert reason in kept["calibration"]["reason"]
    assert kept["refusal"] is None
    assert run.metrics["refusal"] is None
    assert reason in run.metrics["refusal_reason"]
    said = load(run.path, engine="torch").predict(run.manifest.path(run.manifest[0]))
    assert isinstance(said, Prediction)
    assert said.set is None
    assert not said.abstained
    assert "set" not in said.to_dict()


def test_one_group_or_few_samples(whole: Manifest, tiny: list[str], tmp_path: Path) -> None:
    few = whole.where(lambda sample: sample.group in ("g1", "g6"))
    changes = [*tiny, "split.val=0", "train.epochs=1"]
    kept = extra(train(few, overrides=changes, out=tmp_path / "run", engine="torch"))
    assert "too few" in kept["calibration"]["reason"]


def test_several_labels_have_a_calibration_and_no_sets(
    whole: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    changes = [*tiny, "split.val=0", "multilabel=true", "calibration.method=temperature"]
    run = train(whole, overrides=changes, out=tmp_path / "run", engine="torch")
    kept = Calibration.from_dict(extra(run)["calibration"])
    assert kept.multilabel
    assert kept.method == "temperature"
    assert run.metrics["refusal"] is None
    assert "several labels" in run.metrics["refusal_reason"]
    after = run.metrics["calibration"]["after"]
    assert after["log_loss"] == pytest.approx(run.metrics["log_loss"])


def test_a_label_without_training_samples_has_no_share(
    whole: Manifest, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 10)
    found: list[HeldOut] = []

    def settle(held: HeldOut, *_: object) -> dict[str, Any]:
        found.append(held)
        return {}

    monkeypatch.setattr(module, "settle", settle)
    left = whole.where(lambda sample: sample.label != "green, dark" or sample.split == "test")
    more = [*tiny, "split.val=0", "train.epochs=2", "calibration.folds=2"]
    train(left, overrides=more, out=tmp_path / "run", engine="torch")
    shares = found[0].probabilities
    assert shares.shape == (16, 3)
    assert (shares[:, 1] == 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_the_recipe_decides(tiny: list[str]) -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "b", "c"]
    logits = 2 * rng.normal(size=(200, 3))
    truth = (logits + rng.gumbel(size=(200, 3))).argmax(axis=1)
    said = np.exp(4 * logits)
    said /= said.sum(axis=1, keepdims=True)
    samples = [Sample(f"{i}.mp4", labels[t], group=f"g{i // 4}") for i, t in enumerate(truth)]
    held = HeldOut(samples, said, "200 of them")
    usual = settle(held, load_recipe("default", tiny), labels)
    assert usual["calibration"]["temperature"] == pytest.approx(4, rel=0.3)
    assert usual["refusal"]["answered"] == 0.95
    none = settle(held, load_recipe("default", [*tiny, "calibration.method=none"]), labels)
    assert none["calibration"]["method"] == "none"
    assert none["refusal"]["quantile"] > usual["refusal"]["quantile"], "too sure: more surprises"
    strict = ["calibration.abstain_error=0.3", "calibration.alpha=0.3"]
    found = settle(held, load_recipe("default", [*tiny, *strict]), labels)["refusal"]
    assert (found["at_error"], found["answered"], found["alpha"]) == (0.3, None, 0.3)
    assert found["threshold"] > usual["refusal"]["threshold"]
    json.dumps(found, allow_nan=False)
