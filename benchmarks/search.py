"""The learning rate by grid and by Bayesian search, and what 200 trials of a head take.

    python benchmarks/search.py
    python benchmarks/search.py --searches grid bayes --trials 8 --head-trials 0

Every search gets the same trials on inner folds of the training part of one fold. Its best trial
is scored again, on other folds with other seeds, and trained as a run whose test split is looked at
once; nothing is chosen by that. CPU seconds are told beside seconds, for a machine that is busy.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

from _machine import processor
from frameflow import train
from frameflow.tuning.search import tune

LR = "train.lr=log:1e-4..1"
HEADS = [LR, "train.label_smoothing=0..0.4", "head.name=statistics,mean,max"]


def same_budget(arguments: argparse.Namespace, out: Path) -> None:
    """One row for each search, after one for the recipe as it is."""
    print(f"\n{arguments.trials} trials each of {LR}, recipe {arguments.recipe}\n")
    print("| search | rate | best trial | scored again | test | luck, points | seconds | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    for place, name in enumerate(arguments.searches):
        cpu = time.process_time()
        found = tune(
            arguments.data, params=[LR], out=out / "lr", search=[name], trials=arguments.trials,
            recipe=arguments.recipe, fold=arguments.fold, finalists=1, seeds=arguments.seeds,
            prune=False, refit=False,
        )  # fmt: skip
        cpu = time.process_time() - cpu
        assert found is not None
        best, base, (search,) = found.best_searched, found.unchanged, found.searches
        if not place:
            test = test_score(arguments, out / "base", [])
            print(f"| as it was | {found.recipe.train.lr:g} | {base.searched:.3f} "
                  f"| {base.scored.value:.3f} | {test:.3f} | - | - | - |", flush=True)  # fmt: skip
        rate = best.params["train.lr"]
        test = test_score(arguments, out / name, [f"train.lr={rate!r}"])
        luck = 100 * ((best.searched - base.searched) - (best.scored.value - base.scored.value))
        print(f"| {name} | {rate:.3g} | {best.searched:.3f} | {best.scored.value:.3f} | {test:.3f} "
              f"| {luck:.1f} | {search.seconds:.0f} | {cpu:.0f} |", flush=True)  # fmt: skip


def test_score(arguments: argparse.Namespace, out: Path, overrides: list[str]) -> float:
    run = train(arguments.data, recipe=arguments.recipe, overrides=overrides, fold=arguments.fold,
                out=out)  # fmt: skip
    return float(run.metrics["top1"])


def head_trials(arguments: argparse.Namespace, out: Path) -> None:
    """Seconds of many trials on stored features, everything included."""
    print(f"\n{arguments.head_trials} trials of {', '.join(HEADS)}\n")
    print("| search | seconds in all | a trial | CPU s | given up |")
    print("|---|---|---|---|---|")
    for prune in (True, False):
        begun, cpu = time.perf_counter(), time.process_time()
        found = tune(
            arguments.data, params=HEADS, out=out / f"heads-{prune}", search=["tpe"],
            trials=arguments.head_trials, recipe=arguments.recipe, fold=arguments.fold,
            finalists=5, seeds=3, prune=prune,
        )  # fmt: skip
        assert found is not None
        (search,) = found.searches
        name = "tpe" if prune else "tpe, --no-prune"
        print(f"| {name} | {time.perf_counter() - begun:.0f} | "
              f"{search.seconds / len(search.trials):.2f} | {time.process_time() - cpu:.0f} | "
              f"{search.count('pruned')} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--fold", default=0, type=int)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--searches", nargs="+", default=["grid", "bayes", "gp", "tpe"])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--head-trials", type=int, default=200)
    parser.add_argument("--out", type=Path, help="Keep what is written here; a search goes on.")
    arguments = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    print(f"{processor()}, {os.cpu_count()} cores, "
          f"load {os.getloadavg()[0]:.0f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch)
        if arguments.searches and arguments.trials:
            same_budget(arguments, out)
        if arguments.head_trials:
            head_trials(arguments, out)


if __name__ == "__main__":
    main()
