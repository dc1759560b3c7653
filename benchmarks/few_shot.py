"""Accuracy against shots: K clips of each class are learnt, the fold is scored.

    python benchmarks/few_shot.py
    python benchmarks/few_shot.py --recipe default --shots 1 5 --solvers ridge epochs

For every fold of the manifest K clips of each class are drawn from the others, as `--shots K` does
(from as many groups as there are), without validation; several draws each.
"""

import argparse
import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.errors import UsageError
from frameflow.models.recognizer import build_recognizer
from frameflow.training._random import reproducible
from frameflow.training.crossval import Samples, read_samples
from frameflow.training.learning import fit_recognizer, trainee
from frameflow.training.loop import predict
from frameflow.training.shots import take_shots
from frameflow.training.targets import targets_of


def score(samples: Samples, recipe_name: str, solver: str, shots: int, seed: int) -> list[float]:
    """Top-1 of each fold; empty where a class has fewer clips."""
    recipe = load_recipe(recipe_name, [f"train.solver={solver}", "split.val=0"])
    manifest = samples.manifest
    labels = manifest.label_names()
    targets = targets_of(manifest.samples, labels)
    found = []
    for fold in sorted({sample.fold for sample in manifest if sample.fold is not None}):
        numbered = [
            replace(sample, split="test" if sample.fold == fold else "train", row=number)
            for number, sample in enumerate(manifest)
        ]
        try:
            taken = take_shots(manifest.replace(numbered), shots, seed=seed)
        except UsageError:
            return []
        rows = {
            split: np.array([s.row for s in taken if s.split == split])
            for split in ("train", "test")
        }
        training = samples.training.examples(targets[rows["train"]], rows=rows["train"])
        test = samples.testing.examples(targets[rows["test"]], rows=rows["test"])
        with reproducible(seed):
            recognizer = build_recognizer(recipe, labels, backbones=samples.backbones)
        fit_recognizer(recognizer, training, None, recipe.train.model_copy(update={"seed": seed}))
        said = predict(trainee(recognizer), test).argmax(dim=1).numpy()
        found.append(float((said == targets[rows["test"]]).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 5, 10, 20])
    parser.add_argument("--solvers", nargs="+",
                        default=["nearest-mean", "ridge", "logistic", "epochs"])  # fmt: skip
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    samples, _ = read_samples(Manifest.read(arguments.data), load_recipe(arguments.recipe))
    print(f"{processor()}, {os.cpu_count()} cores")
    print(f"\n| solver | {' | '.join(f'{shots} shots' for shots in arguments.shots)} | seconds |")
    print("|---|" + "---|" * (len(arguments.shots) + 1))
    for solver in arguments.solvers:
        begun, cells = time.perf_counter(), []
        for shots in arguments.shots:
            draws = [
                float(np.mean(scores))
                for draw in range(arguments.draws)
                if (scores := score(samples, arguments.recipe, solver, shots, draw))
            ]
            cells.append(f"{np.mean(draws):.3f} ± {np.std(draws):.3f}" if draws else "-")
        seconds = time.perf_counter() - begun
        print(f"| {solver} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
