"""Differences on the same samples: laws, formulas by hand, and how often the interval is right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2
from sklearn.metrics import average_precision_score, f1_score, log_loss

from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.paired import (
    Figures,
    class_figures,
    difference,
    effects,
    holm,
    mcnemar,
    set_figures,
    whole,
)
from frameflow.evaluation.reliability import sample_losses

CLASSES = 3


def drawn(seed: int, samples: int, groups: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """True classes, probabilities that lean towards them, groups."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, samples)
    logits = rng.normal(size=(samples, CLASSES)) + np.eye(CLASSES)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truth, shares, [f"g{number % groups}" for number in range(samples)]


def figures_of(truth: np.ndarray, shares: np.ndarray, groups: list[str]) -> Figures:
    return class_figures(
        truth,
        shares.argmax(axis=1),
        sample_losses(truth, shares),
        classes=CLASSES,
        units=units_of(groups, len(truth)),
    )


some = st.tuples(st.integers(0, 9999), st.integers(4, 60), st.integers(2, 20))


@settings(max_examples=30, deadline=None)
@given(some)
def test_the_figures_of_all_samples_are_those_of_scikit_learn(made: tuple[int, int, int]) -> None:
    truth, shares, groups = drawn(*made)
    found = whole(figures_of(truth, shares, groups), units_of(groups, len(truth)))
    guess, there = shares.argmax(axis=1), np.unique(truth)
    assert found["top1"] == pytest.approx((guess == truth).mean())
    expected = f1_score(truth, guess, labels=there, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["log_loss"] == pytest.approx(log_loss(truth, shares, labels=range(CLASSES)))


def test_a_draw_is_the_figure_of_the_samples_it_holds() -> None:
    """A group drawn twice counts twice."""
    truth, shares, groups = drawn(3, 30, 5)
    weights = np.array([[2.0, 0, 1, 1, 1]])
    rows = np.concatenate(
        [np.repeat(i, int(weights[0, int(group[1:])])) for i, group in enumerate(groups)]
    ).astype(int)
    found = figures_of(truth, shares, groups)(weights)
    guess = shares[rows].argmax(axis=1)
    assert found["top1"][0] == pytest.approx((guess == truth[rows]).mean())
    assert found["macro_f1"][0] == pytest.approx(f1_score(truth[rows], guess, average="macro"))


def test_sets_are_scored_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((40, 3)) < 0.4
    shares = rng.random((40, 3))
    units = units_of(None, 40)
    found = whole(set_figures(truth, shares, units=units), units)
    assert found["map"] == pytest.approx(average_precision_score(truth, shares))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, shares > 0.5, average="macro"))
    assert found["exact_match"] == pytest.approx(((shares > 0.5) == truth).all(axis=1).mean())
    entropy = -np.log(np.where(truth, shares, 1 - shares)).mean()
    assert found["log_loss"] == pytest.approx(entropy) == sample_losses(truth, shares).mean()


@settings(max_examples=25, deadline=None)
@given(some)
def test_a_run_against_itself_differs_by_nothing(made: tuple[int, int, int]) -> None:
    truth, shares, groups = drawn(*made)
    own, units = figures_of(truth, shares, groups), units_of(groups, len(truth))
    apart = difference(own, own)
    for effect in effects(whole(apart, units), apart, units=units, draws=100).values():
        assert effect.value == 0
        assert effect.bounds == (0, 0)
        assert effect.p == 1
    hits = shares.argmax(axis=1) == truth
    assert mcnemar(hits, hits).p == 1


@settings(max_examples=25, deadline=None)
@given(some, st.integers(0, 9999))
def test_turned_round_the_sign_turns(made: tuple[int, int, int], seed: int) -> None:
    truth, one, groups = drawn(*made)
    other = np.random.default_rng(seed).dirichlet(np.ones(CLASSES), len(truth))
    units = units_of(groups, len(truth))
    both = [figures_of(truth, shares, groups) for shares in (one, other)]
    there, back = (
        effects(whole(apart, units), apart, units=units, draws=200, centred=("macro_f1",))
        for apart in (difference(*both), difference(*both[::-1]))
    )
    for name, effect in there.items():
        assert effect.bounds is not None
        assert back[name].bounds is not None
        assert back[name].value == -effect.value
        assert back[name].bounds == pytest.approx((-effect.bounds[1], -effect.bounds[0]))
        assert back[name].p == pytest.approx(effect.p)


