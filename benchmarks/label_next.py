"""What choosing the clips to label next gains over random choice.

    python benchmarks/label_next.py --data ../shared/data/tennis7/manifest.csv

For each fold of the manifest, its scenes are held out for scoring and all other clips are the pool.
From a few clips drawn at random, every strategy labels some more in each round; a logistic
regression on one vector per clip learns from those and is scored on the held-out scenes. All
strategies start from the same clips. The vectors are made of all clips (their labels play no part).
"""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.audit._held_out import learn_and_say, scaled
from frameflow.audit.next import margin, spread, unsure_and_spread
from frameflow.audit.vectors import clip_vectors


@dataclass(frozen=True)
class Turn:
    """What a strategy may look at."""

    values: np.ndarray  # of the clips that may be chosen
    shares: np.ndarray  # probabilities of their labels
    groups: np.ndarray
    known: np.ndarray  # groups of the labelled clips
    count: int
    rng: np.random.Generator


def _random(turn: Turn) -> list[int]:
    return list(turn.rng.choice(len(turn.values), turn.count, replace=False))


def _by_group(turn: Turn) -> list[int]:
    """At random, of the group with the fewest labels first."""
    seen, left = Counter(turn.known), list(turn.rng.permutation(len(turn.values)))
    found: list[int] = []
    for _ in range(turn.count):
        one = min(left, key=lambda index: seen[turn.groups[index]])
        left.remove(one)
        found.append(one)
        seen[turn.groups[one]] += 1
    return found


def _uncertain(turn: Turn) -> list[int]:
    return list(np.argsort(margin(turn.shares), kind="stable")[: turn.count])


def _diverse(turn: Turn) -> list[int]:
    return spread(turn.values, turn.count)


def _both(turn: Turn) -> list[int]:
    return unsure_and_spread(turn.values, 1.0 - margin(turn.shares), turn.count)


STRATEGIES: dict[str, Callable[[Turn], list[int]]] = {
    "random": _random,
    "random, group by group": _by_group,
    "uncertain alone": _uncertain,
    "diverse alone": _diverse,
    "data next (both)": _both,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips")
    parser.add_argument("--seeds", default=10, type=int, help="random starts in each fold")
    parser.add_argument("--start", default=14, type=int, help="labels at the start")
    parser.add_argument("--batch", default=14, type=int, help="labels of a round")
    parser.add_argument("--rounds", default=8, type=int)
    options = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    manifest = Manifest.read(options.data)
    vectors = clip_vectors(manifest, load_recipe(options.recipe))
    values = scaled(vectors.values).astype(np.float64)
    samples = [manifest[row] for row in vectors.rows]
    labels = sorted({sample.label for sample in samples})
    targets = np.array([labels.index(sample.label) for sample in samples])
    groups = np.array([sample.group for sample in samples])
    folds = np.array([sample.fold for sample in samples])
    runs = [(fold, seed) for fold in np.unique(folds) for seed in range(options.seeds)]
    scores = {name: np.zeros((len(runs), options.rounds + 1)) for name in STRATEGIES}
    for number, (fold, seed) in enumerate(runs):
        pool, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        start = np.random.default_rng([fold, seed]).choice(pool, options.start, replace=False)
        for name, pick in STRATEGIES.items():
            rng = np.random.default_rng([fold, seed, 1])
            known = list(start)
            for turn in range(options.rounds + 1):
                said = learn_and_say(values[known], targets[known], values, len(labels))
                right = said[test].argmax(axis=1) == targets[test]
                scores[name][number, turn] = right.mean()
                if turn < options.rounds:
                    left = np.setdiff1d(pool, known)
                    chosen = pick(
                        Turn(
                            values[left],
                            said[left],
                            groups[left],
                            groups[known],
                            options.batch,
                            rng,
                        )
                    )
                    known += list(left[chosen])

    print(f"{processor()}, {os.cpu_count()} cores")
    print(
        f"{options.recipe}, {len(samples)} clips, {len(np.unique(folds))} folds, "
        f"{options.seeds} starts in each; mean accuracy on held-out scenes"
    )
    counts = [options.start + options.batch * turn for turn in range(options.rounds + 1)]
    print(f"{'labels':24}" + "".join(f"{count:7d}" for count in counts) + "   gain (by fold)")
    base = scores["random"]
    for name, found in scores.items():
        gain = (found - base)[:, 1:].mean(axis=1)
        by_fold = [gain[[run[0] == fold for run in runs]].mean() for fold in np.unique(folds)]
        told = (
            ""
            if name == "random"
            else (f"   {gain.mean():+.3f} ({min(by_fold):+.3f} to {max(by_fold):+.3f})")
        )
        print(f"{name:24}" + "".join(f"{x:7.3f}" for x in found.mean(axis=0)) + told)


if __name__ == "__main__":
    main()
