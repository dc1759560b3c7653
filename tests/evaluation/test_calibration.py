"""Calibrated probabilities: never worse where they were fitted, and the same order."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.evaluation.calibration import (
    FEW,
    Calibration,
    Method,
    cross_fitted,
    fit_calibration,
    folds_of,
)
from frameflow.evaluation.reliability import sample_losses

SEEDS = st.integers(0, 2**32 - 1)


def draw(
    seed: int, samples: int = 120, classes: int = 4, *, sure: float = 1.0, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn from true probabilities, and a model that says them too surely and shifted."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(samples, classes))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    said = np.exp(sure * logits + shift * np.arange(classes))
    return truth, said / said.sum(axis=1, keepdims=True)


def draw_sets(seed: int, samples: int = 150, *, sure: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(samples, 3))
    truth = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    return truth, 1 / (1 + np.exp(-sure * logits))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from(["temperature", "vector", "auto"]), st.floats(0.1, 8))
def test_never_worse_where_it_was_fitted(seed: int, method: Method, sure: float) -> None:
    for truth, said in (draw(seed, sure=sure, shift=0.3), draw_sets(seed, sure=sure)):
        fitted = fit_calibration(truth, said, method)
        after = sample_losses(truth, fitted.apply(said)).mean()
        assert after <= sample_losses(truth, said).mean() + 1e-9


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.06, 15))
def test_temperature_keeps_the_order(seed: int, scale: float) -> None:
    _, said = draw(seed, 20)
    found = Calibration("temperature", (scale,) * 4, (0.0,) * 4).apply(said)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    ranked = np.take_along_axis(found, np.argsort(said, axis=1), axis=1)
    assert (np.diff(ranked, axis=1) >= 0).all()
    assert (found.argmax(axis=1) == said.argmax(axis=1)).all()


@pytest.mark.parametrize("sure", [0.4, 2.5])
def test_a_temperature_is_found_again(sure: float) -> None:
    truth, said = draw(1, 4000, sure=sure)
    fitted = fit_calibration(truth, said)
    assert fitted.method == "temperature"
    assert fitted.temperature == pytest.approx(sure, rel=0.1)
    truth, said = draw(2, 4000, sure=sure)
    fair = np.log(draw(2, 4000)[1])
    np.testing.assert_allclose(np.log(fitted.apply(said)), fair, atol=1.2)
    assert sample_losses(truth, fitted.apply(said)).mean() < sample_losses(truth, said).mean()


def test_vector_scaling_where_classes_differ_and_none_where_nothing_is_wrong() -> None:
    truth, said = draw(3, 2000, sure=1.5, shift=0.8)
    fitted = fit_calibration(truth, said)
    assert fitted.method == "vector"
    np.testing.assert_allclose(np.diff(fitted.bias), -0.8 / 1.5, atol=0.15)
    truth, said = draw(4, 2000)
    none = fit_calibration(truth, said)
    assert none.method == "none"
    assert "clearly better" in none.reason
    assert none.apply(said) is said


def test_each_label_of_several_has_its_own_probability() -> None:
    truth, said = draw_sets(5, 3000, sure=3)
    fitted = fit_calibration(truth, said)
    assert fitted.multilabel
    assert fitted.temperature == pytest.approx(3, rel=0.15)
    assert ((fitted.apply(said) > 0.5) == (said > 0.5)).all()


def test_twenty_hits_are_no_certainty() -> None:
    said = np.tile([0.6, 0.4], (FEW, 1))
    fitted = fit_calibration(np.zeros(FEW, dtype=int), said, "temperature")
    assert 0.6 < fitted.apply(said)[0, 0] < 0.95


@pytest.mark.parametrize(
    ("samples", "groups", "method", "reason"),
    [
        (FEW - 1, None, "auto", "too few"),
        (FEW, ["one"] * FEW, "auto", "one group"),
        (FEW, None, "none", "asks for none"),
    ],
)
def test_none_with_the_reason(
    samples: int, groups: list[str] | None, method: str, reason: str
) -> None:
    truth, said = draw(6, samples, sure=4)
    found = fit_calibration(truth, said, method, groups, fitted_on="these")  # type: ignore[arg-type]
    assert found.method == "none"
    assert reason in found.reason
    assert (found.samples, found.fitted_on) == (samples, "these")


def test_certain_mistakes_and_equal_probabilities_stay_finite() -> None:
    truth = np.arange(40) % 2
    certain = np.tile([1.0, 0.0], (40, 1)).astype(np.float32)
    for said in (certain, np.full((40, 2), 0.5)):
        for method in ("temperature", "vector"):
            fitted = fit_calibration(truth, said, method)
            assert np.isfinite(fitted.apply(said)).all()
            assert fitted.apply(said).dtype == said.dtype
            json.dumps(fitted.to_dict(), allow_nan=False)


def test_saved_and_read_back_it_is_the_same() -> None:
    truth, said = draw(7, sure=3, shift=1)
    for method in ("none", "temperature", "vector"):
        fitted = fit_calibration(truth, said, method, fitted_on="120 clips")
        again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
        assert again == fitted
        assert (again.apply(said) == fitted.apply(said)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"scale": []},
        {"scale": [0.0] * 4},
        {"scale": ["wide"] * 4},
        {"bias": [float("nan")] * 4},
        {"method": "magic"},
        {"scale": None},
    ],
)
def test_a_damaged_one_is_said(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="damaged"):
        Calibration.from_dict(Calibration.identity(4).to_dict() | change)
    with pytest.raises(UsageError, match="3 classes"):
        Calibration.identity(4).apply(np.ones((1, 3)) / 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(1, 6), SEEDS)
def test_folds_keep_groups_together(groups: list[str], folds: int, seed: int) -> None:
    number = folds_of(groups, len(groups), folds, seed)
    for name in set(groups):
        assert len({number[i] for i, group in enumerate(groups) if group == name}) == 1
    assert len(set(number)) == min(folds, len(set(groups)))


def test_a_fold_is_calibrated_without_its_own_samples() -> None:
    truth, said = draw(8, sure=3)
    groups = [f"g{i // 3}" for i in range(120)]
    found = cross_fitted(truth, said, "vector", groups)
    number = folds_of(groups, 120, 5)
    changed = np.where(number == 2, (truth + 1) % 4, truth)
    again = cross_fitted(changed, said, "vector", groups)
    assert (again[number == 2] == found[number == 2]).all()
    assert not np.allclose(again[number != 2], found[number != 2])
