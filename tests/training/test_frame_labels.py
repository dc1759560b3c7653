"""Frame-labelled data from the table of labels to the report."""

import csv
import json
from typing import Any

import numpy as np
import pytest

from frameflow.data.frame_labels import import_frame_labels
from frameflow.evaluation.frame_predictions import COLUMNS
from frameflow.training.pipeline import train
from frameflow.training.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three videos of 16 frames, one a split; half of each shows the seal, which is bright."""
    from PIL import Image

    root = tmp_path_factory.mktemp("frames")
    rows = ["video,frame,label,split"]
    for number, (video, split) in enumerate((("a", "train"), ("b", "valid"), ("c", "test"))):
        (root / video).mkdir()
        rng = np.random.default_rng(number)
        for frame in range(16):
            bright = 4 <= frame < 12
            pixels = (
                rng.integers(150, 250, (32, 32, 3)) if bright else rng.integers(0, 90, (32, 32, 3))
            )
            name = f"{video}-{frame + 1:05d}.jpeg"
            Image.fromarray(pixels.astype(np.uint8)).save(root / video / name)
            rows.append(f"{video},{name},{'seal' if bright else 'no seal'},{split}")
    (root / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    overrides = [
        "streams.0.backbone=resnet10t", "streams.0.weights=none", "streams.0.size=32",
        "streams.0.pool=max", "sampling.frames=3", "train.epochs=15", "train.patience=null",
        "head.hidden=16", "train.rounds=[1.0]", "train.lr=0.01",
    ]  # fmt: skip
    manifest = import_frame_labels(root / "labels.csv")
    return train(
        manifest, recipe="lrcn-frozen", overrides=overrides, out=root / "run", engine="torch"
    )


def table(run: Run) -> list[dict[str, str]]:
    with (run.path / "frame_predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_splits_are_written_and_the_test_is_the_one_that_is_scored(run: Run) -> None:
    rows = table(run)
    assert list(rows[0]) == ["no seal", "seal", *COLUMNS]
    assert [row["split"] for row in rows] == ["train"] * 16 + ["val"] * 16 + ["test"] * 16
    assert [row["frame"] for row in rows[:2]] == ["a-00001.jpeg", "a-00002.jpeg"]
    test = [row for row in rows if row["split"] == "test"]
    assert run.metrics["samples"] == len(test)
    wrong = sum(int(row["error"]) for row in test)
    assert run.metrics["top1"] == pytest.approx(1 - wrong / len(test))
    assert run.metrics["top1"] > 0.7  # bright or dark
    with (run.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        said = [(row["frame"], row["predicted"], row["p:seal"]) for row in csv.DictReader(file)]
    assert said == [(row["frame"], row["prediction"], row["seal"]) for row in test]


def test_one_video_a_split_has_no_interval_and_says_so(run: Run) -> None:
    from frameflow.inference.evaluate import describe

    assert run.metrics["intervals"]["top1"] is None
    assert "one group" in run.metrics["intervals"]["reason"]
    assert "undefined" in describe(run.metrics)
    card = (run.path / "README.md").read_text(encoding="utf-8")
    assert "undefined" in card


def test_a_later_evaluation_of_validation_writes_its_own_frames(run: Run) -> None:
    from frameflow.inference.evaluate import evaluate

    before = table(run)
    evaluate(run.path, split="val", engine="torch")
    folder = run.path / "evaluations" / "val"
    with (folder / "frame_predictions.csv").open(encoding="utf-8", newline="") as file:
        rows: list[Any] = list(csv.DictReader(file))
    assert rows == [row for row in before if row["split"] == "val"]
    assert (
        json.loads((folder / "results.json").read_text(encoding="utf-8"))["path_model"] == "../.."
    )
    assert table(run) == before


def test_the_report_draws_each_video(run: Run) -> None:
    page = (run.path / "report.html").read_text(encoding="utf-8")
    part = page[page.index('id="timeline"') :].split("</section>")[0]
    assert [part.index(f"<h3>{name}</h3>") for name in ("c", "b", "a")] == sorted(
        part.index(f"<h3>{name}</h3>") for name in ("a", "b", "c")
    )
    assert part.count("<polyline") == 6
    wrong = sum(int(row["error"]) for row in table(run) if row["split"] == "test")
    assert f"test: {wrong} of 16 frames wrong." in part
    assert "masked" in (run.path / "README.md").read_text(encoding="utf-8")
