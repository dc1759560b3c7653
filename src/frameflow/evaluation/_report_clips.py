"""The clips a report shows: which, and their moving strips."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation.conditions import hits
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.metrics import confused_pairs
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.trend import clustering
from frameflow.pages.strips import Strip, strip

MISTAKES = 12
DOUBTS = 8
PAIRS = 6
_GROUPS = 4
_SIDE_BY_SIDE = 2  # clips on either side of a pair
_PER_GROUP = 4


@dataclass(frozen=True)
class Gallery:
    """Everything with a picture, as the template takes it."""

    mistakes: list[dict[str, Any]]
    doubts: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    groups: dict[str, Any] | None
    slips: list[dict[str, Any]]


def gallery(
    predictions: Predictions,
    manifest: Manifest,
    confusion: np.ndarray | None,
    explanations: Mapping[int, Strip] | None = None,
) -> Gallery:
    """Choose the clips, then read their frames, several videos at once.

    Args:
        predictions: of the samples that were scored.
        manifest: finds the videos.
        confusion: ``(K, K)`` counts; None in multi-label.
        explanations: strips of what a row's answer rests on, shown beside it.
    """
    several = predictions.multilabel
    mistakes = [] if several else predictions.surest_mistakes(MISTAKES)
    doubts = [] if several else least_sure_hits(predictions, DOUBTS)
    slips = predictions.surest_slips(MISTAKES) if several else []
    pairs = [] if confusion is None else _pairs(predictions, confusion)
    groups = worst_groups(predictions)
    rows = {*mistakes, *doubts, *(row for row, _ in slips)}
    rows |= {row for pair in pairs for side in ("confused", "answered") for row in pair[side]}
    rows |= {row for group in (groups or {}).get("worst", []) for row in group["rows"]}
    cards = _cards(predictions, manifest, sorted(rows), explanations or {})
    for pair in pairs:
        pair["confused"] = [cards[row] for row in pair["confused"]]
        pair["answered"] = [cards[row] for row in pair["answered"]]
    for group in (groups or {}).get("worst", []):
        group["cards"] = [cards[row] for row in group["rows"]]
    return Gallery(
        mistakes=[cards[row] for row in mistakes],
        doubts=[cards[row] for row in doubts],
        pairs=pairs,
        groups=groups,
        slips=[cards[row] | _slip(predictions, row, column) for row, column in slips],
    )


def least_sure_hits(predictions: Predictions, most: int) -> list[int]:
    """Rows of right answers, the least probable first."""
    right = np.flatnonzero(hits(predictions))
    sure = predictions.probabilities[right].max(axis=1)
    return [int(row) for row in right[np.argsort(sure, kind="stable")[:most]]]


def worst_groups(predictions: Predictions) -> dict[str, Any] | None:
    """The groups with the most mistakes beyond what their size would bring.

    Returns:
        ``worst`` groups, each with ``name``, ``samples``, ``wrong``, ``said`` (what was said
        instead) and ``rows`` of some of its mistakes; ``ratio`` and ``p`` of `clustering`. None
        where groups are unknown or alone, or nothing is wrong.
    """
    samples, wrong = predictions.samples, ~hits(predictions)
    units = units_of([sample.group for sample in samples], len(samples))
    if units.over == "clips" or units.count == len(samples) or not wrong.any():
        return None
    sizes = np.bincount(units.index, minlength=units.count)
    failed = np.bincount(units.index, weights=wrong, minlength=units.count)
    beyond = failed - sizes * wrong.mean()
    order = [int(i) for i in np.argsort(-beyond, kind="stable") if sizes[i] > 1 and failed[i] > 1]
    ratio, p = clustering(wrong, units.index)
    worst = []
    for unit in order[:_GROUPS]:
        rows = np.flatnonzero((units.index == unit) & wrong)
        sure = predictions.probabilities[rows].max(axis=1)
        rows = rows[np.argsort(-sure, kind="stable")]
        said = Counter(predictions.predicted[row] or "nothing" for row in rows)
        worst.append(
            {
                "name": samples[int(rows[0])].group,
                "samples": int(sizes[unit]),
                "wrong": int(failed[unit]),
                "labels": sorted({samples[int(row)].label for row in rows}),
                "said": said.most_common(3),
                "rows": [int(row) for row in rows[:_PER_GROUP]],
            }
        )
    return {"worst": worst, "ratio": ratio, "p": p, "count": units.count} if worst else None


def _pairs(predictions: Predictions, confusion: np.ndarray) -> list[dict[str, Any]]:
    """The most confused pairs, each once, with clips of either side."""
    labels = list(predictions.labels)
    number = {label: index for index, label in enumerate(labels)}
    found: list[dict[str, Any]] = []
    for true, guess, count in confused_pairs(confusion, labels, most=4 * PAIRS):
        if any(pair["true"] == guess and pair["predicted"] == true for pair in found):
            continue
        row, column = number[true], number[guess]
        found.append(
            {
                "true": true,
                "predicted": guess,
                "count": count,
                "support": int(confusion[row].sum()),
                "back": int(confusion[column, row]),
                "back_support": int(confusion[column].sum()),
                "confused": _surest(predictions, row, column),
                "answered": _surest(predictions, column, column),
            }
        )
    return found[:PAIRS]


def _surest(predictions: Predictions, true: int, guess: int) -> list[int]:
    """A few rows of a class with an answer, the surest first, of as many groups as there are."""
    shares = predictions.probabilities
    rows = np.flatnonzero((predictions.truth == true) & (shares.argmax(axis=1) == guess))
    rows = rows[np.argsort(-shares[rows, guess], kind="stable")]
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(predictions.samples[int(row)].group or str(row), int(row))
    others = [int(row) for row in rows if int(row) not in set(first.values())]
    return [*first.values(), *others][:_SIDE_BY_SIDE]


def _cards(
    predictions: Predictions,
    manifest: Manifest,
    rows: Sequence[int],
    explanations: Mapping[int, Strip],
) -> dict[int, dict[str, Any]]:
    samples = [predictions.samples[row] for row in rows]
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="strip") as pool:
        pictures = list(pool.map(lambda sample: strip(manifest, sample), samples))
    truth = np.full(len(predictions), -1) if predictions.multilabel else predictions.truth
    cards = {}
    for row, sample, picture in zip(rows, samples, pictures):
        (label, share), *_ = predictions.topk(row, 1)
        own = int(truth[row])
        cards[row] = {
            "sample": sample,
            "name": short_name(sample),
            "picture": picture,
            "overlay": explanations.get(row),
            "predicted": label,
            "probability": share,
            "right": label == sample.label,
            "true_probability": float(predictions.probabilities[row, own]) if own >= 0 else None,
            "next": predictions.topk(row, 2)[-1],
        }
    return cards


def _slip(predictions: Predictions, row: int, column: int) -> dict[str, Any]:
    sample, label = predictions.samples[row], predictions.labels[column]
    return {
        "label": label,
        "missed": label in sample.labels,
        "probability": float(predictions.probabilities[row, column]),
        "labels": sample.labels,
    }


def short_name(sample: Sample) -> str:
    """The last two parts of a sample's path."""
    return "/".join(PurePath(sample.video).parts[-2:])
