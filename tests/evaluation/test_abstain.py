"""Prediction sets hold the true label as often as they say, and unsure clips are not answered."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.evaluation.abstain import (
    Refusal,
    adaptive_scores,
    conformal_quantile,
    fit_refusal,
    refusal_metrics,
)


def draw(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Any model will do: this one is too sure of itself."""
    logits = rng.normal(size=(samples, 5))
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    said = np.exp(3 * logits)
    return truth, said / said.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_sets_cover_the_truth_on_exchangeable_draws(alpha: float) -> None:
    rng = np.random.default_rng(0)
    covered, answered = [], []
    for _ in range(400):
        truth, said = draw(rng, 60)
        refusal = fit_refusal(truth, said, alpha=alpha, answered=1 - alpha)
        truth, said = draw(rng, 50)
        covered.append(refusal.sets(said)[np.arange(50), truth].mean())
        answered.append(refusal.answers(said).mean())
    for found in (np.array(covered), np.array(answered)):
        error = found.std() / np.sqrt(len(found))
        assert found.mean() >= 1 - alpha - 3 * error
        assert found.mean() <= 1 - alpha + 1 / 61 + 3 * error + 0.02


def test_sets_cover_clips_of_new_groups_where_clips_of_one_are_alike() -> None:
    """Each group is easy or hard as a whole, and the large ones are the easy ones."""
    rng = np.random.default_rng(1)

    def scores() -> tuple[np.ndarray, list[str]]:
        hard = rng.exponential(size=12)
        sizes = np.where(hard < 0.5, 12, 2)
        return np.repeat(hard, sizes), [f"g{i}" for i in range(12) for _ in range(sizes[i])]

    by_group: list[bool] = []
    by_clip: list[bool] = []
    for _ in range(3000):
        found, groups = scores()
        new = rng.exponential()
        for held, names in ((by_group, groups), (by_clip, None)):
            quantile = conformal_quantile(found, 0.8, names)
            held.append(quantile is None or new <= quantile)
    assert np.mean(by_group) >= 0.8 - 3 * np.sqrt(0.16 / 3000)
    assert np.mean(by_clip) < 0.7, "the ordinary rule promises too much here"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=40), st.sampled_from([0.5, 0.75, 0.8, 0.9, 0.95])
)
def test_the_quantile_is_that_of_one_more_sample(scores: list[float], level: float) -> None:
    found = conformal_quantile(np.array(scores), level)
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    assert found == (sorted(scores)[rank - 1] if rank <= len(scores) else None)
    alone = [str(i) for i in range(len(scores))]
    assert conformal_quantile(np.array(scores), level, alone) == found


def test_adaptive_scores_are_even_where_probabilities_are_right() -> None:
    rng = np.random.default_rng(2)
    said = rng.dirichlet(np.ones(4), 4000)
    truth = np.array([rng.choice(4, p=row) for row in said])
    found = adaptive_scores(said, rng.random(4000))[np.arange(4000), truth]
    np.testing.assert_allclose(np.quantile(found, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


def test_no_set_is_empty_and_few_groups_give_whole_ones() -> None:
    truth = np.zeros(30, dtype=int)
    sure = np.tile([0.98, 0.01, 0.01], (30, 1))
    refusal = fit_refusal(truth, sure)
    unsure = np.array([[0.3, 0.4, 0.3]])
    assert refusal.sets(unsure).tolist() == [[False, True, False]]
    assert refusal.sets(sure).sum() == 30
    figures = refusal_metrics(refusal, np.array([0]), unsure)
    assert figures["conformal"]["empty_share"] == 1
    assert figures["conformal"]["coverage"] == 0
    few = fit_refusal(truth, sure, groups=[f"g{i % 8}" for i in range(30)])
    assert few.quantile is None
    assert few.sets(unsure).all()


def test_the_threshold_keeps_the_errors_of_the_answered_to_a_rate() -> None:
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(100):
        truth, said = draw(rng, 200)
        refusal = fit_refusal(truth, said, at_error=0.25)
        truth, said = draw(rng, 500)
        answers = refusal.answers(said)
        errors.append((said.argmax(axis=1) != truth)[answers].mean() if answers.any() else 0.0)
        assert answers.mean() < 1
    assert np.mean(errors) < 0.26


def test_where_no_threshold_keeps_to_it_nothing_is_answered() -> None:
    said = np.tile([0.9, 0.1], (40, 1))
    refusal = fit_refusal(np.arange(40) % 2, said, at_error=0.1)
    assert refusal.threshold is None
    assert not refusal.answers(said).any()
    figures = refusal_metrics(refusal, np.arange(40) % 2, said)
    assert figures["abstain"]["share_answered"] == 0
    assert figures["abstain"]["accuracy_answered"] is None
    json.dumps(figures, allow_nan=False)


def test_figures_of_scored_samples() -> None:
    refusal = Refusal(0.1, 0.7, 0.5, 0.95, None, 50, 10, "groups")
    said = np.array([[0.6, 0.3, 0.1], [0.45, 0.35, 0.2], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]])
    figures = refusal_metrics(refusal, np.array([1, 0, 1, 2]), said, groups=["a", "a", "b", "b"])
    conformal, abstain = figures["conformal"], figures["abstain"]
    assert conformal["coverage"] == 0.75
    assert conformal["mean_size"] == (2 + 2 + 1 + 2) / 4
    assert conformal["single_share"] == 0.25
    assert abstain["share_answered"] == 0.75
    assert abstain["accuracy_answered"] == pytest.approx(1 / 3)
    assert abstain["accuracy_all"] == 0.5
    low, high = conformal["coverage_interval"]
    assert low <= 0.75 <= high


def test_saved_and_read_back_it_is_the_same() -> None:
    truth, said = draw(np.random.default_rng(4), 80)
    for refusal in (fit_refusal(truth, said), fit_refusal(truth[:5], said[:5], at_error=0.01)):
        again = Refusal.from_dict(json.loads(json.dumps(refusal.to_dict(), allow_nan=False)))
        assert again == refusal
        assert (again.sets(said) == refusal.sets(said)).all()
        assert (again.answers(said) == refusal.answers(said)).all()
    for damage in ({"quantile": "wide"}, {"threshold": float("nan")}, {"colour": 1}):
        with pytest.raises(UsageError, match="damaged"):
            Refusal.from_dict(fit_refusal(truth, said).to_dict() | damage)
