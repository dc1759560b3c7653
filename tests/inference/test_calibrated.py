"""What evaluation says of the calibration, the sets and the refusal that a model brings."""

import json
from pathlib import Path

import numpy as np
import pytest

from frameflow.evaluation.abstain import Refusal
from frameflow.evaluation.calibration import Calibration
from frameflow.evaluation.predictions import read_predictions
from frameflow.evaluation.reliability import sample_losses
from frameflow.inference.evaluate import evaluate
from frameflow.models.recognizer import Recognizer


def settle(run: Path, calibration: Calibration, refusal: Refusal | None) -> None:
    settled = {
        "calibration": calibration.to_dict(),
        "refusal": refusal and refusal.to_dict(),
        "refusal_reason": "" if refusal else "Too few samples.",
    }
    Recognizer.load(run).save(run, extra=settled)


def test_an_older_run_is_scored_as_it_was(run: Path) -> None:
    metrics = evaluate(run, engine="torch")
    calibration = metrics["calibration"]
    assert calibration["method"] == "none"
    assert calibration["before"] == calibration["after"]
    assert metrics["refusal"] is None
    for reason in (calibration["reason"], metrics["refusal_reason"]):
        assert "train it again" in reason


def test_before_and_after_and_what_is_written_is_after(run: Path) -> None:
    old = evaluate(run, engine="torch")
    raw = read_predictions(run / "predictions.csv")
    calibration = Calibration("vector", (3.0, 2.0, 1.0), (0.0, 0.5, -0.5), "50 clips", 50)
    settle(run, calibration, None)
    metrics = evaluate(run, engine="torch")
    written = read_predictions(run / "predictions.csv")
    np.testing.assert_allclose(
        written.probabilities, calibration.apply(raw.probabilities), rtol=1e-3, atol=1e-6
    )
    found = metrics["calibration"]
    assert found["scale"] == [3.0, 2.0, 1.0]
    assert found["fitted_on"] == "50 clips"
    for figures, table in ((found["before"], raw), (found["after"], written)):
        loss = sample_losses(table.truth, table.probabilities).mean()
        assert figures["log_loss"] == pytest.approx(loss, rel=1e-4)
        hits = table.truth == table.probabilities.argmax(axis=1)
        assert figures["top1"] == pytest.approx(hits.mean())
        assert 0 <= figures["brier"] <= 2
        assert 0 <= figures["ece"] <= 1
        assert sum(entry["count"] for entry in figures["reliability"]) == len(table)
    assert found["before"]["log_loss"] == pytest.approx(old["log_loss"], rel=1e-6)
    assert found["after"]["log_loss"] == pytest.approx(metrics["log_loss"], rel=1e-6)
    assert metrics["refusal_reason"] == "Too few samples."


def test_coverage_and_accuracy_of_the_answered(run: Path) -> None:
    evaluate(run, engine="torch")
    table = read_predictions(run / "predictions.csv")
    top = np.sort(table.probabilities.max(axis=1))
    threshold = float((top[3] + top[4]) / 2)
    refusal = Refusal(0.2, 0.6, threshold, 0.95, None, 50, 12, "groups", "50 clips")
    settle(run, Calibration.identity(3), refusal)
    figures = evaluate(run, engine="torch")["refusal"]
    sets = refusal.sets(table.probabilities)
    assert figures["conformal"]["coverage"] == sets[np.arange(9), table.truth].mean()
    assert figures["conformal"]["mean_size"] == sets.sum(axis=1).mean()
    answered = table.probabilities.max(axis=1) > threshold
    hits = table.truth == table.probabilities.argmax(axis=1)
    assert figures["abstain"]["share_answered"] == answered.mean() == pytest.approx(5 / 9)
    assert figures["abstain"]["accuracy_answered"] == hits[answered].mean()
    low, high = figures["conformal"]["coverage_interval"]
    assert low <= figures["conformal"]["coverage"] <= high
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["refusal"] == figures


def test_several_labels_are_calibrated_one_by_one(run_of_sets: Path) -> None:
    evaluate(run_of_sets, engine="torch")
    raw = read_predictions(run_of_sets / "predictions.csv")
    calibration = Calibration("temperature", (2.0,) * 3, (0.0,) * 3, "50", 50, multilabel=True)
    settle(run_of_sets, calibration, None)
    metrics = evaluate(run_of_sets, engine="torch")
    written = read_predictions(run_of_sets / "predictions.csv")
    odds = raw.probabilities / (1 - raw.probabilities)
    np.testing.assert_allclose(written.probabilities, odds**2 / (1 + odds**2), rtol=1e-3)
    assert metrics["calibration"]["after"]["log_loss"] == pytest.approx(metrics["log_loss"])
