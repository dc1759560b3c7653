"""Which frame of a video an image shows, and when: the table beside extracted frames.

A folder of images says nothing of time, so it counts as 25 frames a second. Where it holds a
``frames.csv`` with the columns ``file``, ``frame`` and ``seconds`` that names exactly its images in
order, the seconds of the table hold instead.
"""

import csv
import io
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frameflow._files import write_text

TABLE = "frames.csv"
HEADER = ("file", "frame", "seconds")


def write_frame_table(
    folder: Path, names: Sequence[str], frames: Sequence[int], seconds: Sequence[float]
) -> None:
    """Write ``frames.csv``, whole or not at all.

    Args:
        folder: of the images.
        names: of the images, in order.
        frames: the index of each in its video, from 0.
        seconds: when each is shown, from the start of its video.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((n, f, f"{s:.6f}") for n, f, s in zip(names, frames, seconds, strict=True))
    write_text(folder / TABLE, text.getvalue())


def read_frame_table(folder: Path) -> list[tuple[str, int, float]] | None:
    """(file, frame, seconds) of each image; None where there is no such table, or a damaged one."""
    try:
        with open(folder / TABLE, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    if not rows or tuple(rows[0]) != HEADER:
        return None
    try:
        read = [(name, int(frame), float(seconds)) for name, frame, seconds in rows[1:]]
    except ValueError:
        return None
    times = [seconds for _, _, seconds in read]
    rising = all(a < b for a, b in pairwise(times))
    return read if read and rising and times[0] >= 0 and math.isfinite(times[-1]) else None


def table_seconds(folder: Path, names: Sequence[str]) -> NDArray[np.float64] | None:
    """(images,) seconds at which each is shown; None where no table names exactly these images."""
    rows = read_frame_table(folder)
    if rows is None or [name for name, _, _ in rows] != list(names):
        return None
    return np.array([seconds for _, _, seconds in rows])


def rate_of(seconds: NDArray[np.float64]) -> float | None:
    """The mean rate of frames shown at these times; None of a single one, which has none."""
    if len(seconds) < 2:
        return None
    return float((len(seconds) - 1) / (seconds[-1] - seconds[0]))
