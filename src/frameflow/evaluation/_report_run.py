"""The parts of a report on the run itself: curves, cost, data, and how to repeat it."""

import csv
import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frameflow.data.manifest import SPLITS, Manifest
from frameflow.evaluation import _ensemble_words as ensemble
from frameflow.evaluation._words import Metrics, labels, plural
from frameflow.pages import plots

log = logging.getLogger(__name__)

KEPT = "weights kept"


def learning_curves(history: Path | None, several: bool) -> list[str]:
    """Loss and accuracy over the epochs, one SVG each; none where nothing was recorded."""
    columns = _columns(history)
    epochs = [value or 0.0 for value in columns.get("epoch", [])]
    if len(epochs) < 1:
        return []
    mark = None
    losses = [(v, e) for v, e in zip(columns.get("val_loss", []), epochs) if v is not None]
    if losses:
        mark = (min(losses)[1], KEPT)
    charts = []
    # In multi-label the history's top-1 asks whether the likeliest label is one of the true ones.
    correct = "Likeliest label is true" if several else "Top-1"
    for figure, title in (("loss", "Loss"), ("top1", correct)):
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


def training_rows(training: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Time, memory and size; empty for a run that recorded none of it."""
    if not training:
        return []
    rows = [
        ("Learning", _learning(training)),
        ("Reading the clips", _time(training.get("extraction_seconds"))),
        ("Machine", training.get("device_name") or training.get("device")),
        ("Memory, at most", _gigabytes(training.get("peak_memory_gb"))),
        ("GPU memory, at most", _gigabytes(training.get("peak_gpu_memory_gb"))),
        ("Parameters", _parameters(training)),
        ("Saved model", _megabytes(training.get("model_bytes"))),
        ("Precision", training.get("precision")),
        ("Began", training.get("start")),
        ("Ended", training.get("end")),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _learning(training: Mapping[str, Any]) -> str:
    parts = [_time(training.get("seconds"))]
    if training.get("epochs"):
        parts.append(plural(training["epochs"], "epoch"))
    if training.get("best_epoch"):
        parts.append(f"that of epoch {training['best_epoch']} kept")
    if training.get("stopped_early"):
        parts.append("stopped early")
    return ", ".join(part for part in parts if part)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _gigabytes(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} GB"


def _megabytes(value: float | None) -> str:
    return "" if value is None else f"{value / 1e6:.1f} MB"


def _parameters(training: Mapping[str, Any]) -> str:
    total, learning = training.get("parameters"), training.get("parameters_learning")
    if total is None:
        return ""
    return f"{total:,}" + (f", of which {learning:,} learn" if learning is not None else "")


def split_rows(own: Manifest | None, several: bool) -> list[tuple[str, int, int, int]]:
    """Split, samples, groups and classes of the run's manifest."""
    if own is None:
        return []
    rows = []
    for split in (*SPLITS, ""):
        inside = [sample for sample in own if sample.split == split]
        if inside:
            names = {name for sample in inside for name in sample.label_names(multilabel=several)}
            groups = {sample.group for sample in inside} - {""}
            rows.append((split or "none", len(inside), len(groups), len(names - {""})))
    return rows


def class_counts(own: Manifest | None, several: bool) -> tuple[list[str], list[list[Any]]] | None:
    """Samples of each class in each split."""
    return None if own is None else own.counts(multilabel=several)


def commands(metrics: Metrics) -> list[str]:
    """What repeats the training from the run's own files, and what repeats this evaluation."""
    run = shlex.quote(metrics["run"])
    allow = " --allow-leak" if metrics["leaky"] else ""
    taught = f" --teacher {run}/teacher" if metrics.get("teacher") else ""
    begun = f" --init {shlex.quote(metrics['init']['run'])}" if metrics.get("init") else ""
    files = f"{run}/manifest.csv --recipe {run}/recipe.yaml"
    train = f"frameflow train {files}{begun}{taught} --out again{allow}"
    if ensemble.is_ensemble(metrics):
        train = ensemble.command(metrics)
    own = metrics["manifest"] == "manifest.csv"
    scored = "" if own else f" {shlex.quote(metrics['manifest'])}"
    split = "" if metrics["split"] == "test" else f" --split {metrics['split']}"
    evaluate = f"frameflow evaluate {run}{scored}{split} --views {metrics['views']}"
    return [train, evaluate + ("" if own else allow)]


def few_classes(metrics: Metrics) -> bool:
    """Whether the table of samples per class is short enough to stand open."""
    return len(labels(metrics)) <= 12
