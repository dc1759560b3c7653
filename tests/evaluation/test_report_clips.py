"""The clips of a report: each pair once, the surest first, groups by their mistakes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation._report_clips import (
    PAIRS,
    gallery,
    least_sure_hits,
    worst_groups,
)
from frameflow.evaluation.predictions import Predictions


def made(rows: list[tuple[str, str, float, str]]) -> Predictions:
    """Predictions of (truth, answer, its probability, group) over three classes."""
    labels = ["a", "b", "c"]
    shares = np.empty((len(rows), 3))
    for share, (_, answer, sure, _) in zip(shares, rows):
        share[:] = (1 - sure) / 2
        share[labels.index(answer)] = sure
    samples = [
        Sample(f"{i}.mp4", truth, "test", group) for i, (truth, _, _, group) in enumerate(rows)
    ]
    return Predictions(samples, labels, shares)


def confusion(found: Predictions) -> np.ndarray:
    counts = np.zeros((3, 3), dtype=np.int64)
    np.add.at(counts, (found.truth, found.probabilities.argmax(axis=1)), 1)
    return counts


def test_a_pair_is_shown_once_with_clips_of_either_side() -> None:
    found = made(
        [
            ("a", "b", 0.6, "g1"),
            ("a", "b", 0.9, "g1"),
            ("a", "b", 0.7, "g2"),
            ("b", "a", 0.8, "g3"),
            ("b", "b", 0.5, "g3"),
            ("b", "b", 0.95, "g4"),
            ("a", "a", 0.7, "g5"),
            ("c", "c", 0.6, "g6"),
        ]
    )
    shown = gallery(found, Manifest(found.samples, "."), confusion(found))
    (pair,) = shown.pairs
    assert (pair["true"], pair["predicted"], pair["count"], pair["support"]) == ("a", "b", 3, 4)
    assert (pair["back"], pair["back_support"]) == (1, 3)
    # The surest of each group before a second one of the same.
    assert [card["sample"].video for card in pair["confused"]] == ["1.mp4", "2.mp4"]
    assert [card["sample"].video for card in pair["answered"]] == ["5.mp4", "4.mp4"]
    assert [card["probability"] for card in shown.mistakes] == [0.9, 0.8, 0.7, 0.6]
    assert shown.mistakes[0]["true_probability"] == pytest.approx(0.05)
    assert all(card["picture"] is None for card in shown.mistakes)  # there are no such videos


def test_least_sure_hits_are_right_and_in_order() -> None:
    found = made(
        [("a", "a", 0.9, ""), ("a", "b", 0.4, ""), ("b", "b", 0.5, ""), ("c", "c", 0.6, "")]
    )
    assert least_sure_hits(found, 2) == [2, 3]


def test_no_more_pairs_than_a_page_holds(scored: Callable[..., Any]) -> None:
    one = scored(labels=[f"c{i}" for i in range(20)], samples=400)
    counts = np.array(one.metrics["confusion"]["counts"])
    pairs = gallery(one.predictions, one.manifest, counts).pairs
    assert len(pairs) == PAIRS
    named = [frozenset((pair["true"], pair["predicted"])) for pair in pairs]
    assert len(set(named)) == PAIRS
    counted = [pair["count"] for pair in pairs]
    assert counted == sorted(counted, reverse=True)


def test_worst_groups() -> None:
    rows = [("a", "b", 0.6 + i / 100, "bad") for i in range(6)]
    rows += [("a", "a", 0.9, f"good{i // 4}") for i in range(40)]
    rows += [("a", "c", 0.5, "good0")]
    found = worst_groups(made(rows))
    assert found is not None
    (worst,) = found["worst"]
    assert (worst["name"], worst["wrong"], worst["samples"]) == ("bad", 6, 6)
    assert worst["said"] == [("b", 6)]
    assert worst["rows"] == [5, 4, 3, 2]  # the surest of its mistakes
    assert found["ratio"] > 3
    assert found["p"] < 0.01


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "b", 0.6, "")] * 3,  # no groups
        [("a", "b", 0.6, f"g{i}") for i in range(3)],  # each clip by itself
        [("a", "a", 0.6, "g")] * 3,  # nothing is wrong
    ],
)
def test_no_group_stands_out(rows: list[tuple[str, str, float, str]]) -> None:
    assert worst_groups(made(rows)) is None
