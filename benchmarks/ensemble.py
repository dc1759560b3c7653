"""Does the average of runs beat its best member? Every fold of a data set tested once.

    python benchmarks/ensemble.py ../shared/data/tennis7/manifest.csv
    python benchmarks/ensemble.py MANIFEST --recipes default few-clips few-clips-follow --folds 0 1

For each fold, the members are trained on the others, and their heads once more without each inner
fold by group: on these held-out answers weights are found and everything is calibrated, as
`frameflow ensemble` does. The test fold is scored once, and nothing is chosen by it. Prints, over
the folds that were done,

    a member             by itself, calibrated
    the best held out    of each fold the member with the lowest held-out log loss
    equal                the mean of all members
    validation           what `frameflow ensemble` makes: learnt weights, or equal ones

with top-1 and log loss, and how much more than the best held out, with 95 % intervals over groups.
`differences` is the recipe few-clips with its stream of differences alone.
"""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.evaluation.calibration import fit_calibration
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.mixture import choose_weights, mix
from frameflow.evaluation.paired import class_figures, difference, effects, whole
from frameflow.evaluation.reliability import sample_losses
from frameflow.models.recognizer import build_recognizer
from frameflow.training.calibrate import held_out
from frameflow.training.crossval import read_samples, score_fold
from frameflow.training.learning import read_material
from frameflow.training.targets import targets_of

DIFFERENCES = "streams=[{kind: difference, fit: squash, grid: 3}]"


@dataclass
class Answers:
    """Probabilities of the test folds, by the way they were made: ``(N, K)`` each."""

    truth: np.ndarray
    shares: dict[str, np.ndarray]

    def put(self, name: str, rows: np.ndarray, found: np.ndarray) -> None:
        self.shares.setdefault(name, np.zeros((len(self.truth), found.shape[1])))[rows] = found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["default", "few-clips", "differences"])
    parser.add_argument("--folds", nargs="+", type=int)
    options = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    began = time.perf_counter()
    manifest = Manifest.read(options.manifest)
    recipes = {name: recipe_of(name) for name in options.recipes}
    folds = options.folds or sorted({s.fold for s in manifest if s.fold is not None})
    labels = manifest.label_names()
    answers = Answers(targets_of(manifest.samples, labels), {})
    scored = np.zeros(len(manifest), dtype=np.bool_)
    samples = {name: read_samples(manifest, recipe)[0] for name, recipe in recipes.items()}
    for fold in folds:
        said: list[np.ndarray] = []
        held: list[np.ndarray] = []
        rows, truth = np.zeros(0, dtype=np.int64), np.zeros(0)
        groups: list[str] = []
        for name, recipe in recipes.items():
            _, rows, found = score_fold(samples[name], recipe, answers.truth, fold=fold, seed=0)
            said.append(found)
            probabilities, truth, groups = inner(manifest, recipe, labels, fold)
            held.append(probabilities)
        one_fold(answers, list(recipes), np.stack(said), np.stack(held), truth, groups, rows, fold)
        scored[rows] = True
        show(answers, manifest, scored, labels)  # of the folds so far: it takes long
        print(f"\n{time.perf_counter() - began:,.0f} s on {machine()}\n", flush=True)


def recipe_of(name: str) -> Recipe:
    if name == "differences":
        return load_recipe("few-clips", [DIFFERENCES])
    return load_recipe(name)


def inner(
    manifest: Manifest, recipe: Recipe, labels: Sequence[str], fold: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Held-out answers for all samples but a fold's, their truth and their groups."""
    part = manifest.where(lambda sample: sample.fold != fold)
    recognizer = build_recognizer(recipe, list(labels))
    found = held_out(recognizer, part, read_material(recognizer, part, purpose="train"), None, None)
    groups = [sample.group for sample in found.samples]
    return found.probabilities, targets_of(found.samples, labels), groups


def one_fold(
    answers: Answers,
    names: Sequence[str],
    said: np.ndarray,
    held: np.ndarray,
    truth: np.ndarray,
    groups: Sequence[str],
    rows: np.ndarray,
    fold: int,
) -> None:
    """All ways of one fold: each fitted on held-out answers, then applied to the test."""

    def calibrated(on: np.ndarray, test: np.ndarray) -> np.ndarray:
        return fit_calibration(truth, on, "auto", groups).apply(test)

    losses = [sample_losses(truth, own).mean() for own in held]
    best = int(np.argmin(losses))
    for place, name in enumerate(names):
        answers.put(name, rows, calibrated(held[place], said[place]))
    answers.put("the best held out", rows, calibrated(held[best], said[best]))
    equal = [1 / len(names)] * len(names)
    answers.put("equal", rows, calibrated(mix(held, equal), mix(said, equal)))
    chosen = choose_weights(truth, held, groups)
    answers.put("validation", rows, calibrated(chosen.held_out, mix(said, chosen.weights)))
    weights = ", ".join(f"{name} {w:.2f}" for name, w in zip(names, chosen.weights))
    told = f"best held out: {names[best]} ({losses[best]:.3f})"
    print(f"fold {fold}: {chosen.rule} weights, {weights}; {told}", flush=True)


def show(answers: Answers, manifest: Manifest, scored: np.ndarray, labels: Sequence[str]) -> None:
    """The table, over the folds that were scored."""
    truth = answers.truth[scored]
    groups = [sample.group for sample, inside in zip(manifest, scored) if inside]
    units = units_of(groups, len(truth))
    figures = {
        name: class_figures(
            truth,
            shares[scored].argmax(axis=1),
            sample_losses(truth, shares[scored]),
            classes=len(labels),
            units=units,
        )
        for name, shares in answers.shares.items()
    }
    base = figures["the best held out"]
    print(f"\n{len(truth)} clips of {units.count} groups\n")
    print("| | top-1 | log loss | top-1, points more | log loss, more |\n|---|---|---|---|---|")
    for name, own in figures.items():
        now, gain = whole(own, units), difference(base, own)
        row = f"| {name} | {now['top1']:.3f} | {now['log_loss']:.3f} | "
        if name != "the best held out":
            found = effects(whole(gain, units), gain, units=units)
            row += " | ".join(
                interval(found[key].value, found[key].bounds, factor)
                for key, factor in (("top1", 100.0), ("log_loss", 1.0))
            )
        print(f"{row} |", flush=True)


def interval(value: float, bounds: tuple[float, float] | None, factor: float) -> str:
    digits = 1 if factor > 1 else 3
    low, high = bounds or (float("nan"),) * 2
    return (
        f"{factor * value:+.{digits}f} ({factor * low:+.{digits}f} to {factor * high:+.{digits}f})"
    )


def machine() -> str:
    return f"{processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
