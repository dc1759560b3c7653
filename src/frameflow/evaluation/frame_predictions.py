"""``frame_predictions.csv``: what was said of each labelled frame of each video, in all splits."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frameflow._files import write_text
from frameflow.data.manifest import Sample
from frameflow.errors import UsageError
from frameflow.evaluation.predictions import PREFIX, Predictions, as_csv

FILE = "frame_predictions.csv"
COLUMNS = ("prediction", "video", "frame", "label", "split", "error")


@dataclass(frozen=True)
class Frames:
    """The labelled frames of videos and the probability of each class.

    Attributes:
        rows: N rows: the columns of `COLUMNS` by name.
        labels: the K labels of the model.
        probabilities: ``(N, K)``.
    """

    rows: Sequence[dict[str, str]]
    labels: Sequence[str]
    probabilities: np.ndarray


def has_frames(samples: Iterable[Sample]) -> bool:
    """Whether the samples are labelled by frame: each is a clip that ends at one."""
    return any(sample.frame is not None for sample in samples)


def write_frame_predictions(path: Path, parts: Sequence[Predictions]) -> None:
    """A row a frame: a column of probability for each class, then `COLUMNS`.

    A class that is named like another column gets ``p:`` before its name. ``error`` is 1 where the
    prediction is wrong, 0 where it is right, and empty where there is no label.

    Args:
        path: of the file to write.
        parts: what was said of each split, with the splits in the samples; all of one model.
    """
    rows = [
        (sample.row, predicted, sample, shares)
        for part in parts
        for sample, predicted, shares in zip(part.samples, part.predicted, part.probabilities)
        if sample.frame is not None
    ]
    several = any(part.multilabel for part in parts)
    table = [[*map(_column, parts[0].labels), *COLUMNS]]
    for _, predicted, sample, shares in sorted(rows, key=lambda row: row[0]):
        error = _wrong(sample, predicted, several=several) if sample.label else ""
        cells = (predicted, sample.video, sample.frame, sample.label, sample.split, error)
        table.append([*(f"{value:.6g}" for value in shares), *map(str, cells)])
    write_text(path, as_csv(table))


def _wrong(sample: Sample, predicted: str, *, several: bool) -> str:
    if several:
        return str(int(set(sample.labels) != set(Sample("", predicted).labels)))
    return str(int(sample.label != predicted))


def _column(label: str) -> str:
    return PREFIX + label if label in COLUMNS or label.startswith(PREFIX) else label


def read_frame_predictions(path: Path) -> Frames:
    """Read ``frame_predictions.csv`` back.

    Raises:
        UsageError: the file is missing, is no such table, or has a damaged row.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(io.StringIO(file.read(), newline=""))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"The predictions {path} cannot be read: {error}") from None
    classes = len(header) - len(COLUMNS)
    if tuple(header[classes:]) != COLUMNS or classes < 1:
        raise UsageError(
            f"{path} is not a table of frame predictions: after a column for each class it needs "
            f"{', '.join(COLUMNS)}."
        )
    shares = np.empty((len(rows), classes))
    for number, cells in enumerate(rows):
        try:
            shares[number] = [float(cell) for cell in cells[:classes]]
            whole = len(cells) == len(header) and bool(np.isfinite(shares[number]).all())
        except ValueError:
            whole = False
        if not whole:
            raise UsageError(
                f"{path}, row {number + 2} is damaged: score the run again with "
                f"`frameflow evaluate`."
            )
    named = [dict(zip(COLUMNS, cells[classes:])) for cells in rows]
    return Frames(named, [name.removeprefix(PREFIX) for name in header[:classes]], shares)


def place_in_time(frame: str) -> float:
    """The number of a frame, from its index or the last number in its file's name."""
    stem = Path(frame).stem
    digits = ""
    for letter in reversed(stem):
        if not letter.isdigit():
            break
        digits = letter + digits
    return float(digits) if digits else math.nan
