"""The clips to label next are unsure, unlike one another, and none that is labelled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.audit.next import choose_next, next_manifest, spread, unsure_and_spread
from frameflow.audit.vectors import ClipVectors
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError

Run = Callable[..., Any]


def vectors_of(values: np.ndarray) -> ClipVectors:
    rows = np.arange(len(values))
    return ClipVectors(rows, values.astype(np.float32), [], None)  # type: ignore[arg-type]


def line(places: list[float], labels: list[str]) -> tuple[Manifest, ClipVectors]:
    """Clips on a line: a low place is class a, a high one class b."""
    samples = [Sample(f"{row}.mp4", label) for row, label in enumerate(labels)]
    values = np.array([[place, 0.0] for place in places])
    return Manifest(samples, "."), vectors_of(values)


def test_the_clip_between_the_classes_is_chosen() -> None:
    places = [-3, -2.5, 2.5, 3, -2.8, 0.05, 2.9, -2.6]
    manifest, vectors = line(places, ["a", "a", "b", "b", "", "", "", ""])
    (choice,) = choose_next(manifest, vectors, 1)
    assert choice.row == 5
    assert choice.margin is not None
    assert choice.margin < 0.2
    assert "or" in choice.reason


def test_copies_of_one_unsure_clip_are_not_all_chosen() -> None:
    rng = np.random.default_rng(0)
    knot = np.array([0.0, 5.0]) + 0.01 * rng.normal(size=(9, 2))
    others = np.array([[0.0, -5.0], [0.0, -9.0], [0.0, 12.0]])
    chosen = unsure_and_spread(np.concatenate([knot, others]), np.ones(12), 4)
    assert {9, 10, 11} <= set(chosen)
    assert len(chosen) == 4


def test_sure_clips_wait_until_the_unsure_are_labelled() -> None:
    values = np.random.default_rng(0).normal(size=(40, 3))
    unsure = np.where(np.arange(40) < 12, 0.9, 0.1)
    assert max(unsure_and_spread(values, unsure, 4)) < 12


def test_more_than_there_are_gives_all_of_them() -> None:
    manifest, vectors = line([-3, 3, -1, 0, 1], ["a", "b", "", "", ""])
    assert sorted(choice.row for choice in choose_next(manifest, vectors, 9)) == [2, 3, 4]


@pytest.mark.parametrize("labels", [["", "", "", ""], ["a", "", "", ""]])
def test_without_two_labels_the_clips_stand_for_all(labels: list[str]) -> None:
    manifest, vectors = line([0, 0.1, 8, 16], labels)
    choices = choose_next(manifest, vectors, 2)
    assert len(choices) == 2
    assert all(choice.margin is None and not choice.likeliest for choice in choices)
    assert all("too few labels" in choice.reason for choice in choices)


def test_copies_leave_no_gap() -> None:
    same = np.zeros((6, 2))
    assert len(spread(same, 3)) == 3
    assert len(set(unsure_and_spread(same, np.ones(6), 3))) == 3


def test_probabilities_of_a_recognizer_are_taken() -> None:
    manifest, vectors = line([0, 1, 2, 3], ["a", "", "", ""])
    shares = np.array([[0.5, 0.5], [0.9, 0.1], [0.55, 0.45], [0.8, 0.2]])
    (choice,) = choose_next(manifest, vectors, 1, probabilities=shares, labels=["a", "b"])
    assert (choice.row, choice.likeliest[0]) == (2, ("a", pytest.approx(0.55)))


def test_the_same_clips_every_time() -> None:
    rng = np.random.default_rng(1)
    labels = ["a", "b"] * 5 + [""] * 30
    samples = [Sample(f"{row}.mp4", label) for row, label in enumerate(labels)]
    manifest, vectors = Manifest(samples, "."), vectors_of(rng.normal(size=(40, 6)))
    assert choose_next(manifest, vectors, 5) == choose_next(manifest, vectors, 5)


def test_what_is_written_keeps_the_columns(tmp_path: Path) -> None:
    samples = [Sample("1.mp4", "a"), Sample("2.mp4", "b"), Sample("3.mp4", extra={"camera": "x"})]
    manifest, vectors = Manifest(samples, tmp_path), vectors_of(np.eye(3))
    chosen = next_manifest(manifest, choose_next(manifest, vectors, 1))
    (sample,) = chosen.samples
    assert sample.label == ""
    assert sample.extra["camera"] == "x"
    assert sample.extra["rank"] == "1"
    assert sample.extra["guess"] in ("a", "b")


def test_faults_are_named() -> None:
    manifest, vectors = line([0, 1], ["a", "b"])
    with pytest.raises(UsageError, match="no readable clip without a label"):
        choose_next(manifest, vectors, 3)
    with pytest.raises(UsageError, match=r"count \(0\) must be > 0"):
        choose_next(manifest, vectors, 0)
