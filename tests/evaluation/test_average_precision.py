"""The average precision of draws agrees with scikit-learn on the samples drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from frameflow.evaluation import average_precision
from frameflow.evaluation.average_precision import mean_average_precisions
from frameflow.evaluation.intervals import units_of


@pytest.mark.parametrize("cheap", [0, 100])
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(1, 9), st.sampled_from([1, 12]))
@settings(max_examples=40, deadline=None)
def test_of_draws_of_groups(cheap: int, seed: int, samples: int, groups: int, digits: int) -> None:
    """By either way of summing: the one for few samples of a class, and the one for many."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, samples)
    shares = np.round(rng.dirichlet(np.ones(4), samples), digits)
    units = units_of([f"g{number}" for number in rng.integers(0, groups, samples)], samples)
    weights = rng.integers(0, 3, (3, units.count)).astype(np.float64)
    weights[:, 0] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(average_precision, "_CHEAP", cheap)
        patch.setattr(average_precision, "_CHUNK", samples * 2)
        found = mean_average_precisions(truth, shares, units)(weights)
    for value, drawn in zip(found, weights):
        rows = np.repeat(np.arange(samples), drawn[units.index].astype(int))
        areas = [
            average_precision_score(truth[rows] == label, shares[rows, label])
            for label in np.unique(truth[rows])
        ]
        assert value == pytest.approx(np.mean(areas), rel=1e-5)
