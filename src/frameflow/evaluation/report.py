"""``report.html``: one file that opens from disk, with every figure and what it rests on."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from frameflow._files import write_text
from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation._words import (
    chance,
    chance_words,
    facts,
    figures,
    headline,
    headline_figure,
    interval_name,
    labels,
    multilabel,
    spread,
    warnings,
)
from frameflow.evaluation.metrics import confused_pairs
from frameflow.evaluation.predictions import Predictions
from frameflow.pages import plots
from frameflow.pages.page import markup, render_page
from frameflow.pages.strips import strip

log = logging.getLogger(__name__)

Metrics = Mapping[str, Any]

MISTAKES = 12
PAIRS = 12


def write_report(
    path: Path,
    metrics: Metrics,
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
    metrics: Metrics,
    predictions: Predictions,
    manifest: Manifest,
    *,
    history: Path | None = None,
    recipe: str = "",
) -> str:
    """The page as text; see `write_report`."""
    scored = [entry for entry in metrics["per_class"] if entry["support"]]
    several, (figure, key, value) = multilabel(metrics), headline_figure(metrics)
    area = "average_precision" if several else "f1"
    return render_page(
        "report.html.j2",
        metrics=metrics,
        headline=headline(metrics),
        warnings=warnings(metrics),
        facts=facts(metrics),
        figures=figures(metrics),
        spread=spread(metrics).rstrip("."),
        interval_name=interval_name(metrics),
        figure=figure,
        value=value,
        several=several,
        chance=chance(metrics),
        chance_words=chance_words(metrics),
        interval=markup(_interval_bar(metrics, figure, value, metrics["intervals"][key])),
        curves=[markup(chart) for chart in _learning_curves(history, several)],
        classes=sorted(scored, key=lambda entry: (entry[area], entry["label"])),
        **(_slips(predictions, manifest) if several else _confusions(metrics)),
        mistakes=[] if several else _mistakes(predictions, manifest),
        bad_videos=[
            *({"split": metrics["split"], **bad} for bad in metrics["bad_videos"]),
            *metrics["bad_in_training"],
        ],
        recipe=recipe,
    )


def _interval_bar(metrics: Metrics, figure: str, value: float, bounds: Any) -> str:
    if not multilabel(metrics):
        return plots.interval_bar(value, bounds, chance=chance(metrics))
    return plots.interval_bar(
        value, bounds, chance=chance(metrics), name=figure, guess=chance_words(metrics)
    )


def _confusions(metrics: Metrics) -> dict[str, Any]:
    """The confusion matrix and its largest cells; nothing of these is defined in multi-label."""
    names = labels(metrics)
    counts = np.array(metrics["confusion"]["counts"], dtype=np.int64)
    drawn = markup(plots.confusion_matrix(counts, names))
    return {"confusion": drawn, "pairs": _pairs(counts, names), "slips": []}


def _slips(predictions: Predictions, manifest: Manifest) -> dict[str, Any]:
    """The surest wrong decisions on a label of a sample."""
    found = []
    for row, column in predictions.surest_slips(MISTAKES):
        sample = predictions.samples[row]
        found.append(
            {
                "sample": sample,
                "name": _short_name(sample),
                "label": predictions.labels[column],
                "missed": predictions.labels[column] in sample.labels,
                "probability": float(predictions.probabilities[row, column]),
                "labels": sample.labels,
                "picture": strip(manifest, sample),
            }
        )
    return {"confusion": "", "pairs": [], "slips": found}


def _short_name(sample: Sample) -> str:
    return "/".join(PurePath(sample.video).parts[-2:])


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
                "name": _short_name(sample),
                "predicted": label,
                "probability": share,
                "true_probability": own,
                "picture": strip(manifest, sample),
            }
        )
    return found


def _learning_curves(history: Path | None, several: bool) -> list[str]:
    columns = _columns(history)
    epochs = [value or 0.0 for value in columns.get("epoch", [])]
    if len(epochs) < 1:
        return []
    mark = None
    losses = [(v, e) for v, e in zip(columns.get("val_loss", []), epochs) if v is not None]
    if losses:
        mark = (min(losses)[1], "kept")
    charts = []
    # In multi-label the history's top-1 asks whether the likeliest label is one of the true ones.
    hits = "Likeliest label is true" if several else "Top-1"
    for figure, title in (("loss", "Loss"), ("top1", hits)):
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
