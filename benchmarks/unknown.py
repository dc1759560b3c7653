"""Known against unknown: each class held out of training in turn, then told from the others.

    python benchmarks/unknown.py
    python benchmarks/unknown.py --recipe default --seeds 3

For each fold and each class: train on the other folds without the class, then score the clips of
the fold. Its clips of the class are unknown, the rest is known, and no scene is in training. The
figure is the area under the ROC of known against unknown: 0.5 is chance. It is of each fold with
clips of the class, then the mean over folds and seeds. Scores, each larger for what is known:

probability  the greatest probability (Hendrycks and Gimpel, ICLR 2017)
calibrated   the same divided by the temperature of --temperature, as a run does it
margin       by how much the likeliest label leads the second
entropy      less the entropy of the probabilities
energy       log sum exp of the logits (Liu et al., NeurIPS 2020)
logit        the greatest logit (Hendrycks et al., ICML 2022)
nearest      less the distance to the nearest training clip, of what the classifier sees, at unit
             length (Sun et al., ICML 2022)
centre       less the distance to the nearest class mean of the same
"""

import argparse
import logging
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.config import Recipe
from frameflow.models.backbones import Backbone
from frameflow.models.recognizer import build_recognizer
from frameflow.training._random import reproducible
from frameflow.training.learning import Material, fit_recognizer, read_material
from frameflow.training.loop import predict
from frameflow.training.targets import targets_of

SCORES = ("probability", "calibrated", "margin", "entropy", "energy", "logit", "nearest", "centre")


def areas(
    manifest: Manifest, material: Material, backbones: list[Backbone], recipe: Recipe, *,
    unknown: str, fold: int, temperature: float,
) -> dict[str, float]:  # fmt: skip
    """Each score's area under the ROC, with one class held out, on one fold."""
    samples = list(manifest)
    labels = [label for label in manifest.labels if label != unknown]
    rows = np.array([s.fold != fold and s.label != unknown for s in samples]).nonzero()[0]
    test = np.array([s.fold == fold for s in samples]).nonzero()[0]
    known = np.array([samples[row].label != unknown for row in test])
    if known.all() or not known.any():
        return {}
    targets = targets_of([samples[row] for row in rows], labels)
    with reproducible(recipe.train.seed):
        recognizer = build_recognizer(recipe, labels, backbones=backbones)
    training = material.examples(targets, rows=rows)
    fit_recognizer(recognizer, training, None)
    looked_at = material.examples(np.zeros(len(test), dtype=np.int64), rows=test)
    logits = predict(recognizer.head, looked_at).double()
    logits -= logits.mean(dim=1, keepdim=True)
    near, centre = distances(recognizer.head, training, looked_at, targets)
    ranked = logits.softmax(dim=1).sort(dim=1, descending=True).values
    found = {
        "probability": ranked[:, 0],
        "calibrated": (logits / temperature).softmax(dim=1).amax(dim=1),
        "margin": ranked[:, 0] - ranked[:, 1],
        "entropy": (ranked * ranked.clamp(min=1e-12).log()).sum(dim=1),
        "energy": logits.logsumexp(dim=1),
        "logit": logits.amax(dim=1),
        "nearest": -near,
        "centre": -centre,
    }
    return {name: float(roc_auc_score(known, value.numpy())) for name, value in found.items()}


@torch.no_grad()
def distances(head, training, test, targets) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[no-untyped-def]
    """To the nearest training clip, and to the nearest class mean."""

    def seen(examples) -> torch.Tensor:  # type: ignore[no-untyped-def]
        parts = torch.cat([head.summary(features, mask) for features, mask in examples.parts()])
        return torch.nn.functional.normalize(parts, dim=1)

    own, other = seen(training), seen(test)
    means = torch.stack([own[torch.from_numpy(targets == c)].mean(0) for c in np.unique(targets)])
    return torch.cdist(other, own).amin(dim=1), torch.cdist(other, means).amin(dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips")
    parser.add_argument("--seeds", default=1, type=int)
    parser.add_argument("--temperature", default=1.0, type=float)
    given = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    manifest, recipe = Manifest.read(given.data), load_recipe(given.recipe)
    recognizer = build_recognizer(recipe, manifest.labels)
    material = read_material(recognizer, manifest, purpose="test")
    print(f"{processor()}, {os.cpu_count()} cores")
    print(f"{given.recipe}, {given.seeds} seeds, temperature {given.temperature:g}\n")
    print(f"{'unknown':24}" + "".join(f"{name:>12}" for name in SCORES))
    rows = []
    for unknown in manifest.labels:
        found = defaultdict(list)
        for seed in range(given.seeds):
            seeded = load_recipe(recipe, [f"train.seed={seed}"])
            for fold in sorted({sample.fold for sample in manifest} - {None}):
                area = areas(
                    manifest, material, recognizer.backbones(), seeded,
                    unknown=unknown, fold=fold, temperature=given.temperature,
                )  # fmt: skip
                for name, value in area.items():
                    found[name].append(value)
        rows.append([float(np.mean(found[name])) for name in SCORES])
        print(f"{unknown:24}" + "".join(f"{value:12.3f}" for value in rows[-1]), flush=True)
    print(f"{'mean':24}" + "".join(f"{value:12.3f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
