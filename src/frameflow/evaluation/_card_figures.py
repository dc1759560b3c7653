"""The parts of the model card that tell how good the model is, and where it is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from frameflow.errors import listing
from frameflow.evaluation._markdown import bullets, code, plain, table
from frameflow.evaluation._words import (
    chance,
    chance_words,
    facts,
    figures,
    headline,
    interval_name,
    labels,
    multilabel,
    plural,
    weak_classes,
)
from frameflow.evaluation.metrics import confused_pairs

Metrics = Mapping[str, Any]

_CLASSES = 5
_PAIRS = 5


def performance(metrics: Metrics) -> list[str]:
    """The figures with their intervals, and what they rest on."""
    rows = [
        (name, f"{value:.3f}", f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "")
        for name, value, bounds in figures(metrics)
    ]
    guess = f"For comparison: {chance_words(metrics)} would reach {chance(metrics):.3f}."
    return [
        f"On the {headline(metrics)}. {guess}",
        table(("figure", "value", interval_name(metrics)), rows),
        *([bullets([plain(note) for note in metrics["notes"]])] if metrics["notes"] else []),
        "What they rest on:",
        table(("", ""), [(name, plain(value)) for name, value in facts(metrics)]),
    ]


def classes(metrics: Metrics) -> list[str]:
    """The classes it knows best and worst, found by their F1, and the pairs it confuses."""
    scored = [entry for entry in metrics["per_class"] if entry["support"]]
    weak = weak_classes(metrics, most=_CLASSES)
    named = {entry["label"] for entry in weak}
    best = sorted(scored, key=lambda entry: (-entry["f1"], entry["label"]))
    best = [entry for entry in best if entry["label"] not in named and entry["f1"] > 0]
    lines = []
    if best:
        lines.append(f"Best classes: {', '.join(map(_class, best[:_CLASSES]))}.")
    if weak:
        lines.append(f"Weakest classes: {', '.join(map(_class, weak))}.")
    absent = [code(entry["label"]) for entry in metrics["per_class"] if not entry["support"]]
    if absent:
        lines.append(f"Not tested at all, for want of samples: {listing(absent, most=8)}.")
    return [*([bullets(lines)] if lines else []), *_pairs(metrics)]


def _class(entry: Mapping[str, Any]) -> str:
    bounds = (entry.get("intervals") or {}).get("f1")
    within = f", {bounds[0]:.2f} to {bounds[1]:.2f}" if bounds else ""
    count = plural(entry["support"], "sample")
    return f"{code(entry['label'])} (F1 {entry['f1']:.2f}{within}, {count})"


def _pairs(metrics: Metrics) -> list[str]:
    if multilabel(metrics):
        return []
    counts = np.array(metrics["confusion"]["counts"], dtype=np.int64)
    support = dict(zip(labels(metrics), counts.sum(axis=1).tolist()))
    rows = [
        (code(true), code(said), f"{count} of {support[true]}")
        for true, said, count in confused_pairs(counts, labels(metrics), most=_PAIRS)
    ]
    if not rows:
        return ["No class was taken for another."]
    return ["Most confused:", table(("true class", "predicted as", "samples"), rows)]


def conditions(metrics: Metrics) -> list[str]:
    """How clips look on which it fares worse, and columns of the manifest; empty if unknown."""
    found = metrics.get("conditions") or {}
    entries = found.get("conditions", [])
    mattering = [plain(entry["sentence"]) for entry in entries if entry["matters"]]
    parts = []
    if mattering:
        parts.append(bullets(mattering))
    elif entries:
        names = listing([entry["title"].lower() for entry in entries])
        parts.append(f"No trend of the accuracy with {names} is more than chance.")
    columns = [plain(entry["sentence"]) for entry in metrics.get("by") or [] if entry["sentence"]]
    if columns:
        parts.append(bullets(columns))
    return parts


def calibration(metrics: Metrics) -> list[str]:
    """Whether probabilities mean what they say; empty for a run without a calibration."""
    found = metrics.get("calibration")
    if not found:
        return []
    if found["method"] == "none":
        return [f"The probabilities are not calibrated. {plain(found.get('reason') or '')}".strip()]
    before, after = found["before"], found["after"]
    names = {"log_loss": "Log loss (nats)", "brier": "Brier score", "ece": "Calibration error"}
    rows = [
        (name, f"{before[key]:.3f}", f"{after[key]:.3f}")
        for key, name in names.items()
        if before.get(key) is not None and after.get(key) is not None
    ]
    text = (
        f"The probabilities are calibrated by {found['method']} scaling, fitted on "
        f"{plain(found['fitted_on'])}. On what was scored:"
    )
    perfect = metrics.get("ece_expected")
    more = (
        [f"With perfect calibration so few samples would show an error of {perfect:.3f}."]
        if perfect is not None
        else []
    )
    return [text, table(("figure", "before", "after"), rows), *more]


def refusal(metrics: Metrics) -> list[str]:
    """Sets of labels and clips that get no answer; empty where the run has none."""
    found = metrics.get("refusal")
    if not found:
        reason = metrics.get("refusal_reason")
        return [plain(reason)] if reason else []
    sets, answers = found["conformal"], found["abstain"]
    lines = [
        f"Sets of labels, made to miss the true one for a share of {found['error_rate']:.2f} of "
        f"the clips, held it for {sets['coverage']:.3f} of those that were scored. They have "
        f"{sets['mean_size']:.2f} labels on average."
    ]
    if answers["threshold"] is None:
        lines.append(
            f"It answers nothing: no threshold keeps the errors to {answers['error_asked']:g}."
        )
    elif answers["threshold"] <= 0:
        lines.append("No threshold was found below which to give no answer: it always answers.")
    else:
        accuracy = answers["accuracy_answered"]
        right = "" if accuracy is None else f", and was right in {accuracy:.3f} of these"
        lines.append(
            f"Below a probability of {answers['threshold']:.3f} it gives no answer: it answered "
            f"{answers['share_answered']:.3f} of the clips{right}."
        )
    return [bullets(lines)]
