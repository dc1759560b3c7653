"""Calibration figures agree with scikit-learn and obey their laws."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from frameflow.errors import UsageError
from frameflow.evaluation.reliability import (
    brier,
    calibration_error,
    expected_calibration_error_if_perfect,
    log_loss,
    reliability,
    reliability_bins,
)

Problem = tuple[np.ndarray, np.ndarray]


def some(samples: int, classes: int, *, seed: int = 0, digits: int = 12) -> Problem:
    """Truth drawn from the probabilities, which are rounded: few digits make ties."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.5), samples)
    truth = (rng.random(samples)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    return np.minimum(truth, classes - 1), np.round(p, digits)


problems = st.builds(
    some,
    st.integers(1, 200),
    st.integers(2, 6),
    seed=st.integers(0, 2**31),
    digits=st.sampled_from([1, 12]),
)


@pytest.mark.parametrize(("samples", "classes"), [(300, 7), (500, 101), (5, 3), (40, 2)])
def test_agrees_with_scikit_learn(samples: int, classes: int) -> None:
    truth, p = some(samples, classes)
    expected = reference.log_loss(truth, np.clip(p, 1e-12, 1), labels=np.arange(classes))
    assert log_loss(truth, p) == pytest.approx(expected, abs=1e-6)
    one_hot = np.eye(classes)[truth]
    columns = [
        reference.brier_score_loss(one_hot[:, k], p[:, k], pos_label=1) for k in range(classes)
    ]
    assert brier(truth, p) == pytest.approx(np.sum(columns))


def test_two_classes_have_twice_the_binary_brier_score() -> None:
    truth, p = some(60, 2)
    assert brier(truth, p) == pytest.approx(2 * reference.brier_score_loss(truth, p[:, 1]))


def test_bins_are_those_of_scikit_learns_calibration_curve() -> None:
    truth, p = some(600, 5)
    right, sure = p.argmax(axis=1) == truth, p.max(axis=1)
    shares, stated = calibration_curve(right, sure, n_bins=15, strategy="quantile")
    found = reliability_bins(truth, p)
    assert [one["count"] for one in found] == [40] * 15
    assert [one["accuracy"] for one in found] == pytest.approx(shares)
    assert [one["confidence"] for one in found] == pytest.approx(stated)
    assert calibration_error(truth, p) == pytest.approx(np.abs(shares - stated).mean())


def test_each_label_has_a_probability_of_its_own() -> None:
    rng = np.random.default_rng(3)
    p = rng.random((80, 4))
    truth = rng.random((80, 4)) < p
    flat, shares = truth.ravel(), np.stack([1 - p.ravel(), p.ravel()], axis=1)
    assert log_loss(truth, p) == pytest.approx(reference.log_loss(flat, shares))
    assert brier(truth, p) == pytest.approx(reference.brier_score_loss(flat, p.ravel()))
    said, stated = calibration_curve(flat, p.ravel(), n_bins=10, strategy="quantile")
    assert calibration_error(truth, p, bins=10) == pytest.approx(np.abs(said - stated).mean())


@given(problems, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_order_of_the_samples_does_not_matter(problem: Problem, seed: int) -> None:
    truth, p = problem
    order = np.random.default_rng(seed).permutation(len(truth))
    first, second = reliability(truth, p), reliability(truth[order], p[order])
    for one, other in zip(first.pop("reliability"), second.pop("reliability"), strict=True):
        assert other == pytest.approx(one)
    assert second == pytest.approx(first)


@given(problems, st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_laws(problem: Problem, bins: int) -> None:
    truth, p = problem
    values = reliability(truth, p, bins=bins)
    json.dumps(values, allow_nan=False)
    found = values["reliability"]
    assert sum(one["count"] for one in found) == len(truth)
    assert 1 <= len(found) <= min(bins, max(1, len(truth) // 10))
    stated = [one["confidence"] for one in found]
    assert stated == sorted(stated)
    assert all(0 <= one["low"] <= one["accuracy"] <= one["high"] <= 1 for one in found)
    assert 0 <= values["brier"] <= 2
    # The whole is never further from calibrated than its bins are.
    gap = abs(p.max(axis=1).mean() - (p.argmax(axis=1) == truth).mean())
    assert gap - 1e-9 <= values["ece"] <= 1
    assert 0 <= values["ece_expected"] <= 0.55  # at most 0.5, but for chance


@given(problems)
@settings(max_examples=40, deadline=None)
def test_equal_probabilities_share_a_bin(problem: Problem) -> None:
    truth, p = problem
    ties = np.round(p, 1)
    found = reliability_bins(truth, ties)
    values, counts = np.unique(ties.max(axis=1), return_counts=True)
    ends = np.cumsum([one["count"] for one in found])
    assert set(ends) <= set(np.cumsum(counts))
    assert len(found) <= len(values)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_certain_and_right_is_perfect_and_certain_and_wrong_the_worst(classes: list[int]) -> None:
    truth = np.array(classes)
    right, wrong = np.eye(5)[truth], np.eye(5)[(truth + 1) % 5]
    best, worst = reliability(truth, right), reliability(truth, wrong)
    assert best["log_loss"] == best["brier"] == best["ece"] == best["ece_expected"] == 0
    assert (worst["brier"], worst["ece"]) == (2, 1)
    assert 27 < worst["log_loss"] < 28


def test_the_expected_error_is_what_calibrated_probabilities_show() -> None:
    found = [calibration_error(*some(300, 5, seed=seed)) for seed in range(60)]
    expected = [expected_calibration_error_if_perfect(some(300, 5, seed=s)[1]) for s in range(5)]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=4 * error)
    # One that is too sure lies well above it.
    truth, p = some(300, 5)
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert calibration_error(truth, sharp) > 1.5 * expected_calibration_error_if_perfect(sharp)


def test_the_expected_error_of_one_bin_has_a_closed_form() -> None:
    """The mean distance of a binomial from its mean: 4 samples at 0.5."""
    found = expected_calibration_error_if_perfect(np.full((4, 2), 0.5))
    assert found == pytest.approx((2 * 0.5 + 8 * 0.25) / 16, abs=0.01)


def test_more_samples_expect_a_smaller_error() -> None:
    few, many = (expected_calibration_error_if_perfect(some(n, 5)[1]) for n in (150, 6000))
    assert many < few / 4


def test_chunks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p = some(70, 4)[1]
    whole = expected_calibration_error_if_perfect(p)
    monkeypatch.setattr("frameflow.evaluation.reliability._CHUNK", 70 * 7)
    assert expected_calibration_error_if_perfect(p) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("truth", "p", "bins", "said"),
    [
        (np.zeros(3, int), np.ones((2, 2)), 15, r"truth \(3,\) does not fit"),
        (np.zeros(0, int), np.ones((0, 2)), 15, "no sample to score"),
        (np.zeros(2, int), np.ones((2, 2)), 0, r"bins \(0\) must be > 0"),
        (np.zeros(1, int), np.array([[np.nan, 1]]), 15, "not a finite number"),
    ],
)
def test_wrong_arguments_are_named(truth: np.ndarray, p: np.ndarray, bins: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        calibration_error(truth, p, bins)
