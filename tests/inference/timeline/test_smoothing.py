"""Smoothing keeps what it must keep, whatever the windows say."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.inference.timeline.smoothing import Smoothing, smooth

KINDS = ("gaussian", "mean", "median")
windows = st.tuples(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 5))
seconds = st.sampled_from([0.0, 0.3, 1.0, 2.5, 7.0, 100.0])
kinds = st.sampled_from(KINDS)


def drawn(seed: int, count: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Moments at unequal distances, probabilities that add up to 1."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.uniform(0.1, 1.5, count)), rng.dirichlet(np.ones(labels), count)


@given(windows, seconds, kinds)
@settings(max_examples=60, deadline=None)
def test_laws(window: tuple[int, int, int], length: float, kind: Smoothing) -> None:
    at, values = drawn(*window)
    found = smooth(at, values, length, kind=kind)
    near = {"atol": 1e-5}
    assert found.shape == values.shape
    assert (found >= values.min(axis=0) - 1e-5).all(), "no less than the least"
    assert (found <= values.max(axis=0) + 1e-5).all(), "no more than the most"
    if kind != "median":
        assert np.allclose(found.sum(axis=1), 1, **near), "what adds up to 1 still does"
    order = np.random.default_rng(0).permutation(values.shape[1])
    assert np.allclose(smooth(at, values[:, order], length, kind=kind), found[:, order], **near)
    back = smooth(-at[::-1], values[::-1], length, kind=kind)[::-1]
    assert np.allclose(back, found, **near), "forwards and backwards are the same"
    later = smooth(at + 1000, values, length, kind=kind)
    assert np.allclose(later, found, **near), "only distances count"
    assert np.allclose(smooth(at, np.ones_like(values), length, kind=kind), 1, **near)


@pytest.mark.parametrize("kind", KINDS)
def test_no_time_and_one_window_change_nothing(kind: Smoothing) -> None:
    at, values = drawn(3, 12, 4)
    assert np.array_equal(smooth(at, values, 0, kind=kind), values.astype(np.float32))
    assert np.array_equal(smooth(at[:1], values[:1], 9, kind=kind), values[:1].astype(np.float32))
    assert smooth(at[:0], values[:0], 9, kind=kind).shape == (0, 4)


@pytest.mark.parametrize("kind", ["mean", "median"])
def test_as_plainly_computed(kind: Smoothing) -> None:
    at, values = drawn(5, 30, 3)
    plain = {"mean": np.mean, "median": np.median}[kind]
    for row, found in enumerate(smooth(at, values, 3.0, kind=kind)):
        near = values[np.abs(at - at[row]) <= 1.5]
        assert np.allclose(found, plain(near, axis=0), atol=1e-6)


def test_a_gaussian_has_its_width() -> None:
    at = np.arange(0, 20, 0.01)
    one = np.zeros((len(at), 1))
    one[1000] = 1
    found = smooth(at, one, 4.0)[:, 0].astype(np.float64)
    centre = (found * at).sum() / found.sum()
    spread = np.sqrt((found * (at - centre) ** 2).sum() / found.sum())
    assert centre == pytest.approx(10, abs=0.01)
    assert spread == pytest.approx(1.0, rel=0.03), "4 s are four standard deviations"


@pytest.mark.parametrize("kind", KINDS)
def test_hours_in_pieces_are_as_in_one(kind: Smoothing, monkeypatch: pytest.MonkeyPatch) -> None:
    at, values = drawn(7, 50, 2)
    whole = smooth(at, values, 4.0, kind=kind)
    monkeypatch.setattr("frameflow.inference.timeline.smoothing._ROWS", 7)
    assert np.array_equal(smooth(at, values, 4.0, kind=kind), whole)


@pytest.mark.parametrize(
    ("length", "kind", "message"),
    [(-1.0, "mean", "-1"), (float("nan"), "mean", "nan"), (1.0, "meen", "one of gaussian, mean")],
)
def test_what_cannot_be_is_said(length: float, kind: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        smooth(np.arange(2.0), np.ones((2, 1)), length, kind=kind)