def simulated(seed: int, *, groups: int, better: float) -> tuple[bool, bool]:
    """Whether the interval holds the true difference of two runs, and whether it is found.

    Clips of a group are easy or hard together, for each run in its own way. With ``better`` 0 the
    true difference is 0.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, groups)
    index = np.repeat(np.arange(groups), sizes)
    easy = rng.normal(size=len(index)) + rng.normal(size=groups)[index]
    one, two = (
        easy + rng.normal(size=groups)[index] + rng.normal(size=len(index)) + more > 0
        for more in (0.0, better)
    )
    units = units_of([f"{i}" for i in index], len(index))
    gained = np.bincount(index, two * 1.0 - one * 1.0)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"top1": (weights @ gained) / (weights @ sizes)}

    effect = effects(whole(figures, units), figures, units=units, draws=600, seed=seed)["top1"]
    assert effect.bounds is not None
    assert effect.p is not None
    return effect.bounds[0] <= 0 <= effect.bounds[1], effect.p < 0.05


@pytest.mark.parametrize(("groups", "least"), [(6, 0.88), (18, 0.92), (40, 0.92)])
def test_the_interval_holds_the_truth_as_often_as_it_says(groups: int, least: float) -> None:
    """95 %; with six groups of unequal size it is rough, as the note of a comparison says."""
    found = [simulated(seed, groups=groups, better=0.0) for seed in range(300)]
    inside = np.mean([held for held, _ in found])
    assert least <= inside <= 0.985  # of 300 draws
    assert np.mean([sure for _, sure in found]) == pytest.approx(1 - inside, abs=0.05)


def test_a_plain_percentile_interval_would_not() -> None:
    """What the expansion is for: six groups, the tails at 2.5 % of the draws."""
    missed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=6)
        means = rng.choice(values, (600, 6)).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        missed += not low <= 0 <= high
    assert missed / 300 > 0.09


def test_what_is_better_is_found() -> None:
    found = [simulated(seed, groups=40, better=1.5)[1] for seed in range(50)]
    assert np.mean(found) > 0.9


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_few_groups_have_a_wide_interval_that_stays_possible(groups: int) -> None:
    truth, one, names = drawn(1, 24, groups)
    two = drawn(2, 24, groups)[1]
    units = units_of(names, 24)
    apart = difference(figures_of(truth, one, names), figures_of(truth, two, names))
    found = effects(whole(apart, units), apart, units=units, draws=200)
    for name in ("top1", "macro_f1"):
        effect = found[name]
        assert effect.bounds is not None
        assert -1 <= effect.bounds[0] <= effect.value <= effect.bounds[1] <= 1


def test_one_group_has_no_interval() -> None:
    truth, shares, _ = drawn(1, 10, 2)
    names = ["g"] * 10
    own, units = figures_of(truth, shares, names), units_of(names, 10)
    for effect in effects(whole(own, units), own, units=units).values():
        assert effect.bounds is None
        assert effect.p is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_is_the_binomial_of_those_that_differ(pairs: list[tuple[bool, bool]]) -> None:
    base, other = (np.array(column) for column in zip(*pairs))
    found = mcnemar(base, other)
    lost = sum(b and not o for b, o in pairs)
    won = sum(o and not b for b, o in pairs)
    assert (found.only_base, found.only_other) == (lost, won)
    expected = binomtest(won, lost + won, 0.5).pvalue if lost + won else 1.0
    assert found.p == pytest.approx(expected)


def test_mcnemar_nears_the_chi_square_of_his_paper() -> None:
    base, other = np.repeat([True, False], [60, 90]), np.repeat([False, True], [60, 90])
    statistic = (abs(60 - 90) - 1) ** 2 / 150  # with Edwards' correction
    assert mcnemar(base, other).p == pytest.approx(chi2.sf(statistic, 1), abs=0.002)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(values: list[float]) -> None:
    found = [p for p in holm(values) if p is not None]
    assert all(new >= old for new, old in zip(found, values))
    assert max(found) <= 1
    assert sorted(found) == [found[place] for place in np.argsort(values, kind="stable")]
    assert holm(values[:1]) == values[:1]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
