"""What a recognizer said of each sample: ``predictions.csv`` and ``results.json``."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from frameflow._files import write_parts
from frameflow.data.labels import join_labels, label_matrix
from frameflow.data.manifest import Sample
from frameflow.errors import UsageError
from frameflow.evaluation.metrics import rank
from frameflow.evaluation.multilabel import THRESHOLD

PREFIX = "p:"  # of the columns of probability, so that no label collides with another column
_ALWAYS = ("video", "label", "group")
_SETS = "present"  # the column that tells a table of multi-label
_SPAN = ("start", "end", "frame")


@dataclass(frozen=True)
class Predictions:
    """Samples and the probability of each class.

    Attributes:
        samples: N samples; a label is ``""`` where the truth is unknown.
        labels: the K labels of the model.
        probabilities: ``(N, K)``.
        multilabel: each label has a probability of its own, and a label cell holds several.

    Raises:
        UsageError: the shapes do not fit.

    Example:
        >>> found = Predictions([Sample("a.mp4", "run")], ["run", "walk"], np.array([[0.9, 0.1]]))
        >>> found.predicted, found.topk(0, 1)
        (['run'], [('run', 0.9)])
    """

    samples: Sequence[Sample]
    labels: Sequence[str]
    probabilities: np.ndarray
    multilabel: bool = False

    def __post_init__(self) -> None:
        expected = (len(self.samples), len(self.labels))
        if self.probabilities.shape != expected:
            raise UsageError(
                f"probabilities {self.probabilities.shape} must be {expected}: (samples, labels)."
            )

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def predicted(self) -> list[str]:
        """The likeliest label of each sample; in multi-label those `present`, joined by ``|``."""
        if self.multilabel:
            return [join_labels(self.present(row)) for row in range(len(self))]
        return [self.labels[index] for index in self.probabilities.argmax(axis=1)]

    @property
    def truth(self) -> np.ndarray:
        """``(N,)`` index of each sample's label; -1 where it has none."""
        numbers = {label: index for index, label in enumerate(self.labels)}
        return np.array([numbers.get(sample.label, -1) for sample in self.samples], dtype=np.int64)

    @property
    def targets(self) -> np.ndarray:
        """``(N, K)`` bool: which labels each sample has, in multi-label.

        Raises:
            UsageError: a sample has a label that the model does not know.
        """
        return label_matrix(self.samples, self.labels)

    def present(self, row: int) -> list[str]:
        """The labels of one sample whose probability is above 0.5, likeliest first."""
        return [label for label, share in self.topk(row, len(self.labels)) if share > THRESHOLD]

    def topk(self, row: int, k: int) -> list[tuple[str, float]]:
        """The ``k`` likeliest labels of one sample and their probabilities, likeliest first."""
        order = rank(self.probabilities[row : row + 1])[0, :k]
        return [(self.labels[i], float(self.probabilities[row, i])) for i in order]

    def surest_slips(self, most: int = 12) -> list[tuple[int, int]]:
        """Rows and columns of wrong decisions in multi-label, the surest first.

        A label that is said and does not apply, or applies and is not said. An unlabelled sample
        has none.
        """
        labelled = np.array([bool(sample.label) for sample in self.samples], dtype=bool)
        wrong = (self.targets != (self.probabilities > THRESHOLD)) & labelled[:, None]
        rows, columns = np.nonzero(wrong)
        sure = np.abs(self.probabilities[rows, columns] - THRESHOLD)
        order = np.argsort(-sure, kind="stable")[:most]
        return [(int(rows[place]), int(columns[place])) for place in order]

    def surest_mistakes(self, most: int = 12) -> list[int]:
        """Rows of wrong predictions, the most probable first."""
        truth, guess = self.truth, self.probabilities.argmax(axis=1)
        wrong = np.flatnonzero((truth >= 0) & (truth != guess))
        sure = self.probabilities[wrong, guess[wrong]]
        return [int(row) for row in wrong[np.argsort(-sure, kind="stable")[:most]]]

    def write_csv(self, path: Path) -> None:
        """One row a sample: what it is, the prediction, and ``p:LABEL`` for each label.

        In multi-label a column ``present`` holds the labels above 0.5, joined by ``|``, or
        ``none``, instead of ``predicted`` and ``probability``.
        """
        span = [name for name in _SPAN if any(getattr(s, name) is not None for s in self.samples)]
        answer = [_SETS] if self.multilabel else ["predicted", "probability"]
        header = [*_ALWAYS, *span, *answer, *(PREFIX + label for label in self.labels)]
        told = [getattr(sample, name) for sample in self.samples for name in (*_ALWAYS, *span)]
        quoting = _quoting(map(str, (*header, *told)))

        def rows() -> Iterator[list[str]]:
            yield header
            for sample, predicted, row in zip(self.samples, self.predicted, self.probabilities):
                cells = [getattr(sample, name) for name in (*_ALWAYS, *span)]
                shown = row if self.multilabel else (row.max(), *row)
                numbers = [f"{value:.6g}" for value in shown]
                yield ["" if c is None else str(c) for c in cells] + [predicted, *numbers]

        write_parts(path, (_written([row], quoting) for row in rows()))

    def results(self, *, topk: int = 5) -> dict[str, Any]:
        """Per sample the truth, the prediction and the ``topk`` likeliest labels, for JSON.

        In multi-label ``labels`` are the true ones, ``present`` those above 0.5, and ``correct``
        says whether both are the same.
        """
        truth = self.truth
        rows: list[dict[str, Any]] = []
        for index, (sample, predicted) in enumerate(zip(self.samples, self.predicted)):
            row: dict[str, Any] = {"video": sample.video}
            row |= {n: getattr(sample, n) for n in _SPAN if getattr(sample, n) is not None}
            if self.multilabel:
                row |= self._sets(index)
            else:
                row |= {"label": sample.label, "predicted": predicted}
                row["correct"] = sample.label == predicted if truth[index] >= 0 else None
            row["topk"] = [[label, round(share, 6)] for label, share in self.topk(index, topk)]
            rows.append(row)
        kind = {"multilabel": True} if self.multilabel else {}
        return {**kind, "labels": list(self.labels), "samples": rows}

    def _sets(self, row: int) -> dict[str, Any]:
        sample, present = self.samples[row], self.present(row)
        if not sample.label:
            return {"labels": None, "present": present, "correct": None}
        right = set(sample.labels) == set(present)
        return {"labels": list(sample.labels), "present": present, "correct": right}


