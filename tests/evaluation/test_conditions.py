"""What the accuracy depends on, with intervals, and in words."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.evaluation.conditions import by_columns, conditions, equal_bins, hits, p_words
from frameflow.evaluation.predictions import Predictions
from frameflow.video.measure import ClipMeasures


def measured(count: int, **given: Any) -> list[ClipMeasures | None]:
    rng = np.random.default_rng(5)
    drawn = {name: rng.random(count) for name in ("seconds", "brightness", "motion")} | given
    return [
        ClipMeasures(
            width=96,
            height=48,
            rate=25.0,
            contrast=0.2,
            **{n: float(v[i]) for n, v in drawn.items()},
        )
        for i in range(count)
    ]


@given(st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=200))
def test_bins_keep_the_order_and_equal_values_together(values: list[float]) -> None:
    found = np.array(values)
    placed = equal_bins(found, most=5, least=3)
    assert set(placed) == set(range(placed.max() + 1))
    assert placed.max() < 5
    order = np.argsort(found, kind="stable")
    assert (np.diff(placed[order]) >= 0).all()
    assert all(len(set(placed[found == value])) == 1 for value in set(values))


def test_bins_are_of_equal_mass() -> None:
    placed = equal_bins(np.random.default_rng(0).random(100))
    assert np.bincount(placed).tolist() == [20] * 5


def test_a_condition_that_matters_is_said(scored: Callable[..., Any]) -> None:
    one = scored(samples=400, groups=50)
    right = hits(one.predictions)
    rng = np.random.default_rng(0)
    dark = np.where(right, 0.6, 0.2) + 0.2 * rng.random(400)
    found = conditions(one.predictions, measured(400, brightness=dark))
    assert found is not None
    by_key = {entry["key"]: entry for entry in found["conditions"]}
    assert found["measured"] == 400
    light = by_key["brightness"]
    assert light["matters"]
    assert light["sentence"].startswith("Accuracy rises with brightness: ")
    assert "It holds among clips of one class as well" in light["sentence"]
    assert [entry["samples"] for entry in light["bins"]] == [80] * 5
    assert light["bins"][0]["accuracy"] < light["bins"][-1]["accuracy"]
    for entry in light["bins"]:
        assert entry["interval"][0] <= entry["accuracy"] <= entry["interval"][1]
    assert not by_key["seconds"]["matters"]
    assert by_key["seconds"]["sentence"].startswith("No trend with clip length is shown")
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("count", [1, 5, 30])
def test_few_clips(scored: Callable[..., Any], count: int) -> None:
    one = scored(samples=count, groups=2)
    found = conditions(one.predictions, [*measured(count - 1), None])
    if count == 1:
        assert found is None
        return
    assert found is not None
    assert found["measured"] == count - 1
    for entry in found["conditions"]:
        assert not entry["matters"]
        assert "too few" in entry["sentence"]
    json.dumps(found, allow_nan=False)


def test_clips_that_are_alike(scored: Callable[..., Any]) -> None:
    found = conditions(scored().predictions, measured(40, motion=np.zeros(40)))
    assert found is not None
    assert "all clips are alike in it" in found["conditions"][2]["sentence"]


def test_sets(scored_sets: Callable[..., Any]) -> None:
    one = scored_sets()
    found = conditions(one.predictions, measured(40))
    assert found is not None
    assert found["figure"] == "exact match"
    weights = [entry["samples"] for entry in found["conditions"][0]["bins"]]
    shares = [entry["accuracy"] for entry in found["conditions"][0]["bins"]]
    assert np.average(shares, weights=weights) == pytest.approx(one.metrics["exact_match"])


def with_columns(one: Any, **columns: list[str]) -> Predictions:
    samples = [
        replace(sample, extra={name: values[i % len(values)] for name, values in columns.items()})
        for i, sample in enumerate(one.predictions.samples)
    ]
    return replace(one.predictions, samples=samples)


def test_by_a_column(scored: Callable[..., Any]) -> None:
    one = scored(samples=60)
    found = with_columns(one, camera=["left", "right", ""], note=[str(i) for i in range(60)])
    (entry,) = by_columns(found, ["camera"])
    assert entry["values"] == 3
    assert {row["value"] for row in entry["rows"]} == {"left", "right", "(empty)"}
    assert [row["samples"] for row in entry["rows"]] == [20, 20, 20]
    right = hits(found)
    for row in entry["rows"]:
        start = ["left", "right", "(empty)"].index(row["value"])
        assert row["accuracy"] == pytest.approx(right[start::3].mean())
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
    shares = [row["accuracy"] for row in entry["rows"]]
    assert shares == sorted(shares)
    json.dumps(entry, allow_nan=False)
    # Unasked, only columns of a few values are told.
    assert [entry["column"] for entry in by_columns(found)] == ["camera"]
    assert by_columns(found, ["label"])[0]["values"] == 3
    assert by_columns(found, ["fold"])[0]["sentence"] == "All samples have one value of fold."


def test_many_values_are_cut(scored: Callable[..., Any]) -> None:
    found = with_columns(scored(samples=100), scene=[f"s{i}" for i in range(100)])
    (entry,) = by_columns(found, ["scene"])
    assert (len(entry["rows"]), entry["left_out"]) == (60, 40)


def test_an_unknown_column(scored: Callable[..., Any]) -> None:
    found = with_columns(scored(), camera=["left", "right"])
    with pytest.raises(UsageError, match=r"no column 'camra'. Did you mean 'camera'"):
        by_columns(found, ["camra"])


def test_p_in_words() -> None:
    assert [p_words(p) for p in (0.0002, 0.004, 0.0499, 0.3)] == [
        "p < 0.001", "p = 0.004", "p = 0.050", "p = 0.30",
    ]  # fmt: skip
