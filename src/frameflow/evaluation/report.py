"""``report.html``: one file that opens from disk, with every figure and what it rests on."""

import csv
import logging
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from frameflow.data.manifest import Manifest
from frameflow.evaluation import plots
from frameflow.evaluation._files import write_text
from frameflow.evaluation._thumbnails import sheet
from frameflow.evaluation._words import (
    facts,
    figures,
    headline,
    interval_name,
    spread,
    warnings,
)
from frameflow.evaluation.metrics import confused_pairs
from frameflow.evaluation.predictions import Predictions

log = logging.getLogger(__name__)

MISTAKES = 12
PAIRS = 12


def write_report(
    path: Path,
    metrics: Mapping[str, Any],
    predictions: Predictions,
    *,
    manifest: Manifest,
    history: Path | None = None,
    recipe: str = "",
) -> None:
    """Write the page.

    Args:
        path: of the file to write.
        metrics: what ``metrics.json`` holds.
        predictions: of the samples that were scored.
        manifest: finds the videos of the samples, for the pictures of mistakes.
        history: the ``history.csv`` of the training; without it there are no learning curves.
        recipe: the recipe's YAML, shown folded.
    """
    write_text(path, render(metrics, predictions, manifest, history=history, recipe=recipe))


def render(
    metrics: Mapping[str, Any],
    predictions: Predictions,
    manifest: Manifest,
    *,
    history: Path | None = None,
    recipe: str = "",
) -> str:
    """The page as text; see `write_report`."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    labels = metrics["confusion"]["labels"]
    counts = np.array(metrics["confusion"]["counts"], dtype=np.int64)
    scored = [entry for entry in metrics["per_class"] if entry["support"]]
    bounds = metrics["intervals"]["top1"]
    chance = max(entry["support"] for entry in scored) / metrics["samples"]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_template("report.html.j2")).render(
        style=Markup(_template("report.css")),
        metrics=metrics,
        headline=headline(metrics),
        warnings=warnings(metrics),
        facts=facts(metrics),
        figures=figures(metrics),
        spread=spread(metrics).rstrip("."),
        interval_name=interval_name(metrics),
        chance=chance,
        interval=Markup(plots.interval_bar(metrics["top1"], bounds, chance=chance)),
        curves=[Markup(chart) for chart in _learning_curves(history)],
        confusion=Markup(plots.confusion_matrix(counts, labels)),
        classes=sorted(scored, key=lambda entry: (entry["f1"], entry["label"])),
        pairs=_pairs(counts, labels),
        mistakes=_mistakes(predictions, manifest),
        bad_videos=[
            *({"split": metrics["split"], **bad} for bad in metrics["bad_videos"]),
            *metrics["bad_in_training"],
        ],
        recipe=recipe,
    )


def _pairs(counts: np.ndarray, labels: list[str]) -> list[dict[str, Any]]:
    support = dict(zip(labels, counts.sum(axis=1).tolist()))
    return [
        {"true": true, "predicted": predicted, "count": count, "support": support[true]}
        for true, predicted, count in confused_pairs(counts, labels, most=PAIRS)
    ]


def _mistakes(predictions: Predictions, manifest: Manifest) -> list[dict[str, Any]]:
    found = []
    for row in predictions.surest_mistakes(MISTAKES):
        sample = predictions.samples[row]
        (label, share), *_ = predictions.topk(row, 1)
        own = float(predictions.probabilities[row, int(predictions.truth[row])])
        found.append(
            {
                "sample": sample,
                "name": "/".join(PurePath(sample.video).parts[-2:]),
                "predicted": label,
                "probability": share,
                "true_probability": own,
                "picture": sheet(manifest, sample),
            }
        )
    return found


def _learning_curves(history: Path | None) -> list[str]:
    columns = _columns(history)
    epochs = [value or 0.0 for value in columns.get("epoch", [])]
    if len(epochs) < 1:
        return []
    mark = None
    losses = [(v, e) for v, e in zip(columns.get("val_loss", []), epochs) if v is not None]
    if losses:
        mark = (min(losses)[1], "kept")
    charts = []
    for figure, title in (("loss", "Loss"), ("top1", "Top-1")):
        lines = [
            plots.Line("train", columns.get(f"train_{figure}", []), "second"),
            plots.Line("validation", columns.get(f"val_{figure}", []), "accent"),
        ]
        lines = [line for line in lines if any(value is not None for value in line.values)]
        if lines:
            limits = (0.0, 1.0) if figure == "top1" else None
            charts.append(plots.curves(lines, title=title, steps=epochs, mark=mark, limits=limits))
    return charts


def _columns(history: Path | None) -> dict[str, list[float | None]]:
    """The columns of ``history.csv``; empty where there is no such file."""
    if history is None or not history.is_file():
        return {}
    columns: dict[str, list[float | None]] = {}
    try:
        with history.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    columns.setdefault(name, []).append(float(text) if text else None)
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        log.warning("%s is damaged (%s), so the report has no learning curves.", history, error)
        return {}
    return columns


def _template(name: str) -> str:
    return (resources.files("frameflow.evaluation") / "templates" / name).read_text("utf-8")
