"""Scores of several labels agree with scikit-learn, obey their laws and never hold a NaN."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from frameflow.errors import UsageError
from frameflow.evaluation.multilabel import SetScores, average_precisions, score_sets

Problem = tuple[np.ndarray, np.ndarray]


def some(
    samples: int, labels: int, *, seed: int = 0, skill: float = 1.5, digits: int = 12
) -> Problem:
    """Truth and probabilities that lean towards it; few digits make ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((samples, labels)) < np.linspace(0.1, 0.6, labels)
    truth[0, 0] = True
    logits = rng.normal(size=truth.shape) + skill * truth - 0.7
    return truth, np.round(1 / (1 + np.exp(-logits)), digits)


def names(labels: int) -> list[str]:
    return [f"label {index}" for index in range(labels)]


def quick(truth: np.ndarray, probabilities: np.ndarray, **options: object) -> SetScores:
    options = {"resamples": 20} | options
    return score_sets(truth, probabilities, names(truth.shape[1]), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "labels", "digits"),
    [(300, 7, 12), (800, 40, 2), (5, 3, 12), (40, 1, 1)],
)
def test_agrees_with_scikit_learn(samples: int, labels: int, digits: int) -> None:
    truth, probabilities = some(samples, labels, digits=digits)
    scores = quick(truth, probabilities)
    said, present = probabilities > 0.5, np.flatnonzero(truth.any(axis=0))

    columns = zip(scores.per_class, truth.T, probabilities.T, said.T)
    for entry, column, shares, chosen in columns:
        assert (entry.support, entry.predicted) == (column.sum(), chosen.sum())
        if not column.any():
            assert (entry.average_precision, entry.f1) == (None, None)
            continue
        area = reference.average_precision_score(column, shares)
        assert entry.average_precision == pytest.approx(area)
        expected = reference.precision_recall_fscore_support(
            column, chosen, average="binary", zero_division=0
        )
        assert (entry.precision, entry.recall, entry.f1) == pytest.approx(expected[:3])
    assert scores.mean_average_precision == pytest.approx(
        reference.average_precision_score(truth[:, present], probabilities[:, present])
    )
    if labels > 1:  # with one, scikit-learn averages over its two values
        for average, mean, over in (
            ("micro", scores.micro, None),
            ("macro", scores.macro, present),
        ):
            expected = reference.precision_recall_fscore_support(
                truth, said, average=average, labels=over, zero_division=0
            )
            assert (mean.precision, mean.recall, mean.f1) == pytest.approx(expected[:3])
    assert scores.exact_match == pytest.approx(reference.accuracy_score(truth, said))
    losses = [
        reference.log_loss(column, shares, labels=[0, 1])
        for column, shares in zip(truth.T, np.clip(probabilities, 1e-12, 1 - 1e-12).T)
    ]
    assert scores.log_loss == pytest.approx(np.mean(losses), abs=1e-9)


@given(st.integers(0, 2**31), st.integers(2, 30), st.sampled_from([1, 12]))
@settings(max_examples=40, deadline=None)
def test_weights_count_samples_again(seed: int, samples: int, digits: int) -> None:
    """What every draw of the bootstrap rests on."""
    truth, probabilities = some(samples, 3, seed=seed, digits=digits)
    weights = np.random.default_rng(seed).integers(0, 4, (2, samples)).astype(float)
    found = average_precisions(truth, probabilities, weights)
    for row, drawn in zip(found, weights):
        again = np.repeat(np.arange(samples), drawn.astype(int))
        for label, area in enumerate(row):
            if not truth[again, label].any():
                assert np.isnan(area)
                continue
            assert area == pytest.approx(
                reference.average_precision_score(truth[again, label], probabilities[again, label])
            )


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_laws(seed: int, samples: int, labels: int) -> None:
    truth, probabilities = some(samples, labels, seed=seed)
    groups = [f"g{index % 7}" for index in range(samples)]
    scores = quick(truth, probabilities, groups=groups)
    assert 0 < scores.mean_average_precision <= 1 + 1e-12
    assert sum(entry.support for entry in scores.per_class) == truth.sum()
    assert 0 <= scores.exact_match <= 1
    values = scores.to_dict()
    json.dumps(values, allow_nan=False)
    order = np.random.default_rng(seed).permutation(samples)
    other = quick(truth[order], probabilities[order]).to_dict()
    for key in ("map", "micro", "macro", "exact_match", "log_loss"):
        assert other[key] == pytest.approx(values[key])


