"""The confusion matrix is laid out right, and classes that are confused stand together."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.pages.confusion import clustered_order, matrix


def test_a_cell_for_each_pair_that_occurs() -> None:
    found = matrix(np.array([[3, 1, 0], [0, 2, 0], [0, 4, 0]]), ["a", "<b>", "c & d"])
    cells = {(cell.row, cell.column): cell for cell in found.cells}
    assert {at: cell.count for at, cell in cells.items()} == {
        (0, 0): 3, (0, 1): 1, (1, 1): 2, (2, 1): 4,
    }  # fmt: skip
    assert [cells[at].percent for at in sorted(cells)] == ["75", "25", "100", "100"]
    assert cells[0, 0].kind.split()[0] == "right"
    assert cells[0, 1].kind == "wrong"
    assert cells[2, 1].kind == "wrong dark-share dark-count"
    assert cells[2, 1].count_ink == 1
    assert found.support == [4, 2, 4]
    assert found.said == "Confusion matrix of 3 classes: 5 of 10 right"


def test_a_share_that_is_small_is_not_none() -> None:
    (most, least) = matrix(np.array([[999, 1], [0, 0]]), ["a", "b"]).cells
    assert (most.percent, least.percent) == ("100", "<1")
    assert least.share_ink > 0.1


@given(st.integers(1, 12), st.data())
def test_orders_are_permutations(classes: int, data: st.DataObject) -> None:
    cells = st.lists(st.integers(0, 3), min_size=classes, max_size=classes)
    counts = np.array(data.draw(st.lists(cells, min_size=classes, max_size=classes)))
    found = matrix(counts, [f"c{i}" for i in range(classes)])
    assert sorted(found.clustered) == sorted(found.alphabetical) == list(range(classes))
    assert all(0 < cell.share_ink <= 1 and 0 < cell.count_ink <= 1 for cell in found.cells)


def test_classes_that_are_confused_stand_together() -> None:
    kinds = np.random.default_rng(0).permutation(40) % 10
    counts = 5 * np.eye(40, dtype=int) + 2 * (kinds[:, None] == kinds)
    order = clustered_order(counts)
    changes = sum(kinds[a] != kinds[b] for a, b in pairwise(order))
    assert changes == 9  # ten kinds, each in one piece


def test_without_confusions_the_order_stays() -> None:
    assert clustered_order(np.eye(5, dtype=int)) == [0, 1, 2, 3, 4]
    assert clustered_order(np.zeros((3, 3), dtype=int)) == [0, 1, 2]
    assert clustered_order(np.array([[1]])) == [0]


@pytest.mark.parametrize("classes", [2, 24, 25, 101])
def test_large_matrices_can_be_enlarged(classes: int) -> None:
    found = matrix(np.eye(classes, dtype=int), [f"Label {i}" for i in range(classes)])
    assert found.large == (classes > 24)
    assert f"--k:{classes};" in found.style


def test_names_are_sorted_without_case() -> None:
    assert matrix(np.eye(3, dtype=int), ["b", "C", "a"]).alphabetical == [1, 2, 0]
