"""The classes of a report: bars with intervals, what each is mistaken for, the findings."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from frameflow.errors import listing
from frameflow.evaluation._report_trust import NOTICED
from frameflow.evaluation._words import Metrics, labels, multilabel, plural, weak_classes
from frameflow.evaluation.metrics import confused_pairs

_TAKEN_FOR = 3
_LARGEST = 10


def class_rows(metrics: Metrics) -> list[dict[str, Any]]:
    """The classes that have samples, the weakest first, as the table shows them.

    Each has ``bars`` (name, value, interval or None), ``taken_for`` (label and count) and the
    figures of ``per_class``.
    """
    several = multilabel(metrics)
    first = "average_precision" if several else "f1"
    names = ("average_precision", "f1") if several else ("f1", "precision", "recall")
    mistaken = {} if several else taken_for(metrics)
    rows = [
        dict(entry)
        | {
            "bars": [bar(entry, name) for name in names],
            "taken_for": mistaken.get(entry["label"], []),
        }
        for entry in metrics["per_class"]
        if entry["support"]
    ]
    return sorted(rows, key=lambda entry: (entry[first], entry["label"]))


def bar(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One bar: a value from 0 to 1 and its interval, where there is one."""
    bounds = (entry.get("intervals") or {}).get(name)
    return {"name": name, "value": entry[name], "bounds": bounds}


def taken_for(metrics: Metrics) -> dict[str, list[tuple[str, int]]]:
    """What each class is most often taken for: labels and counts, the most frequent first."""
    names, counts = labels(metrics), np.array(metrics["confusion"]["counts"], dtype=np.int64)
    np.fill_diagonal(counts, 0)
    found = {}
    for row, label in enumerate(names):
        order = np.argsort(-counts[row], kind="stable")[:_TAKEN_FOR]
        found[label] = [(names[i], int(counts[row, i])) for i in order if counts[row, i]]
    return found


def largest(counts: np.ndarray, names: list[str]) -> list[tuple[str, str, int, int]]:
    """True class, what it was taken for, how often, of how many: the most frequent."""
    support = dict(zip(names, counts.sum(axis=1).tolist()))
    return [
        (true, guess, count, support[true])
        for true, guess, count in confused_pairs(counts, names, most=_LARGEST)
    ]


def absent(metrics: Metrics) -> list[str]:
    """Classes the model knows of which nothing was scored."""
    return [entry["label"] for entry in metrics["per_class"] if not entry["support"]]


def findings(
    metrics: Metrics, groups: Mapping[str, Any] | None, calibration: Mapping[str, Any] | None
) -> list[str]:
    """What the page shows, in a few sentences, each with its figures."""
    said = [*_weakest(metrics), *_most_confused(metrics)]
    for one in (metrics.get("conditions") or {}).get("conditions", []):
        if one["matters"]:
            said.append(one["sentence"])
    if groups and groups["p"] <= 0.05:
        said.append(together(groups))
    if calibration and abs(calibration["gap"] or 0) >= NOTICED:
        said.extend(s for s in calibration["sentences"] if s.startswith("On average"))
    return said


def together(groups: Mapping[str, Any]) -> str:
    """How much mistakes stand together, in a sentence."""
    if groups["p"] > 0.05:
        return (
            "Mistakes do not stand together in groups more than chance would have it "
            f"(p = {groups['p']:.2f})."
        )
    worst = groups["worst"]
    wrong = sum(group["wrong"] for group in worst)
    total = sum(group["samples"] for group in worst)
    return (
        f"Mistakes stand together: two clips of one group are both wrong {groups['ratio']:.1f} "
        f"times as often as two clips dealt at random. The worst {plural(len(worst), 'group')} of "
        f"{groups['count']:,}: {wrong} of {total} clips wrong."
    )


def _weakest(metrics: Metrics) -> list[str]:
    weak = weak_classes(metrics, most=3)
    scored = [entry for entry in metrics["per_class"] if entry["support"]]
    if not weak or len(scored) < 3:
        return []
    best = max(scored, key=lambda entry: entry["f1"])
    named = listing([f"{entry['label']} ({entry['f1']:.2f})" for entry in weak])
    return [f"The lowest F1 have {named}; the highest has {best['label']} ({best['f1']:.2f})."]


def _most_confused(metrics: Metrics) -> list[str]:
    if multilabel(metrics):
        return []
    support = {entry["label"]: entry["support"] for entry in metrics["per_class"]}
    pairs = [
        (count, true, guess)
        for true, others in taken_for(metrics).items()
        for guess, count in others[:1]
    ]
    if not pairs:
        return ["Every answer is right."]
    count, true, guess = max(pairs, key=lambda pair: (pair[0], pair[0] / support[pair[1]]))
    return [f"Most often confused: {true} is taken for {guess}, {count} of {support[true]} times."]
