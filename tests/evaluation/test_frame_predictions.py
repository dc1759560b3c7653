"""``frame_predictions.csv``: a row a frame, whatever the labels are called."""

import csv
from pathlib import Path

import numpy as np
import pytest

from frameflow.data.manifest import Sample
from frameflow.errors import UsageError
from frameflow.evaluation.frame_predictions import (
    COLUMNS,
    has_frames,
    place_in_time,
    read_frame_predictions,
    write_frame_predictions,
)
from frameflow.evaluation.predictions import Predictions

LABELS = ["no, seal", "video", "p:x", 'läufer "走る"']


def parts() -> list[Predictions]:
    rng = np.random.default_rng(0)
    test = [
        Sample("b", LABELS[i % 4], "test", frame=f"b-{i:03d}.png", row=10 + i) for i in range(6)
    ]
    train = [Sample("a", LABELS[i % 4], "train", frame=str(i), row=2 + i) for i in range(8)]
    return [
        Predictions(rows, LABELS, rng.dirichlet(np.ones(4), len(rows))) for rows in (test, train)
    ]


def test_a_column_a_class_then_what_was_said(tmp_path: Path) -> None:
    test, train = parts()
    write_frame_predictions(tmp_path / "f.csv", [test, train])
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["no, seal", "p:video", "p:p:x", 'läufer "走る"', *COLUMNS]
    assert [row["video"] for row in table] == ["a"] * 8 + ["b"] * 6  # as the manifest has them
    assert [row["split"] for row in table] == ["train"] * 8 + ["test"] * 6
    for row, sample, said, shares in zip(
        table[8:], test.samples, test.predicted, test.probabilities, strict=True
    ):
        assert (row["prediction"], row["label"], row["frame"]) == (said, sample.label, sample.frame)
        assert row["error"] == str(int(said != sample.label))
        assert float(row["no, seal"]) == pytest.approx(shares[0], rel=1e-5)
    assert {row["error"] for row in table} == {"0", "1"}


def test_read_back(tmp_path: Path) -> None:
    write_frame_predictions(tmp_path / "f.csv", parts())
    back = read_frame_predictions(tmp_path / "f.csv")
    assert list(back.labels) == LABELS
    assert len(back.rows) == 14
    np.testing.assert_allclose(back.probabilities[8:], parts()[0].probabilities, rtol=1e-5)


def test_several_labels_are_wrong_where_their_sets_differ(tmp_path: Path) -> None:
    samples = [
        Sample("v", "y|x", "test", frame="0", row=2), Sample("v", "none", "test", frame="1", row=3),
        Sample("v", "x", "test", frame="2", row=4), Sample("v", "", "test", frame="3", row=5),
    ]  # fmt: skip
    shares = np.array([[0.9, 0.8], [0.1, 0.2], [0.1, 0.2], [0.9, 0.1]])
    write_frame_predictions(
        tmp_path / "f.csv", [Predictions(samples, ["x", "y"], shares, multilabel=True)]
    )
    rows = read_frame_predictions(tmp_path / "f.csv").rows
    assert [row["error"] for row in rows] == ["0", "0", "1", ""]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("prediction", "predicted"), "is not a table of frame"),
        (lambda text: text.replace("train", "train,more", 1), "row 2 is damaged"),
        (lambda text: "\n".join([text.split("\n")[0], "nan" + text.split("\n")[1][3:]]), "row 2"),
        (lambda text: "", "cannot be read"),  # noqa: ARG005
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "f.csv"
    write_frame_predictions(path, parts())
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_frame_predictions(path)


def test_which_samples_are_frames() -> None:
    assert has_frames([Sample("a"), Sample("a", frame="0")])
    assert not has_frames([Sample("a", start=1.0)])


@pytest.mark.parametrize(
    ("frame", "place"), [("s28-20-00017.jpeg", 17), ("42", 42), ("0007.png", 7)]
)
def test_frames_lie_in_time_by_their_numbers(frame: str, place: float) -> None:
    assert place_in_time(frame) == place
