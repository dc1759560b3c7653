"""The parts of a report on whether its figures and the model's probabilities can be relied on."""

from collections.abc import Mapping
from typing import Any

from frameflow.evaluation._words import Metrics, headline_figure, multilabel
from frameflow.pages.bins import binned_accuracy
from frameflow.pages.page import markup
from frameflow.pages.reliability import reliability_diagram

NOTICED = 0.03  # a gap between what is stated and what is right that is worth a word

_METHODS = {
    "none": "No calibration: none fitted better than the model's own probabilities",
    "temperature": "Temperature scaling",
    "vector": "Vector scaling (a scale and an offset for each class)",
}


def calibration_section(metrics: Metrics) -> dict[str, Any] | None:
    """Diagrams, rows of figures and sentences; None where nothing was measured."""
    found = metrics.get("calibration") or {}
    before, after = found.get("before") or {}, found.get("after") or {}
    if not after:
        after = {
            "log_loss": metrics.get("log_loss"),
            "brier": metrics.get("brier"),
            "ece": metrics.get("ece"),
            "reliability": metrics.get("reliability") or [],
        }
    changed = bool(before) and found.get("method", "none") != "none"
    diagrams = []
    for name, side in (("Before calibration", before), ("After calibration", after)):
        bins = side.get("reliability") or []
        if bins and (changed or side is after):
            title = name if changed else "Stated and true"
            diagrams.append(markup(reliability_diagram(bins, title=title)))
    rows = _calibration_rows(metrics, before if changed else {}, after)
    if not rows:
        return None
    return {
        "diagrams": diagrams,
        "changed": changed,
        "rows": rows,
        "sentences": _calibration_words(metrics, found, after),
        "gap": _overconfidence(metrics, after),
    }


def _calibration_rows(
    metrics: Metrics, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, float | None, float, str]]:
    """Name, before, after, and what to hold it against."""
    perfect = metrics.get("ece_expected")
    against = "" if perfect is None else f"{perfect:.3f} were it perfect, at this sample size"
    names = [
        ("log_loss", "Log loss, nats", ""),
        ("brier", "Brier score", ""),
        ("ece", "Calibration error", against),
    ]
    return [
        (name, before.get(key), after[key], note)
        for key, name, note in names
        if after.get(key) is not None
    ]


def _calibration_words(
    metrics: Metrics, found: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    said = []
    if found:
        method = _METHODS.get(found.get("method", "none"), found.get("method", ""))
        where = found.get("fitted_on")
        held = f", fitted on {where}" if where else ""
        reason = found.get("reason")
        said.append(f"{method}{held}." + (f" {reason}" if reason else ""))
    gap = _overconfidence(metrics, after)
    if gap is not None:
        kind = "overconfident" if gap > 0 else "too modest"
        said.append(
            f"On average it states {metrics['top1'] + gap:.2f} and is right in "
            f"{metrics['top1']:.2f}" + (f": {kind}." if abs(gap) >= NOTICED else ".")
        )
    return said


def _overconfidence(metrics: Metrics, after: Mapping[str, Any]) -> float | None:
    """Mean probability of the answers less the share that is right."""
    bins = after.get("reliability") or []
    total = sum(one["count"] for one in bins)
    if not total or multilabel(metrics):
        return None
    stated = sum(one["confidence"] * one["count"] for one in bins) / total
    return float(stated - metrics["top1"])


def refusal_section(metrics: Metrics) -> dict[str, Any] | None:
    """Sentences on sets and abstention, or why there are none; None for runs before both."""
    found = metrics.get("refusal")
    if not found:
        reason = metrics.get("refusal_reason")
        return {"rows": [], "reason": reason} if reason else None
    return {"rows": [*_set_rows(found), *_answer_rows(found)], "reason": None}


def _set_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    sets = found.get("conformal")
    if not sets:
        return []
    if sets.get("quantile", 0) is None:
        asked = "Too few validation groups for sets at the asked rate: each holds every class"
    else:
        asked = f"asked {1 - sets['alpha']:.2f}"
    covered = f"{sets['coverage']:.3f}{_between(sets.get('coverage_interval'))}, {asked}"
    return [
        ("Sets that hold the true class", covered),
        ("Classes in a set, on average", f"{sets['mean_size']:.2f}"),
    ]


def _answer_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    answers = found.get("abstain")
    if not answers:
        return []
    if answers.get("threshold") is None:
        asked = answers["error_asked"]
        return [("Clips it answers", f"none: no threshold keeps the errors to {asked:g}")]
    share = f"{answers['share_answered']:.3f}{_between(answers.get('share_answered_interval'))}"
    rows = [("Clips it answers", f"{share}, at a threshold of {answers['threshold']:.3f}")]
    if answers.get("accuracy_answered") is not None:
        bounds = _between(answers.get("accuracy_answered_interval"))
        alone = answers.get("accuracy_all")
        beside = "" if alone is None else f", beside {alone:.3f} of all"
        rows.append(("Right among these", f"{answers['accuracy_answered']:.3f}{bounds}{beside}"))
    return rows


def _between(bounds: Any) -> str:
    return f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""


def conditions_section(metrics: Metrics) -> dict[str, Any] | None:
    """Plots and sentences of what the accuracy depends on, what matters first."""
    found = metrics.get("conditions")
    if not found:
        return None
    several = multilabel(metrics)
    overall = metrics["exact_match"] if several else headline_figure(metrics)[2]
    entries = sorted(found["conditions"], key=lambda one: not one["matters"])
    return {
        "figure": found["figure"],
        "missing": found["samples"] - found["measured"],
        "entries": [one | {"plot": markup(_condition_plot(one, overall))} for one in entries],
    }


def _condition_plot(one: Mapping[str, Any], overall: float) -> str:
    """Measures without a unit go from 0 to 1, and are told in percent."""
    scale = 1 if one["unit"] else 100
    bins = [
        part | {"low": scale * part["low"], "high": scale * part["high"]} for part in one["bins"]
    ]
    title = f"{one['title']}, {one['unit'] or '%'}"
    return binned_accuracy(bins, title=title, overall=overall)
