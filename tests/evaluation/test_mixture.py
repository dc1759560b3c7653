"""How much each member of an ensemble counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.evaluation.mixture import choose_weights, fit_weights, mix


def said(seed: int, members: int, samples: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and members of random opinions."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, samples)
    return truth, rng.dirichlet(np.ones(classes), (members, samples))


def right(truth: np.ndarray, share: float, seed: int, classes: int = 3) -> np.ndarray:
    """A member that is right on so many samples, and as sure where it is wrong."""
    rng = np.random.default_rng(seed)
    hit = rng.random(len(truth)) < share
    label = np.where(hit, truth, (truth + 1) % classes)
    return np.eye(classes)[label] * 0.7 + 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4), st.integers(1, 30), st.booleans())
def test_weights_are_shares_and_no_member_alone_is_likelier(
    seed: int, members: int, samples: int, several: bool
) -> None:
    truth, shares = said(seed, members, samples)
    if several:
        truth = np.eye(3)[truth] > 0
    weights = fit_weights(truth, shares, prior=0.0)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)

    def loss(mixed: np.ndarray) -> float:
        p = np.where(truth, mixed, 1 - mixed) if several else mixed[range(samples), truth]
        return float(-np.log(p).sum())

    best = loss(mix(shares, weights))
    for other in (*np.eye(members), np.full(members, 1 / members)):
        assert best <= loss(mix(shares, other)) + 1e-3 * samples


def test_the_order_of_members_is_that_of_their_weights() -> None:
    truth, shares = said(1, 3, 60)
    shares[2] = right(truth, 0.8, 3)
    weights = fit_weights(truth, shares)
    np.testing.assert_allclose(fit_weights(truth, shares[::-1])[::-1], weights, atol=1e-5)
    assert weights.argmax() == 2


def test_few_samples_are_drawn_towards_equal_weights() -> None:
    truth = np.array([0, 1])
    shares = np.stack([np.eye(3)[truth] * 0.9 + 0.05, np.full((2, 3), 1 / 3)])
    free, drawn = (fit_weights(truth, shares, prior=prior)[0] for prior in (0.0, 10.0))
    assert free > 0.99
    assert 0.5 < drawn < 0.7


def test_a_better_member_counts_more_and_alike_ones_the_same() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 300)
    groups = [f"g{i // 5}" for i in range(300)]
    better = np.stack([right(truth, 0.9, 1), right(truth, 0.4, 2)])
    chosen = choose_weights(truth, better, groups)
    assert chosen.rule == "validation"
    assert chosen.weights[0] > 0.8
    assert "learnt on 300 samples" in chosen.sentence
    # on what they were not found on, and so not the fit itself
    assert not np.allclose(chosen.held_out, mix(better, chosen.weights))
    alike = np.stack([right(truth, 0.7, 3), right(truth, 0.7, 4)])
    chosen = choose_weights(truth, alike, groups)
    assert (chosen.rule, chosen.weights) == ("equal", (0.5, 0.5))
    np.testing.assert_allclose(chosen.held_out, alike.mean(axis=0))
    assert chosen.gain <= chosen.error


def test_one_group_alone_proves_nothing() -> None:
    truth = np.zeros(40, dtype=np.int64)
    members = np.stack([right(truth, 1.0, 1), right(truth, 0.0, 2)])
    assert choose_weights(truth, members, ["one"] * 40).rule == "equal"