def test_a_perfect_ranking_and_one_by_chance() -> None:
    truth, _ = some(200, 4)
    perfect = quick(truth, truth * 0.8 + 0.1)
    assert perfect.mean_average_precision == perfect.macro.f1 == perfect.exact_match == 1
    rng = np.random.default_rng(1)
    guessed = [quick(truth, rng.random(truth.shape)).mean_average_precision for _ in range(40)]
    assert np.mean(guessed) == pytest.approx(quick(truth, truth * 1.0).chance, abs=0.03)


def test_the_threshold_is_exclusive() -> None:
    scores = quick(np.array([[1], [1]]), np.array([[0.5], [0.500001]]))
    assert scores.per_class[0].predicted == 1


def clips_of(groups: int, rng: np.random.Generator) -> Problem:
    """Five clips a group that have much in common."""
    kinds = rng.random((groups, 6)) < np.linspace(0.15, 0.5, 6)
    truth = kinds.repeat(5, axis=0) ^ (rng.random((5 * groups, 6)) < 0.1)
    logits = rng.normal(size=(groups, 6)).repeat(5, axis=0) + rng.normal(size=truth.shape)
    return truth, 1 / (1 + np.exp(1.5 - logits - 2 * truth))


def test_coverage_of_the_intervals_over_groups() -> None:
    rng = np.random.default_rng(7)
    every = quick(*clips_of(3000, rng))
    wanted = {
        "map": every.mean_average_precision,
        "micro_f1": every.micro.f1,
        "macro_f1": every.macro.f1,
        "exact_match": every.exact_match,
    }
    covered, trials = dict.fromkeys(wanted, 0), 80
    clipwise = 0
    for _ in range(trials):
        truth, probabilities = clips_of(40, rng)
        names = [f"g{index // 5}" for index in range(len(truth))]
        found = quick(truth, probabilities, groups=names, resamples=150).intervals
        for name, value in wanted.items():
            low, high = found.bounds[name] or (2, 2)
            covered[name] += low <= value <= high
        low, high = found.naive["map"] or (2, 2)
        clipwise += low <= wanted["map"] <= high
    assert all(0.86 <= count / trials <= 0.99 for count in covered.values()), covered
    assert clipwise < covered["map"] - 0.1 * trials


def test_few_units_one_group_and_no_groups_are_said() -> None:
    truth, probabilities = some(12, 2)
    one = quick(truth, probabilities, groups=["g"] * 12)
    assert set(one.intervals.bounds.values()) == {None}
    assert set(one.intervals.bounds) == {
        *("map", "micro_f1", "macro_f1", "exact_match"),
        *("log_loss", "brier"),
    }
    assert one.intervals.naive == {}
    assert any("one group" in note for note in one.notes)
    few = quick(truth, probabilities, groups=[f"g{n % 3}" for n in range(12)])
    assert any("only 3 groups" in note for note in few.notes)
    assert any("No groups are given" in note for note in quick(truth, probabilities).notes)


def test_labels_without_samples_and_with_all_are_named() -> None:
    truth = np.array([[1, 0, 1], [1, 0, 0]])
    scores = quick(truth, np.full((2, 3), 0.6))
    assert scores.macro.f1 == pytest.approx((1 + 2 / 3) / 2)
    assert any("No sample has 1 of the 3 labels (label 1)" in note for note in scores.notes)
    assert any("Every sample has label 0" in note for note in scores.notes)


def test_chunks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, probabilities = some(30, 3)
    whole = quick(truth, probabilities, resamples=50).intervals
    monkeypatch.setattr("frameflow.evaluation.multilabel._CHUNK", 30 * 7)
    parts = quick(truth, probabilities, resamples=50).intervals
    for name, pair in whole.bounds.items():
        assert parts.bounds[name] == pytest.approx(pair)


@pytest.mark.parametrize(
    ("truth", "probabilities", "said"),
    [
        (np.ones((2, 3)), np.ones((2, 2)), r"truth \(2, 3\) must be \(2, 2\)"),
        (np.ones((2, 3)), np.ones((2, 3)), r"probabilities \(2, 3\) must be \(N, 2\)"),
        (np.ones((0, 2)), np.ones((0, 2)), "no sample to score"),
        (np.full((2, 2), 0.5), np.ones((2, 2)), "must be 0 or 1"),
        (np.zeros((2, 2)), np.ones((2, 2)), "No sample has any of the labels"),
        (np.ones((2, 2)), np.array([[np.nan, 0], [0, 0]]), "1 of 2 samples have a probability"),
        (np.ones((2, 2)), np.array([[-0.5, 0], [0, 3]]), "2 of 2 samples have numbers that are no"),
    ],
)
def test_wrong_arguments_are_named(truth: np.ndarray, probabilities: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        score_sets(truth, probabilities, ["a", "b"])
