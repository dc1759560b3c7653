"""The report's part on frame-labelled videos: what was said along each video's time."""

import math
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

from frameflow.evaluation.frame_predictions import (
    FILE,
    Frames,
    place_in_time,
    read_frame_predictions,
)
from frameflow.pages.page import markup
from frameflow.pages.timeline import timeline

MOST = 24  # videos that are drawn; the table has all
_SPLITS = ("test", "val", "train", "")
_SEEN = {
    "train": "The model has learned from these frames.",
    "val": "These frames decided when to stop.",
}


def timelines(folder: Path) -> dict[str, Any]:
    """What ``frame_predictions.csv`` in a folder holds, drawn video by video; the test first.

    Returns:
        ``videos``: for each its ``name``, ``split``, ``frames``, how many are ``wrong``, what is
        to be ``said`` of the split, and the ``chart``; ``left_out``: how many are not drawn. Empty
        where there is no such table or several labels a frame.

    Raises:
        UsageError: the table is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {"videos": [], "left_out": 0}
    frames = read_frame_predictions(path)
    numbers = {label: index for index, label in enumerate(frames.labels)}
    said = {row["prediction"] for row in frames.rows}
    true = {row["label"] for row in frames.rows} - {""}
    if not said | true <= set(numbers):  # several labels a frame: there is no band of one class
        return {"videos": [], "left_out": 0}
    by_video: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, row in enumerate(frames.rows):
        by_video[row["video"], row["split"]].append(index)
    order = sorted(by_video, key=lambda key: (_SPLITS.index(key[1]), key[0]))
    drawn = [_video(frames, numbers, key, by_video[key]) for key in order[:MOST]]
    return {"videos": drawn, "left_out": len(order) - len(drawn)}


def _video(
    frames: Frames, numbers: dict[str, int], key: tuple[str, str], rows: list[int]
) -> dict[str, Any]:
    video, split = key
    name = "/".join([part for part in PurePath(video).parts if part != ".."][-2:])
    places = {row: place_in_time(frames.rows[row]["frame"]) for row in rows}
    if any(math.isnan(place) for place in places.values()):
        places = {row: float(number) for number, row in enumerate(rows)}
    rows = sorted(rows, key=lambda row: places[row])
    said = [numbers[frames.rows[row]["prediction"]] for row in rows]
    truth = [numbers.get(frames.rows[row]["label"], -1) for row in rows]
    chart = timeline(
        [places[row] for row in rows],
        frames.probabilities[rows],
        frames.labels,
        truth,
        title=name,
        predicted=said,
    )
    return {
        "name": name,
        "split": split,
        "frames": len(rows),
        "wrong": sum(frames.rows[row]["error"] == "1" for row in rows),
        "said": _SEEN.get(split, ""),
        "chart": markup(chart),
    }
