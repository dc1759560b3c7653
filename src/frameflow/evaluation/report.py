"""``report.html``: one file that opens from disk, with every figure and what it rests on.

What each part shows is worked out in a module of its own (``_report_*``); how, is in the templates
of `frameflow.pages`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frameflow._files import write_text
from frameflow.data.manifest import Manifest
from frameflow.evaluation import _ensemble_words as ensemble
from frameflow.evaluation import _report_run as run_parts
from frameflow.evaluation._report_classes import absent, class_rows, findings, largest, together
from frameflow.evaluation._report_clips import gallery
from frameflow.evaluation._report_timeline import timelines
from frameflow.evaluation._report_trust import (
    calibration_section,
    conditions_section,
    refusal_section,
)
from frameflow.evaluation._words import (
    Metrics,
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
from frameflow.evaluation.conditions import by_columns, conditions
from frameflow.evaluation.predictions import Predictions
from frameflow.pages import plots
from frameflow.pages.confusion import matrix
from frameflow.pages.page import markup, render_page
from frameflow.pages.strips import Strip
from frameflow.video.measure import ClipMeasures


def write_report(
    path: Path,
    metrics: Metrics,
    predictions: Predictions,
    *,
    manifest: Manifest,
    history: Path | None = None,
    recipe: str = "",
    measures: Sequence[ClipMeasures | None] | None = None,
    explanations: Mapping[int, Strip] | None = None,
    audit: Mapping[str, Any] | None = None,
    by: str | Sequence[str] | None = None,
    training: Mapping[str, Any] | None = None,
    own: Manifest | None = None,
) -> None:
    """Write the page.

    Args:
        path: of the file to write.
        metrics: what ``metrics.json`` holds.
        predictions: of the samples that were scored.
        manifest: finds the videos of the samples, for their pictures.
        history: the ``history.csv`` of the training; without it there are no learning curves.
        recipe: the recipe's YAML, shown folded.
        measures: of the samples; needed only where ``metrics`` holds no ``conditions``.
        explanations: by the row of a sample, a strip of what its answer rests on.
        audit: of the splits; that of ``metrics`` where None.
        by: columns of the manifest to tell the accuracy by; those of ``metrics`` where None.
        training: the record of the training; that of ``metrics`` where None.
        own: the run's manifest with all its splits, for the summary of the data.

    Raises:
        UsageError: the manifest has no such column as ``by`` names.
    """
    text = render(
        metrics,
        predictions,
        manifest,
        history=history,
        recipe=recipe,
        measures=measures,
        explanations=explanations,
        audit=audit,
        by=by,
        training=training,
        own=own,
        frames=path.parent,
    )
    write_text(path, text)


def render(
    metrics: Metrics,
    predictions: Predictions,
    manifest: Manifest,
    *,
    history: Path | None = None,
    recipe: str = "",
    measures: Sequence[ClipMeasures | None] | None = None,
    explanations: Mapping[int, Strip] | None = None,
    audit: Mapping[str, Any] | None = None,
    by: str | Sequence[str] | None = None,
    training: Mapping[str, Any] | None = None,
    own: Manifest | None = None,
    frames: Path | None = None,
) -> str:
    """The page as text; see `write_report`. ``frames``: where ``frame_predictions.csv`` may be."""
    metrics = _completed(metrics, predictions, measures, by)
    several, counts = multilabel(metrics), _counts(metrics)
    clips = gallery(predictions, manifest, counts, explanations)
    calibration = calibration_section(metrics)
    curves = run_parts.learning_curves(history, several)
    values = {
        "findings": findings(metrics, clips.groups, calibration),
        "classes": class_rows(metrics),
        "absent": absent(metrics),
        "confusion": None if counts is None else matrix(counts, labels(metrics)),
        "largest": [] if counts is None else largest(counts, labels(metrics)),
        "clips": clips,
        "together": together(clips.groups) if clips.groups else "",
        "timelines": timelines(frames) if frames else {"videos": [], "left_out": 0},
        "conditions": conditions_section(metrics),
        "by": metrics.get("by") or [],
        "calibration": calibration,
        "refusal": refusal_section(metrics),
        "curves": [markup(chart) for chart in curves],
        "kept": any(run_parts.KEPT in chart for chart in curves),
        "bad_videos": [
            *({"split": metrics["split"], **bad} for bad in metrics["bad_videos"]),
            *metrics["bad_in_training"],
        ],
        "splits": run_parts.split_rows(own, several),
        "class_counts": run_parts.class_counts(own, several),
        "open_counts": run_parts.few_classes(metrics),
        "audit": audit if audit is not None else metrics.get("audit"),
        "training": run_parts.training_rows(training or metrics.get("training")),
        "commands": run_parts.commands(metrics),
        "recipe": recipe,
    }
    contents = _contents(values, several)
    return render_page("report.html.j2", **_summary(metrics), **values, contents=contents)


def _summary(metrics: Metrics) -> dict[str, Any]:
    """The head of the page."""
    figure, key, value = headline_figure(metrics)
    bounds, guess = metrics["intervals"][key], chance(metrics)
    bar = plots.interval_bar(value, bounds, chance=guess, name=figure, guess=chance_words(metrics))
    return {
        "metrics": metrics,
        "several": multilabel(metrics),
        "headline": headline(metrics),
        "warnings": warnings(metrics),
        "facts": [*facts(metrics), *ensemble.facts(metrics)],
        "figures": figures(metrics),
        "spread": spread(metrics).rstrip("."),
        "interval_name": interval_name(metrics),
        "figure": figure,
        "value": value,
        "chance": guess,
        "chance_words": chance_words(metrics),
        "interval": markup(bar),
    }


def _completed(
    metrics: Metrics,
    predictions: Predictions,
    measures: Sequence[ClipMeasures | None] | None,
    by: str | Sequence[str] | None,
) -> Metrics:
    """The metrics with what was asked for and they do not hold."""
    found = dict(metrics)
    if not found.get("conditions") and measures is not None:
        found["conditions"] = conditions(predictions, measures, seed=metrics["seed"])
    if by is not None:
        found["by"] = by_columns(predictions, [by] if isinstance(by, str) else by)
    return found


def _counts(metrics: Metrics) -> np.ndarray | None:
    """The confusion matrix; there is none in multi-label."""
    if multilabel(metrics):
        return None
    return np.array(metrics["confusion"]["counts"], dtype=np.int64)


def _contents(values: Mapping[str, Any], several: bool) -> list[tuple[str, str]]:
    """The anchors of the sections that are there, and their names."""
    clips = values["clips"]
    sections = [
        ("classes", "Classes", values["classes"]),
        ("confusion", "Confusion", values["confusion"]),
        ("pairs", "Pairs", clips.pairs),
        ("mistakes", "Mistakes", clips.slips if several else clips.mistakes),
        ("doubts", "Least sure", clips.doubts),
        ("groups", "Groups", clips.groups),
        ("timeline", "Videos", values["timelines"]["videos"]),
        ("conditions", "Conditions", values["conditions"]),
        ("by", "Columns", values["by"]),
        ("calibration", "Calibration", values["calibration"]),
        ("refusal", "Refusal", values["refusal"]),
        ("curves", "Curves", values["curves"]),
        ("data", "Data", values["splits"] or values["audit"] or values["bad_videos"]),
        ("training", "Training", values["training"]),
        ("repeat", "Repeat", True),
    ]
    return [(anchor, name) for anchor, name, there in sections if there]
