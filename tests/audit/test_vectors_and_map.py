"""Vectors keep the distances of what they are made of; the map keeps neighbours together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.audit.map2d import map_2d
from frameflow.audit.vectors import _sketch, principal


def distances(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(1, 20), st.integers(0, 1000))
def test_principal_axes_keep_distances(count: int, width: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    turned = principal([rows[: count // 2], rows[count // 2 :]])
    assert turned.shape[1] <= min(count, width)
    assert np.allclose(distances(turned), distances(rows), atol=2e-3)
    spread = turned.std(axis=0)
    assert (np.diff(spread) <= 1e-4).all(), "the longest axis first"
    assert np.array_equal(turned, principal([rows]))


def test_clips_that_are_all_alike_have_vectors_too() -> None:
    assert np.array_equal(principal([np.ones((5, 4), dtype=np.float32)]), np.zeros((5, 1)))
    assert np.allclose(map_2d(np.zeros((12, 1), dtype=np.float32)), 0.5)


def test_hashing_keeps_distances_nearly() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 20000)).astype(np.float32)
    ratio = distances(rows @ _sketch(20000))[0, 1:] / distances(rows)[0, 1:]
    assert np.abs(ratio - 1).max() < 0.06


def clusters(each: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(4, 16))
    numbers = np.repeat(np.arange(4), each)
    rows = centres[numbers] + rng.normal(size=(4 * each, 16))
    return principal([rows.astype(np.float32)]), numbers


def test_neighbours_lie_together_on_the_map() -> None:
    values, numbers = clusters()
    places = map_2d(values)
    assert places.min() == 0
    assert places.max() == 1
    gaps = distances(places) + 9 * np.eye(len(places))
    assert (numbers[gaps.argmin(axis=1)] == numbers).all()
    assert np.array_equal(places, map_2d(values)), "the same map every time"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_clips_have_a_map_too(count: int) -> None:
    places = map_2d(np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
