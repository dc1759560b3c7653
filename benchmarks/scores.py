"""Seconds to score a test split of UCF101's size and to write its report.

python benchmarks/scores.py
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation.metrics import score
from frameflow.evaluation.predictions import Predictions, read_predictions
from frameflow.evaluation.report import write_report


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The best of several."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=3783)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--groups", type=int, default=707)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    labels = [f"Action{index:03d}" for index in range(options.classes)]
    truth = rng.integers(0, options.classes, options.samples)
    shares = rng.dirichlet(np.full(options.classes, 0.1), options.samples)
    groups = [f"g{index % options.groups}" for index in range(options.samples)]
    rows = [
        Sample(f"{index}.mp4", labels[number], "test", group)
        for index, (number, group) in enumerate(zip(truth, groups))
    ]
    found = Predictions(rows, labels, shares)
    metrics = score(truth, shares, labels, groups=groups, resamples=10).to_dict() | {
        "split": "test", "manifest": "manifest.csv", "leaky": False, "seen_in_training": False,
        "views": 1, "seed": 0, "recipe": "default", "run": "benchmark", "engine": "auto",
        "precision": "float32", "weights": [], "unlabelled": 0, "bad_videos": [],
        "bad_in_training": [], "versions": {}, "date": "",
    }  # fmt: skip

    print(
        f"{processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    print(f"{options.samples} samples, {options.classes} classes, {options.draws} draws\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs: dict[str, Callable[[], object]] = {
            f"score, over {options.groups} groups": lambda: score(
                truth, shares, labels, groups=groups, resamples=options.draws
            ),
            "score, over clips": lambda: score(truth, shares, labels, resamples=options.draws),
            "write predictions.csv": lambda: found.write_csv(folder / "p.csv"),
            "read predictions.csv": lambda: read_predictions(folder / "p.csv"),
            "write report.html, no pictures": lambda: write_report(
                folder / "report.html", metrics, found, manifest=Manifest(rows, folder)
            ),
        }
        for what, work in jobs.items():
            print(f"{what:34} {seconds(work, options.repeats):6.2f} s")
        for file in ("p.csv", "report.html"):
            print(f"{file:34} {(folder / file).stat().st_size / 1e6:6.2f} MB")


if __name__ == "__main__":
    main()
