"""A score in words and rows: shared by the report, the model card and the command line."""

from collections.abc import Mapping
from typing import Any

from frameflow.errors import listing

Metrics = Mapping[str, Any]


def topk_key(metrics: Metrics) -> str:
    """The key of the top-k accuracy: ``top5`` for k = 5."""
    return next(name for name in metrics if name.startswith("top") and name != "top1")


def multilabel(metrics: Metrics) -> bool:
    """Whether the samples may have several labels."""
    return bool(metrics.get("multilabel", False))


def labels(metrics: Metrics) -> list[str]:
    """The labels of the model."""
    return list(metrics["labels"] if multilabel(metrics) else metrics["confusion"]["labels"])


def headline_figure(metrics: Metrics) -> tuple[str, str, float]:
    """The figure that stands for the whole: its name, its key, its value."""
    if multilabel(metrics):
        return "Mean average precision", "map", metrics["map"]
    return "Top-1", "top1", metrics["top1"]


def chance(metrics: Metrics) -> float:
    """What that figure would be without looking: see `chance_words`."""
    if multilabel(metrics):
        return float(metrics["chance"])
    return max(entry["support"] for entry in metrics["per_class"]) / metrics["samples"]


def chance_words(metrics: Metrics) -> str:
    """What reaches `chance`."""
    if multilabel(metrics):
        return "ranking the samples by chance"
    return "always answering the most frequent class"


def figures(metrics: Metrics) -> list[tuple[str, float, tuple[float, float] | None]]:
    """The figures of the headline table: name, value, interval or None."""
    bounds = metrics["intervals"]
    if multilabel(metrics):
        return _set_figures(metrics)
    key = topk_key(metrics)
    macro, weighted = metrics["macro"], metrics["weighted"]
    rows = [
        ("Top-1", metrics["top1"], bounds["top1"]),
        (f"Top-{metrics['k']}", metrics[key], bounds[key]),
        ("Balanced accuracy", macro["recall"], bounds.get("balanced_accuracy")),
        ("Macro F1", macro["f1"], bounds["macro_f1"]),
        ("Macro precision", macro["precision"], None),
        ("Weighted F1", weighted["f1"], None),
        ("Weighted precision", weighted["precision"], None),
        ("Mean average precision", metrics.get("map"), bounds.get("map")),
        *_probability_figures(metrics, of=""),
    ]
    return [(name, value, b and (b[0], b[1])) for name, value, b in rows if value is not None]


def _set_figures(metrics: Metrics) -> list[tuple[str, float, tuple[float, float] | None]]:
    bounds, micro, macro = metrics["intervals"], metrics["micro"], metrics["macro"]
    rows = [
        ("Mean average precision", metrics["map"], bounds["map"]),
        ("Micro F1", micro["f1"], bounds["micro_f1"]),
        ("Macro F1", macro["f1"], bounds["macro_f1"]),
        ("Exact match", metrics["exact_match"], bounds["exact_match"]),
        ("Micro precision", micro["precision"], None),
        ("Micro recall", micro["recall"], None),
        ("Macro precision", macro["precision"], None),
        ("Macro recall", macro["recall"], None),
        *_probability_figures(metrics, of=" of a label"),
    ]
    return [(name, value, b and (b[0], b[1])) for name, value, b in rows if value is not None]


def _probability_figures(metrics: Metrics, *, of: str) -> list[tuple[str, Any, Any]]:
    """Of how well the probabilities fit; a run scored by an older version has fewer."""
    bounds, perfect = metrics["intervals"], metrics.get("ece_expected")
    against = "" if perfect is None else f" ({perfect:.3f} if calibration were perfect)"
    return [
        (f"Log loss{of} (nats)", metrics["log_loss"], bounds.get("log_loss")),
        (f"Brier score{of}", metrics.get("brier"), bounds.get("brier")),
        (f"Calibration error{of}{against}", metrics.get("ece"), None),
    ]


def interval_name(metrics: Metrics) -> str:
    """``95 % interval``."""
    return f"{100 * metrics['intervals']['confidence']:g} % interval"


def spread(metrics: Metrics) -> str:
    """The interval of the headline figure in words, or why there is none."""
    bounds = metrics["intervals"][headline_figure(metrics)[1]]
    if bounds is None:
        return f"no {interval_name(metrics)}: {metrics['intervals']['reason']}"
    over = metrics["intervals"]["over"]
    return f"{interval_name(metrics)} {bounds[0]:.3f} to {bounds[1]:.3f}, resampled over {over}"


def counted(metrics: Metrics) -> str:
    """``74 samples of 18 groups``."""
    samples = plural(metrics["samples"], "sample")
    if metrics["groups"] is None:
        return f"{samples}, no groups given"
    return f"{samples} of {plural(metrics['groups'], 'group')}"


