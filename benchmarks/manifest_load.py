"""How long a manifest of 100,000 rows takes to load with every check, files included.

python benchmarks/manifest_load.py
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy
import pyarrow

from _machine import processor
from frameflow.data.manifest import Manifest, Sample


def make(folder: Path, rows: int, labels: int) -> Manifest:
    """Empty files in class folders, and the manifest of them: labels, groups, splits, folds."""
    samples = []
    for label in range(labels):
        (folder / f"label {label:03d}").mkdir()
    for number in range(rows):
        label = f"label {number % labels:03d}"
        video = f"{label}/v_{number:06d}.mp4"
        (folder / video).touch()
        split = ("train", "train", "val", "test")[number % 4]
        group = f"g{number // 5:05d}"
        samples.append(
            Sample(video, label, split, group, fold=number % 5, extra={"camera": str(number % 3)})
        )
    return Manifest(samples, folder)


def seconds(path: Path, *, check_files: bool, repeats: int) -> float:
    """The best of some loads."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        Manifest.read(path, check_files=check_files)
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{processor()}, {os.cpu_count()} cores, "
        f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, pyarrow {pyarrow.__version__}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make(folder, options.rows, options.labels)
        print(f"{'format':<10}{'rows':>10}{'checks, s':>12}{'with files, s':>15}")
        for suffix in ("csv", "parquet"):
            path = folder / f"manifest.{suffix}"
            manifest.write(path)
            without = seconds(path, check_files=False, repeats=options.repeats)
            within = seconds(path, check_files=True, repeats=options.repeats)
            print(f"{suffix:<10}{options.rows:>10,}{without:>12.2f}{within:>15.2f}")


if __name__ == "__main__":
    main()
