"""Scored samples without a model: what a report and a card are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.data.labels import join_labels
from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation.metrics import score
from frameflow.evaluation.multilabel import score_sets
from frameflow.evaluation.predictions import Predictions


@dataclass
class Scored:
    """One evaluation: its metrics, predictions and manifest."""

    metrics: dict[str, Any]
    predictions: Predictions
    manifest: Manifest


def make_scored(
    root: Path,
    *,
    labels: list[str],
    samples: int = 40,
    videos: list[str] | None = None,
    groups: int = 8,
    seed: int = 0,
    **facts: Any,
) -> Scored:
    """Score random probabilities that lean towards the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(labels), samples)
    logits = rng.normal(size=(samples, len(labels)))
    logits[np.arange(samples), truth] += 1.5
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    rows = [
        Sample(
            videos[i % len(videos)] if videos else f"clips/{i}.mp4",
            labels[number],
            "test",
            f"g{i % groups}" if groups else "",
        )
        for i, number in enumerate(truth)
    ]
    scores = score(truth, shares, labels, groups=[s.group for s in rows], resamples=50)
    metrics = scores.to_dict() | {
        "split": "test",
        "manifest": "manifest.csv",
        "leaky": False,
        "seen_in_training": False,
        "views": 1,
        "seed": 3,
        "recipe": "default",
        "run": "first-run",
        "engine": "auto",
        "precision": "float32",
        "weights": [
            {
                "stream": "rgb",
                "backbone": "resnet10t",
                "source": "none",
                "digest": "0123456789abcdef",
            }
        ],
        "unlabelled": 0,
        "bad_videos": [],
        "bad_in_training": [],
        "versions": {"python": "3.12.1", "frameflow-video": "0.1.0", "torch": "2.8.0"},
        "date": "2026-01-02T03:04:05+00:00",
    }
    return Scored(metrics | facts, Predictions(rows, labels, shares), Manifest(rows, root))


@pytest.fixture
def scored(tmp_path: Path) -> Callable[..., Scored]:
    """`make_scored` with videos below the test's own folder."""

    def make(**options: Any) -> Scored:
        options.setdefault("labels", ["jump", "run", "walk"])
        return make_scored(tmp_path, **options)

    return make


def make_sets(
    root: Path, *, labels: list[str], samples: int = 40, videos: list[str] | None = None
) -> Scored:
    """`make_scored` for samples with several labels, or none."""
    rng = np.random.default_rng(1)
    truth = rng.random((samples, len(labels))) < 0.4
    logits = rng.normal(size=truth.shape) + 2 * truth - 1
    shares = 1 / (1 + np.exp(-logits))
    rows = [
        Sample(
            videos[i % len(videos)] if videos else f"clips/{i}.mp4",
            join_labels(label for label, there in zip(labels, has) if there),
            "test",
            f"g{i % 8}",
        )
        for i, has in enumerate(truth)
    ]
    facts = make_scored(root, labels=["a", "b"]).metrics
    facts = {name: facts[name] for name in list(facts)[list(facts).index("split") :]}
    groups = [sample.group for sample in rows]
    scores = score_sets(truth, shares, labels, groups=groups, resamples=50)
    found = Predictions(rows, labels, shares, multilabel=True)
    return Scored(scores.to_dict() | facts, found, Manifest(rows, root))


@pytest.fixture
def scored_sets(tmp_path: Path) -> Callable[..., Scored]:
    """`make_sets` with videos below the test's own folder."""

    def make(**options: Any) -> Scored:
        options.setdefault("labels", ["jump", "run", "walk"])
        return make_sets(tmp_path, **options)

    return make
