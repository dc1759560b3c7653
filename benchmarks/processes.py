"""Seconds per epoch of training in one and in several processes, and what both end with.

    python benchmarks/processes.py
    python benchmarks/processes.py --processes 1 2 4 --clips 200 --size 160

The recipe lite0-tsm on some clips, with kept frames so that computing is what is shared, and
without dropout, which each process draws for its own samples. Each way is a `frameflow train
--processes N` of its own; seconds per epoch are those of the second and later epochs. On one
machine several processes share the cores that one would use: they pay where one does not fill them,
and on several GPUs.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from training import machine


def write_manifest(given: argparse.Namespace, path: Path) -> None:
    """Some clips of three classes; every fifth group is the test, every fifth validation."""
    with (given.videos / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in given.classes]
    rows = rows[:: max(1, len(rows) // given.clips)][: given.clips]
    folds = {"0": "test", "1": "val"}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "label", "group", "split"])
        for row in rows:
            video = (given.videos / row["video"]).absolute()
            writer.writerow([video, row["label"], row["group"], folds.get(row["fold"], "train")])


def train(count: int, manifest: Path, given: argparse.Namespace, folder: Path) -> dict[str, float]:
    run = folder / f"by-{count}"
    changes = [
        f"streams.0.size={given.size}", f"train.epochs={given.epochs}", "train.patience=null",
        f"train.batch_size={given.batch}", "train.cache=on", "head.dropout=0", "augment.colour=0",
        "train.precision=float32",
    ]  # fmt: skip
    command = [sys.executable, "-m", "frameflow", "train", str(manifest), "--recipe", "lite0-tsm"]
    command += [word for change in changes for word in ("--set", change)]
    command += ["-o", str(run), "--engine", "torch", "--processes", str(count)]
    environment = os.environ | {"FRAMEFLOW_HOME": str(folder / f"home-{count}")}
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = time.perf_counter() - begun
    with (run / "history.csv").open(newline="", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    epochs = [float(row["seconds"]) for row in history]
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {
        "epoch": float(np.mean(epochs[1:] or epochs)),
        "seconds": seconds,
        "train_loss": float(history[-1]["train_loss"]),
        "val_loss": float(history[-1]["val_loss"]),
        "top1": metrics["top1"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "shared" / "data" / "tennis7"
    parser.add_argument("--videos", type=Path, default=default, help="with a manifest.csv of folds")
    parser.add_argument("--classes", nargs="+", default=["Serve", "Forehand", "Backhand"])
    parser.add_argument("--clips", type=int, default=60, help="how many")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="clips a step, of all processes")
    parser.add_argument("--size", type=int, default=112, help="px")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_manifest(given, folder / "clips.csv")
        print(
            f"{'processes':>9} {'s/epoch':>8} {'s in all':>9} {'train loss':>11} "
            f"{'val loss':>9} {'test top-1':>11}"
        )
        for count in given.processes:
            found = train(count, folder / "clips.csv", given, folder)
            print(
                f"{count:9} {found['epoch']:8.2f} {found['seconds']:9.1f} "
                f"{found['train_loss']:11.5f} {found['val_loss']:9.5f} {found['top1']:11.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
