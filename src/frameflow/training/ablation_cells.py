"""Finished cells of an ablation: one JSON file for each recipe and seed."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frameflow._files import write_json
from frameflow.evaluation.reliability import sample_losses
from frameflow.training.results import FoldScore, Study

log = logging.getLogger(__name__)

FOLDER = "cells"


@dataclass(frozen=True)
class Cell:
    """What one recipe with one seed answered out of fold.

    Attributes:
        scores: of each fold; empty where it failed.
        rows: ``(n,)`` which samples of the manifest could be read.
        predicted: ``(n,)`` their likeliest classes.
        loss: ``(n,)`` -log(probability of the true class).
        probabilities: ``(n, K)`` in multi-label, where figures need them; else None.
        seconds: what training and testing took.
        failed: why there are no figures, or an empty string.
    """

    scores: Sequence[FoldScore]
    rows: np.ndarray
    predicted: np.ndarray
    loss: np.ndarray
    probabilities: np.ndarray | None
    seconds: float
    failed: str = ""

    @classmethod
    def of(cls, study: Study, rows: np.ndarray, targets: np.ndarray, seconds: float) -> "Cell":
        """From the study of one seed; ``targets`` are classes, or ``(n, K)`` in multi-label."""
        found, several = study.probabilities, targets.ndim == 2
        return cls(
            scores=study.scores,
            rows=rows,
            predicted=found.argmax(axis=1),
            loss=np.zeros(len(found)) if several else sample_losses(targets, found),
            probabilities=found if several else None,
            seconds=seconds,
        )

    @classmethod
    def failure(cls, reason: str) -> "Cell":
        """A cell without figures."""
        none = np.zeros(0, dtype=np.int64)
        return cls((), none, none, np.zeros(0), None, 0.0, reason)


def cell_path(folder: Path, digest: str, seed: int) -> Path:
    """Where the cell of a recipe and a seed is kept."""
    return folder / FOLDER / f"{digest}-seed{seed}.json"


def write_cell(path: Path, cell: Cell, *, name: str) -> None:
    """Write a cell whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shares = cell.probabilities
    write_json(
        path,
        {
            "variant": name,
            "failed": cell.failed,
            "seconds": cell.seconds,
            "scores": [asdict(score) for score in cell.scores],
            "rows": cell.rows.tolist(),
            "predicted": cell.predicted.tolist(),
            "loss": [round(float(value), 6) for value in cell.loss],
            "probabilities": None if shares is None else np.round(shares, 6).tolist(),
        },
        indent=None,
    )


def read_cell(path: Path) -> Cell | None:
    """A finished cell; None where there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        return _cell(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s): it is trained again.", path, error)
        return None


def _cell(found: Mapping[str, Any]) -> Cell:
    shares = found["probabilities"]
    cell = Cell(
        scores=[FoldScore(**score) for score in found["scores"]],
        rows=np.array(found["rows"], dtype=np.int64),
        predicted=np.array(found["predicted"], dtype=np.int64),
        loss=np.array(found["loss"], dtype=np.float64),
        probabilities=None if shares is None else np.array(shares, dtype=np.float64),
        seconds=float(found["seconds"]),
        failed=str(found["failed"]),
    )
    if not len(cell.rows) == len(cell.predicted) == len(cell.loss):
        raise ValueError("its columns differ in length")
    return cell
