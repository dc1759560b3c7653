"""Compare recipes by inner folds: each training part of a data set with folds is folded again.

    python benchmarks/inner_folds.py
    python benchmarks/inner_folds.py --recipe few-clips --change "sampling.frames=16" --change ...

The folds of the manifest are never scored: for each of them the rest is parted into four folds by
group, and the recipe is trained and scored on these. So ideas can be compared without spending the
folds that are quoted. Without --change the ingredients of the recipe are taken out one by one.
"""

import argparse
import logging
import os
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, crossval, load_recipe
from frameflow.data.splits import add_folds

INGREDIENTS = (
    "",
    "streams=[{kind: rgb, fit: squash, grid: 3}]",
    "streams=[{kind: difference, fit: squash, grid: 3}]",
    "head.centre=false",
    "head.spread=true",
    "train.label_smoothing=0",
    "train.optimizer=adamw train.lr=0.01 train.weight_decay=0.01",
    "sampling.frames=16",
    "streams.0.grid=1 streams.1.grid=1",
)


def inner_score(manifest: Manifest, recipe: str, change: str, *, inner: int) -> np.ndarray:
    """Mean top-1 over the inner folds, for each training part."""
    chosen = load_recipe(recipe, _split(change))
    scores = []
    for fold in sorted({sample.fold for sample in manifest} - {None}):
        rest = manifest.where(lambda sample, fold=fold: sample.fold not in (None, fold))
        scores.append(crossval(add_folds(rest, inner, seed=0), recipe=chosen).top1)
    return np.array(scores)


def _split(change: str) -> list[str]:
    """Overrides separated by spaces, those inside brackets kept."""
    if change.count("=") < 2:
        return [change] if change else []
    return change.split(" ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips")
    parser.add_argument("--change", action="append", help="overrides, separated by spaces")
    parser.add_argument("--inner", default=4, type=int, help="inner folds")
    arguments = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    manifest = Manifest.read(arguments.data)
    print(f"{processor()}, {os.cpu_count()} cores")
    print(f"{arguments.recipe}, {arguments.inner} inner folds in each training part, one seed")
    print(f"{'top-1':>6}  {'sd':>5}  change")
    for change in arguments.change or INGREDIENTS:
        scores = inner_score(manifest, arguments.recipe, change, inner=arguments.inner)
        print(f"{scores.mean():6.3f}  {scores.std():5.3f}  {change or '(none)'}", flush=True)


if __name__ == "__main__":
    main()
