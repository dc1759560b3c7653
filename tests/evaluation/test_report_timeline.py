"""The videos of frame-labelled data, drawn from the table of their predictions."""

from pathlib import Path

import numpy as np

from frameflow.data.manifest import Sample
from frameflow.evaluation._report_timeline import timelines
from frameflow.evaluation.frame_predictions import write_frame_predictions
from frameflow.evaluation.predictions import Predictions


def written(folder: Path, samples: list[Sample], *, multilabel: bool = False) -> None:
    shares = np.random.default_rng(0).dirichlet([1, 1], len(samples))
    part = Predictions(samples, ["no", "yes"], shares, multilabel=multilabel)
    write_frame_predictions(folder / "frame_predictions.csv", [part])


def test_videos_are_drawn_in_the_order_of_their_frames_the_test_first(tmp_path: Path) -> None:
    rows = [Sample("a", "no", "train", frame=f"{i}.png", row=i) for i in (10, 9, 2)]
    rows += [Sample("b", "yes", "test", frame=str(i), row=20 + i) for i in range(4)]
    written(tmp_path, rows)
    found = timelines(tmp_path)
    assert [(v["name"], v["split"], v["frames"]) for v in found["videos"]] == [
        ("b", "test", 4), ("a", "train", 3),
    ]  # fmt: skip
    assert "frame 2 to 2" in found["videos"][1]["chart"]
    assert "learned from" in found["videos"][1]["said"]
    assert found["left_out"] == 0


def test_nothing_is_drawn_where_there_is_nothing_to_draw(tmp_path: Path) -> None:
    assert timelines(tmp_path)["videos"] == []
    written(tmp_path, [Sample("a", "no|yes", "test", frame="1")], multilabel=True)
    assert timelines(tmp_path)["videos"] == []
