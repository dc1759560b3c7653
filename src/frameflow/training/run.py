"""A run: the folder with all that one training produced."""

import json
import os
import re
import shlex
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow._places import url_in
from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.training.history import Epoch, read_history

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer


class Run:
    """Reads a run folder; each file is read when it is first asked for.

    Args:
        path: the folder.

    Raises:
        UsageError: there is no such folder. Each attribute raises it for a file that is missing
            or damaged, and names the file.

    Example:
        >>> Run("runs/default-tennis7-1").metrics["top1"]  # doctest: +SKIP
        0.554
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            what = "is a file, not a run folder" if self.path.exists() else "does not exist"
            raise UsageError(f"{self.path} {what}; `frameflow train` makes runs.")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    @cached_property
    def recipe(self) -> Recipe:
        """The complete recipe."""
        return load_recipe(self._file("recipe.yaml"))

    @cached_property
    def manifest(self) -> Manifest:
        """The samples and the splits that were used."""
        return Manifest.read(self._file("manifest.csv"), check_files=False)

    @cached_property
    def history(self) -> list[Epoch]:
        """The figures of each epoch."""
        return read_history(self.path / "history.csv")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What evaluation found on the test split, or on validation where there is no test."""
        validation = self.path / "evaluations" / "val" / "metrics.json"
        if not (self.path / "metrics.json").exists() and validation.exists():
            return dict(_json(validation))
        return dict(_json(self._file("metrics.json")))

    @property
    def report(self) -> Path:
        """``report.html`` of the evaluation that `metrics` are from."""
        validation = self.path / "evaluations" / "val" / "report.html"
        own = self.path / "report.html"
        return validation if validation.exists() and not own.exists() else own

    @property
    def is_finished(self) -> bool:
        """Whether everything is there, to the report that is written last."""
        return self.report.exists()

    def recognizer(self) -> "Recognizer":
        """The trained model."""
        from frameflow.models.recognizer import Recognizer

        return Recognizer.load(self.path)

    def summary(self) -> str:
        """The score, where things are and what to do next, in a few lines."""
        from frameflow.inference.evaluate import describe

        return (
            f"{describe(self.metrics)}\n"
            f"Run:     {self.path}\n"
            f"Report:  {self.report}\n"
            f"Next:    frameflow predict {shlex.quote(str(self.path))} VIDEO"
        )

    def _file(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise UsageError(
                f"{path} is missing: the run was stopped before it was written, or this is no "
                f"run folder. `frameflow train --resume {self.path}` goes on with a stopped run."
            )
        return path


def new_run_folder(
    out: str | os.PathLike[str] | None = None, *, recipe: str = "custom", source: str = "data"
) -> Path:
    """Make the folder of a new run.

    Args:
        out: the folder; None: ``runs/<recipe>-<source>-<n>`` with the first n that is free.
        recipe: the recipe's name, for the default.
        source: of the data, for the default.

    Raises:
        UsageError: ``out`` holds something already, or is a file.
    """
    if out is not None:
        refuse_used_folder(out)
        path = Path(out)
        path.mkdir(parents=True, exist_ok=True)
        return path
    name = "-".join(re.sub(r"[^\w.+-]+", "_", part) or "_" for part in (recipe, source))
    number = 1
    while True:
        path = Path("runs") / f"{name}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def refuse_used_folder(out: str | os.PathLike[str]) -> None:
    """Nothing that is there is written over.

    Raises:
        UsageError: ``out`` is a file or a folder that is not empty.
    """
    path = Path(out)
    if url := url_in(path):
        raise UsageError(f"A run is written to this machine: name a folder with --out, not {url}.")
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is a file: name a new folder.")
    if path.is_dir() and any(path.iterdir()):
        resume = f", or go on with it: --resume {path}" if (path / "recipe.yaml").exists() else ""
        raise UsageError(f"--out {path} is not empty: name a new folder{resume}.")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is damaged ({error}): write it again with `frameflow evaluate {path.parent}`."
        ) from None
