"""Write the report and the model card of an evaluation again, from its files and without the model.

For a run whose report was lost, or that another version of FrameFlow wrote: nothing is scored anew,
so every figure stays as it is.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frameflow.config import dump_recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing
from frameflow.evaluation._words import labels, multilabel
from frameflow.evaluation.card import write_card
from frameflow.evaluation.predictions import Predictions, read_predictions
from frameflow.evaluation.report import write_report
from frameflow.inference._conditions import columns_asked

log = logging.getLogger(__name__)

_NEEDED = (
    *("samples", "groups", "intervals", "per_class", "notes", "macro", "log_loss"),
    *("split", "manifest", "leaky", "seen_in_training", "views", "seed", "recipe", "run"),
    *("weights", "engine", "precision", "unlabelled", "bad_videos", "bad_in_training"),
    *("versions", "date"),
)


def rewrite_report(run: Path, *, by: str | Sequence[str] | None = None) -> Path:
    """Write ``report.html`` and ``README.md`` again.

    Args:
        run: the folder of a run, or of one of its further scores (``RUN/evaluations/val``).
        by: columns of the manifest to tell the accuracy by; those of the evaluation where None.

    Returns:
        The path of the report. Pictures that only the model can make (what an answer rests on) are
        not in it.

    Raises:
        UsageError: no run, one that was never evaluated, or a file that is missing, damaged or of
            another evaluation; the message names it.
    """
    folder, run = _folders(Path(run))
    metrics = _metrics(folder, run)
    recipe = load_recipe(_there(run, "recipe.yaml"))
    own = Manifest.read(_there(run, "manifest.csv"), check_files=False)
    manifest = _scored(own, metrics)
    said = read_predictions(_there(folder, "predictions.csv", cure=_again(run)))
    found = _joined(_checked(said, metrics, folder, run), manifest)
    columns = None if by is None else columns_asked(by, manifest)
    write_card(folder / "README.md", metrics, recipe=recipe, manifest=own)
    write_report(
        folder / "report.html",
        metrics,
        found,
        manifest=manifest,
        history=run / "history.csv",
        recipe=dump_recipe(recipe),
        by=columns,
        own=own,
    )
    log.info("Wrote the report %s.", folder / "report.html")
    return folder / "report.html"


def _folders(path: Path) -> tuple[Path, Path]:
    """The folder of the evaluation and that of the run."""
    if not path.is_dir():
        what = "is a file, not a run folder" if path.exists() else "does not exist"
        raise UsageError(f"{path} {what}; `frameflow train` makes runs.")
    if path.resolve().parent.name == "evaluations":
        return path, path.resolve().parents[1]
    validation = path / "evaluations" / "val"
    if not (path / "metrics.json").exists() and (validation / "metrics.json").exists():
        return validation, path  # a run without a test split is scored on validation
    return path, path


def _there(folder: Path, name: str, *, cure: str = "") -> Path:
    path = folder / name
    if not path.is_file():
        cure = cure or "copy the run folder again, or train again."
        raise UsageError(f"{path} is missing, and a report needs it: {cure}")
    return path


def _again(run: Path) -> str:
    return f"`frameflow evaluate {run}` scores the run again and writes it."


def _metrics(folder: Path, run: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not path.is_file():
        if not (run / "model.json").is_file():
            raise UsageError(
                f"{folder} is no finished run: it has neither model.json nor metrics.json. "
                f"`frameflow train` writes runs."
            )
        raise UsageError(
            f"{folder} was never evaluated (it has no metrics.json): `frameflow evaluate {run}` "
            f"scores it and writes the report."
        )
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        missing = [name for name in _NEEDED if name not in metrics]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error}): {_again(run)}") from None
    if missing or not isinstance(metrics, dict):
        raise UsageError(
            f"{path} is damaged, or of another version: it lacks {listing(missing, most=3)}. "
            f"{_again(run)}"
        )
    return metrics


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no figure")


def _scored(own: Manifest, metrics: Mapping[str, Any]) -> Manifest:
    """The manifest of what was scored; of one that is gone nothing but the pictures are missed."""
    if metrics["manifest"] == "manifest.csv":
        return own
    path = Path(metrics["manifest"])
    if not path.is_file():
        log.warning("%s is not there any more, so the report has no pictures of clips.", path)
        return own.replace([])
    return Manifest.read(path, check_files=False)


def _checked(said: Predictions, metrics: Mapping[str, Any], folder: Path, run: Path) -> Predictions:
    """The predictions, if they are those that the figures are of."""
    path, known = folder / "predictions.csv", labels(metrics)
    if list(said.labels) != known or said.multilabel != multilabel(metrics):
        raise UsageError(
            f"{path} is of another label set ({listing(list(said.labels), most=5)}) than "
            f"metrics.json ({listing(known, most=5)}): {_again(run)}"
        )
    names = {name for s in said.samples for name in s.label_names(multilabel=said.multilabel)}
    if unknown := sorted(names - set(known)):
        raise UsageError(
            f"{path} has the labels {listing(unknown, most=5)}, which the model does not know: "
            f"{_again(run)}"
        )
    if len(said) != metrics["samples"]:
        raise UsageError(
            f"{path} has {len(said)} samples and metrics.json {metrics['samples']}: they are of "
            f"different evaluations. {_again(run)}"
        )
    return said


def _joined(said: Predictions, manifest: Manifest) -> Predictions:
    """The predictions with what the manifest knows of their samples: splits and further columns."""
    rows = {_place(sample): sample for sample in manifest}
    samples = [rows.get(_place(sample), sample) for sample in said.samples]
    return Predictions(samples, said.labels, said.probabilities, multilabel=said.multilabel)


def _place(sample: Sample) -> tuple[object, ...]:
    return (sample.video, sample.start, sample.end, sample.frame)