def as_csv(table: Sequence[Sequence[str]]) -> str:
    """A table as CSV text; cells that hold a comma, a quote or a line's end are quoted."""
    return _written(table, _quoting(cell for row in table for cell in row))


def _quoting(cells: Iterable[str]) -> Literal[0, 1]:
    """Before Python 3.13 a lone carriage return in a label is not quoted by itself."""
    return csv.QUOTE_ALL if any("\r" in cell for cell in cells) else csv.QUOTE_MINIMAL


def _written(rows: Iterable[Sequence[str]], quoting: Literal[0, 1]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", quoting=quoting).writerows(rows)
    return file.getvalue()


def read_predictions(path: str | Path) -> Predictions:
    """Read ``predictions.csv`` back; with a column ``present`` it is one of multi-label.

    Raises:
        UsageError: the file is missing, is not such a table, or has a damaged row.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The predictions {path} cannot be read: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    labels = [name.removeprefix(PREFIX) for name in header if name.startswith(PREFIX)]
    if not labels or not {*_ALWAYS} <= set(header) or not {"predicted", _SETS} & set(header):
        raise UsageError(
            f"{path} is not a table of predictions: it needs the columns video, label, group, "
            f"predicted and one {PREFIX}LABEL for each label."
        )
    first = header.index(PREFIX + labels[0])
    samples, probabilities = [], []
    for number, cells in enumerate(reader, start=2):
        if len(cells) != len(header):
            raise UsageError(
                f"{path}, row {number} has {len(cells)} cells, the header has {len(header)}."
            )
        try:
            probabilities.append([_share(cell) for cell in cells[first:]])
            samples.append(_sample(dict(zip(header[:first], cells, strict=False)), number))
        except (ValueError, KeyError) as error:
            raise UsageError(f"{path}, row {number} is damaged ({error}).") from None
    table = np.array(probabilities, dtype=np.float64).reshape(len(samples), len(labels))
    return Predictions(samples, labels, table, multilabel=_SETS in header[:first])


def _share(cell: str) -> float:
    value = float(cell)
    if not 0 <= value <= 1:  # neither is NaN
        raise ValueError(f"{cell} is no probability")
    return value


def _sample(cells: dict[str, str], row: int) -> Sample:
    start, end = (float(cells[n]) if cells.get(n) else None for n in ("start", "end"))
    return Sample(
        video=cells["video"],
        label=cells["label"],
        group=cells["group"],
        start=start,
        end=end,
        frame=cells.get("frame") or None,
        row=row,
    )
