"""Seconds, memory and size of the scores and the report of a test split as large as UCF101's.

python benchmarks/report.py [--keep report.html]

The predictions are generated: classes are taken for others of their kind, groups fail together.
So are the measures of the clips (reading 3,783 videos for these is a matter of the videos, and is
done once: they are remembered) and a few small videos, which stand for all in the pictures.
"""

import argparse
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from _machine import processor
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.ucf101 import categories
from frameflow.evaluation.conditions import by_columns, conditions
from frameflow.evaluation.metrics import score
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.report import write_report
from frameflow.video.measure import ClipMeasures, measure
from frameflow.video.write import write_video

VIDEOS = 40


def write_videos(folder: Path, rng: np.random.Generator) -> list[str]:
    """Small videos of a square that wanders through coloured blocks, 320 x 240, 3 s."""
    names = []
    for index in range(VIDEOS):
        room = rng.integers(30, 220, (6, 8, 3)).repeat(40, 0).repeat(40, 1)
        film = np.repeat(room[None], 75, axis=0).astype(np.uint8)
        y, x, speed = int(rng.integers(0, 180)), int(rng.integers(0, 90)), int(rng.integers(1, 3))
        for number, frame in enumerate(film):
            frame[y : y + 60, x + speed * number : x + speed * number + 50] = 250
        names.append(f"clip{index:02d}.mp4")
        write_video(folder / names[-1], film, rate=25)
    return names


def generate(
    options: argparse.Namespace, videos: list[str], rng: np.random.Generator
) -> tuple[Predictions, list[ClipMeasures | None]]:
    """Predictions that look like those of a model, and measures of the clips."""
    labels = sorted(categories())[: options.classes]
    labels += [f"Action{index:03d}" for index in range(len(labels), options.classes)]
    count, classes = options.samples, options.classes
    truth = np.sort(rng.integers(0, classes, count))
    group = rng.integers(0, 7, count)
    kinds = rng.permutation(classes) // 4  # classes of a kind are taken for one another
    skill = rng.normal(3.2, 1.0, classes)
    luck = rng.normal(0, 1.3, (classes, 7))[truth, group]
    seconds, light, motion = rng.gamma(6, 1.2, count), rng.beta(4, 4, count), rng.beta(2, 12, count)
    logits = rng.normal(0, 0.8, (count, classes)) + 2.2 * (kinds[truth][:, None] == kinds)
    logits[np.arange(count), truth] += skill[truth] + luck + 3 * (light - 0.5) - 1.2
    shares = np.exp(1.3 * logits)
    shares /= shares.sum(axis=1, keepdims=True)
    samples = [
        Sample(
            videos[index % len(videos)],
            labels[true],
            "test",
            f"{labels[true]}_g{number + 1:02d}",
            extra={"category": categories().get(labels[true], "")},
        )
        for index, (true, number) in enumerate(zip(truth, group))
    ]
    looks = zip(seconds.tolist(), light.tolist(), motion.tolist())
    measures: list[ClipMeasures | None] = [
        ClipMeasures(long, 320, 240, 25.0, bright, 0.2, moving) for long, bright, moving in looks
    ]
    return Predictions(samples, labels, shares), measures


def facts(options: argparse.Namespace) -> dict[str, Any]:
    """What a run says of itself."""
    return {
        "split": "test", "manifest": "manifest.csv", "leaky": False, "seen_in_training": False,
        "views": 1, "seed": 0, "recipe": "default", "run": f"benchmark-{options.classes}",
        "engine": "auto", "precision": "float32", "weights": [], "unlabelled": 0, "bad_videos": [],
        "bad_in_training": [], "versions": {"python": platform.python_version()}, "date": "",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=3783)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="Copy the page to this file.")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(
        f"{processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    print(f"{options.samples} samples, {options.classes} classes, {options.draws} draws\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = write_videos(folder, rng)
        found, measures = generate(options, videos, rng)
        steps: dict[str, tuple[float, float]] = {}

        def now() -> tuple[float, float]:
            return time.perf_counter(), time.process_time()

        def timed(what: str, started: tuple[float, float]) -> None:
            wall, computing = now()
            steps[what] = (wall - started[0], computing - started[1])

        start = now()
        groups = [sample.group for sample in found.samples]
        metrics = score(
            found.truth, found.probabilities, found.labels, groups=groups, resamples=options.draws
        ).to_dict() | facts(options)
        timed("scores and intervals", start)
        start = now()
        metrics |= {"conditions": conditions(found, measures), "by": by_columns(found)}
        timed("conditions and columns", start)
        start = now()
        found.write_csv(folder / "predictions.csv")
        timed("predictions.csv", start)
        start = now()
        manifest = Manifest(found.samples, folder)
        page = folder / "report.html"
        write_report(page, metrics, found, manifest=manifest, own=manifest)
        timed("report.html, with pictures", start)
        print(f"{'':30} {'seconds':>9} {'of cores':>9}")
        steps["together"] = (sum(s[0] for s in steps.values()), sum(s[1] for s in steps.values()))
        for what, (wall, computing) in steps.items():
            print(f"{what:30} {wall:9.2f} {computing:9.2f}")
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        megabytes = used * (1 if sys.platform == "darwin" else 1024) / 1e6
        print(f"{'memory, at most':30} {megabytes:7.0f} MB")
        print(f"{'report.html':30} {page.stat().st_size / 1e6:7.2f} MB")
        start = now()
        for video in videos:
            measure(folder / video)
        each = (now()[1] - start[1]) / len(videos)
        print(f"\nMeasuring a clip for the first time: {1000 * each:.0f} ms of a core.")
        if options.keep:
            shutil.copy(page, options.keep)


if __name__ == "__main__":
    main()
