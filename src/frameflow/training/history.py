"""One row per epoch: in ``history.csv`` and as TensorBoard events."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from frameflow.config import Train
from frameflow.errors import UsageError


@dataclass
class Epoch:
    """The figures of one epoch; None where there is no validation split, or too few classes.

    Attributes:
        lr: the learning rate of the last step.
        train_loss: the mean loss that was minimised, with smoothing and weights.
        train_top1: as the samples were learned, so with dropout and before the later steps.
        val_loss: cross-entropy without smoothing or weights, in nats.
        val_top5: with more than five classes.
    """

    epoch: int
    lr: float
    train_loss: float
    train_top1: float
    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    seconds: float = 0.0


@dataclass
class Fitted:
    """How a training went. The module was trained in place and holds the kept weights.

    Attributes:
        history: one entry per epoch.
        best_epoch: whose weights are kept: of the lowest validation loss, or else the last.
        stopped_early: patience ran out before the epochs did, in any round.
        ends: the last epoch of each round that is over.
    """

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float | None = None
    stopped_early: bool = False
    ends: list[int] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        return len(self.history)

    @property
    def round(self) -> int:
        """The number of the round, from 0."""
        return len(self.ends)

    @property
    def round_epochs(self) -> int:
        """How many epochs of this round are done."""
        return self.epochs - self._start

    @property
    def round_losses(self) -> list[float]:
        """Of each epoch of this round: of validation, or else of training."""
        return [
            row.train_loss if row.val_loss is None else row.val_loss
            for row in self.history[self._start :]
        ]

    def is_over(self, settings: Train) -> bool:
        return self.round >= len(settings.rounds)

    @property
    def _start(self) -> int:
        return self.ends[-1] if self.ends else 0

    def add(self, row: Epoch, settings: Train) -> bool:
        """Take in an epoch; True where its weights are the ones to keep so far."""
        self.history.append(row)
        better = row.val_loss is None or self.best_loss is None or row.val_loss < self.best_loss
        if better:
            self.best_epoch, self.best_loss = row.epoch, row.val_loss
        waited = row.epoch - max(self.best_epoch, self._start)
        early = settings.patience is not None and waited >= settings.patience
        if early or self.round_epochs == settings.epochs:
            self.ends.append(row.epoch)
            self.stopped_early |= early
        return better


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """All rows, replacing the file in one step: a resumed run has no row twice."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)
    fresh.replace(path)


def read_history(path: Path) -> list[Epoch]:
    """The rows of a ``history.csv``.

    Raises:
        UsageError: the file is missing or damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_epoch(row) for row in csv.DictReader(file)]
    except OSError:
        raise UsageError(f"{path} is missing: the run was not trained to its end.") from None
    except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged ({error}).") from None


def _epoch(row: dict[str, str]) -> Epoch:
    kinds = get_type_hints(Epoch)
    values: dict[str, Any] = {}
    for name, kind in kinds.items():
        text = row[name]
        values[name] = None if text == "" else int(text) if kind is int else float(text)
    return Epoch(**values)