def plural(count: int, word: str) -> str:
    """``1 view``, ``3 views``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def headline(metrics: Metrics) -> str:
    """What was scored, in one line."""
    where = f"{metrics['split']} split" if metrics["split"] != "all" else "all samples"
    return f"{where}, {counted(metrics)}, {plural(metrics['views'], 'view')}"


def warnings(metrics: Metrics) -> list[tuple[str, str]]:
    """What makes the score less than it seems: ``(a word in capitals, a sentence)``."""
    found = []
    if metrics["leaky"]:
        found.append(
            (
                "LEAKY SPLIT",
                "Groups stand both in the training and in what is scored: the model may "
                "have recognised the scene. This score says little about new videos.",
            )
        )
    if metrics["seen_in_training"]:
        what = {
            "train": "The model was trained on these samples",
            "val": "The training was stopped by these samples",
            "all": "Most of these samples were trained on",
        }
        found.append(("SEEN IN TRAINING", f"{what[metrics['split']]}: the score is no test."))
    return found


def weights(metrics: Metrics) -> str:
    """Backbones with the source and digest of their weights."""
    told = (
        f"{entry['backbone']} on {entry['stream']}, weights {entry['source']}, {entry['digest']}"
        for entry in metrics["weights"]
    )
    return "; ".join(dict.fromkeys(told))


def facts(metrics: Metrics) -> list[tuple[str, str]]:
    """All that a score rests on, as ``(name, value)`` rows."""
    intervals = metrics["intervals"]
    rows = [
        ("Split", f"{metrics['split']} of {metrics['manifest']}"),
        ("Samples", counted(metrics)),
        ("Views", f"{plural(metrics['views'], 'clip')} a sample, probabilities averaged"),
        ("Classes", _classes(metrics)),
        ("Seed", str(metrics["seed"])),
        ("Recipe", metrics["recipe"]),
        *([("Began with", init_words(metrics))] if metrics.get("init") else []),
        *([("Teacher", teacher_words(metrics))] if metrics.get("teacher") else []),
        ("Backbone", weights(metrics)),
        ("Engine", f"{metrics['engine']}, {metrics['precision']}"),
        (
            "Intervals",
            f"{intervals['method']}, {plural(intervals['draws'], 'draw')} of "
            f"{plural(intervals['units'], intervals['over'].removesuffix('s'))}, "
            f"seed {intervals['seed']}",
        ),
    ]
    if metrics["unlabelled"]:
        rows.append(("Left out", f"{plural(metrics['unlabelled'], 'sample')} without a label"))
    bad = metrics["bad_videos"]
    trained = metrics["bad_in_training"]
    aside = plural(len(bad), "unreadable video") if bad else "no video"
    more = f", and {len(trained)} in training" if trained else ""
    rows.append(("Set aside", f"{aside}{more}"))
    rows.append(("Versions", ", ".join(f"{n} {v}" for n, v in metrics["versions"].items())))
    rows.append(("Date", metrics["date"]))
    return rows


def init_words(metrics: Metrics) -> str:
    """Which run's weights the training began with."""
    said = metrics["init"]
    seen = "; it has seen clips or groups that are scored" if said.get("leaky") else ""
    return f"{'all of' if said['head'] else 'the backbones of'} the run {said['run']}{seen}"


def teacher_words(metrics: Metrics) -> str:
    """Which run the model has learnt from beside the labels, and how."""
    said = metrics["teacher"]
    parts = [
        f"{said['run']} (recipe {said['recipe']}, digest {said['digest']}), "
        f"{plural(said['views'], 'clip')} a sample",
        f"its soft targets weigh {said['weight']:g} at temperature {said['temperature']:g}",
    ]
    if said["features"]:
        parts.append(f"its features {said['features']:g}")
    if said["learnt"]:
        how = f"refits without their group speak of {said['refitted']} of these"
        left = "which makes its soft targets of them too sure"
        parts.append(
            f"it had learnt from {said['learnt']} of {said['clips']} clips; "
            f"{how if said['refitted'] else left}"
        )
    if said.get("gone"):
        parts.append(
            f"{plural(said['gone'], 'clip')} it learnt from could not be compared with these"
        )
    if said.get("leaky"):
        parts.append("it has seen clips or groups that are scored")
    return "; ".join(parts)


def _classes(metrics: Metrics) -> str:
    count = str(len(labels(metrics)))
    if multilabel(metrics):
        count += f", any number a sample, present above a probability of {metrics['threshold']:g}"
    return count


def weak_classes(metrics: Metrics, *, most: int = 5) -> list[dict[str, Any]]:
    """The classes of the lowest F1, below the mean, weakest first."""
    scored = [entry for entry in metrics["per_class"] if entry["support"]]
    below = [entry for entry in scored if entry["f1"] < metrics["macro"]["f1"]]
    return sorted(below, key=lambda entry: (entry["f1"], entry["label"]))[:most]


def bad_reasons(metrics: Metrics) -> str:
    """The unreadable videos and their reasons, the first few."""
    return listing([f"{bad['video']} ({bad['reason']})" for bad in metrics["bad_videos"]], most=5)
