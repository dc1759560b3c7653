"""The metadata block of the model card, as the Hugging Face Hub reads it.

The keys are those of https://huggingface.co/docs/hub/model-cards and the results those of
``model-index``. A figure whose test is none (a leaking split, samples of the training) is left out.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from frameflow.evaluation._words import figures, multilabel

# The names that the Hub knows, by those of the headline table.
_TYPES = {
    "Top-1": "accuracy",
    "Balanced accuracy": "balanced_accuracy",
    "Macro F1": "f1",
    "Micro F1": "f1",
    "Mean average precision": "mean_average_precision",
    "Exact match": "exact_match",
}


def front(metrics: Mapping[str, Any], data: str) -> str:
    """The block with its fences.

    Args:
        metrics: what ``metrics.json`` holds.
        data: the name of the data set.
    """
    found: dict[str, Any] = {
        "library_name": "frameflow",
        "pipeline_tag": "video-classification",
        "tags": ["video-classification", "action-recognition", "frameflow"],
        "datasets": [slug(data)],
        "metrics": list(dict.fromkeys(entry["type"] for entry in _metrics(metrics))),
    }
    if not (metrics["leaky"] or metrics["seen_in_training"]):
        found["model-index"] = [{"name": metrics["run"], "results": [_result(metrics, data)]}]
    text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---"


def _result(metrics: Mapping[str, Any], data: str) -> dict[str, Any]:
    return {
        "task": {"type": "video-classification", "name": _task(metrics)},
        "dataset": {"type": slug(data), "name": data, "split": metrics["split"]},
        "metrics": _metrics(metrics),
    }


def _task(metrics: Mapping[str, Any]) -> str:
    return f"{'Multi-label video' if multilabel(metrics) else 'Video'} classification"


def _metrics(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": _TYPES[name], "name": name, "value": round(value, 6), "verified": False}
        for name, value, _ in figures(metrics)
        if name in _TYPES
    ]


def slug(name: str) -> str:
    """A name as the Hub allows it: letters, digits, ``.``, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"
