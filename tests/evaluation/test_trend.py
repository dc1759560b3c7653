"""Intervals and tests know that clips of one group are not independent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.evaluation.trend import clustering, effective_samples, trend, wilson


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"),
    # R: binom::binom.confint(x, n, methods = "wilson")
    [(0, 10, 0.0, 0.27753), (8, 10, 0.49016, 0.94332), (50, 50, 0.92865, 1.0)],
)
def test_wilson(right: int, samples: int, low: float, high: float) -> None:
    assert wilson(right, samples) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 200), st.data())
def test_wilson_holds_the_share(samples: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, samples))
    effective = data.draw(st.floats(1, samples))
    low, high = wilson(right, samples, effective=effective)
    assert 0 <= low <= right / samples + 1e-12
    assert right / samples - 1e-12 <= high <= 1
    wider = wilson(right, samples, effective=max(1.0, effective / 2))
    assert wider[1] - wider[0] >= high - low - 1e-12


def test_effective_samples() -> None:
    alone = np.random.default_rng(0).random(400) < 0.7
    assert effective_samples(alone, np.arange(400)) == 400
    copies = np.repeat(alone[:50], 8)  # eight copies of a clip are worth one
    assert effective_samples(copies, np.repeat(np.arange(50), 8)) == pytest.approx(49, abs=1)
    dealt = effective_samples(alone, np.arange(400) % 50)  # groups that say nothing
    assert dealt > 250
    assert effective_samples(np.ones(40, bool), np.arange(40) % 8) == 8
    assert effective_samples(np.ones(3, bool), np.zeros(3, int)) == 1


def test_a_trend_is_found_and_has_a_direction() -> None:
    rng = np.random.default_rng(1)
    measure = rng.random(600)
    right = rng.random(600) < 0.9 - 0.5 * measure
    found = trend(measure, right, np.arange(600) % 60)
    assert found.p is not None
    assert found.p < 0.01
    assert found.correlation < 0
    assert found.groups == 60


def test_without_a_trend_p_is_uniform_although_groups_agree() -> None:
    """Each group has one length and one fate: 40 groups of 10 clips are 40 clips' worth."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 10)
    found = []
    for seed in range(100):
        measure, right = rng.random(40)[groups], (rng.random(40) < 0.6)[groups]
        p = trend(measure, right, groups, seed=seed).p
        assert p is not None
        found.append(p)
    assert sum(p < 0.05 for p in found) <= 12  # 5 expected; clips taken alone give about 50
    assert sum(p < 0.5 for p in found) >= 35


def test_within_classes_a_difference_between_classes_is_no_trend() -> None:
    rng = np.random.default_rng(3)
    classes = np.arange(600) % 2
    measure = classes + 0.1 * rng.random(600)  # clips of class 1 are longer
    right = rng.random(600) < np.where(classes == 1, 0.9, 0.4)
    groups = np.arange(600) % 60
    overall, same = trend(measure, right, groups), trend(measure, right, groups, within=classes)
    assert overall.p is not None
    assert same.p is not None
    assert overall.p < 0.01 < same.p


@pytest.mark.parametrize(
    ("measure", "right", "groups"),
    [
        ([1.0, 1.0, 1.0], [True, False, True], [0, 1, 2]),  # nothing varies
        ([1.0, 2.0, 3.0], [True, True, True], [0, 1, 2]),  # no mistake
        ([1.0, 2.0, 3.0], [True, False, True], [0, 1, 2]),  # too few groups
        ([1.0], [True], [0]),
    ],
)
def test_where_nothing_can_be_tested(
    measure: list[float], right: list[bool], groups: list[int]
) -> None:
    found = trend(np.array(measure), np.array(right), np.array(groups))
    assert found.p is None
    assert np.isfinite(found.correlation)


def test_clustering() -> None:
    groups = np.repeat(np.arange(50), 8)
    together = np.repeat(np.arange(50) < 10, 8)
    ratio, p = clustering(together, groups)
    assert ratio == pytest.approx(5, rel=0.2)  # a fifth of the groups has all the mistakes
    assert p == 0.001
    alone = np.random.default_rng(0).random(400) < 0.2
    ratio, p = clustering(alone, groups)
    assert ratio == pytest.approx(1, abs=0.35)
    assert p > 0.05
    assert clustering(alone, np.arange(400)) == (1.0, 1.0)
    assert clustering(np.zeros(400, bool), groups) == (1.0, 1.0)
