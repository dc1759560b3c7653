"""Frames per second of extraction in one process and by workers of a Ray on this machine.

    python benchmarks/over_ray.py
    python benchmarks/over_ray.py --clips 400 --workers 1 2 4

The clips of tennis7, EfficientNet-Lite0 over 16 frames, nothing stored before. Ways take turns. The
rate of workers is counted from the first block that is stored to the last; what it takes before
that, to start Ray, the workers and their engines, is told apart. In the last row a worker is
killed (SIGKILL) after the first block, and what was begun twice is counted, by what the workers
note as they begin a clip.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from training import machine

FRAMES = 16


class Clock:
    """When outcomes came in."""

    def __init__(self) -> None:
        from frameflow.features import over_cluster

        self.times: list[float] = []
        self.kill: Path | None = None
        self.killed = 0
        take = over_cluster._Work.take

        def noted(work: Any, *given: Any) -> None:
            self.times.append(time.perf_counter())
            if self.kill is not None and not self.killed:
                self.killed = int(self.kill.read_text().split()[-2])
                os.kill(self.killed, signal.SIGKILL)
            take(work, *given)

        over_cluster._Work.take = noted  # type: ignore[method-assign]

    def rate(self) -> float:
        """Clips a second after the first block; those of a block come at once."""
        first = self.times[0]
        later = [moment for moment in self.times if moment > first + 0.1]
        return len(later) / (later[-1] - first) if later else float("nan")


def noting(log: Path) -> type:
    """An extractor that writes down what it begins to compute, sent by value."""
    from frameflow.features import over_cluster

    class Noting(over_cluster.Extractor):
        def __call__(self, tasks: Any) -> Any:
            from frameflow.features import _jobs

            compute = _jobs._compute

            def noted(group: Any, *rest: Any) -> None:
                with open(log, "a", encoding="utf-8") as file:
                    file.writelines(f"{os.getpid()} {job.key}\n" for job, _ in group)
                compute(group, *rest)

            _jobs._compute = noted
            try:
                return super().__call__(tasks)
            finally:
                _jobs._compute = compute

    return Noting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "shared" / "data" / "tennis7" / "manifest.csv"
    parser.add_argument("--manifest", type=Path, default=default)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--size", type=int, default=224, help="px")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--weights", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="over-ray-") as name:
        os.environ.setdefault("FRAMEFLOW_HOME", f"{name}/home")
        measure(given, Path(name))


def measure(given: argparse.Namespace, folder: Path) -> None:
    from frameflow.cluster import Cluster, connected
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest
    from frameflow.features import over_cluster
    from frameflow.features.digests import content_digests
    from frameflow.features.extract import extract
    from frameflow.models.recognizer import build_streams

    overrides = [f"sampling.frames={FRAMES}", f"streams.0.size={given.size}"]
    recipe = load_recipe("default", [*overrides, f"streams.0.weights={given.weights}"])
    manifest = Manifest.read(given.manifest, check_files=False)
    manifest = manifest.replace(manifest.samples[: given.clips])
    content_digests(manifest.path(sample) for sample in manifest)
    backbones = build_streams(recipe)
    options: dict[str, Any] = {"engine": given.engine, "backbones": backbones}
    extract(manifest.replace(manifest.samples[:2]), recipe, store=folder / "warm", **options)

    def one(workers: int, kill: bool = False) -> dict[str, Any]:
        store, log = folder / "store", folder / "log"
        shutil.rmtree(store, ignore_errors=True)
        log.unlink(missing_ok=True)
        clock, begun = Clock(), time.perf_counter()
        if not workers:
            found = extract(manifest, recipe, store=store, **options)
            seconds = time.perf_counter() - begun
            return {"rate": FRAMES * len(found) / seconds, "before": 0.0, "all": seconds}
        own = over_cluster.Extractor
        clock.kill = log if kill else None
        over_cluster.Extractor = noting(log)  # type: ignore[misc]
        try:
            cluster = Cluster(workers=workers)
            with connected(cluster):
                found = extract(manifest, recipe, store=store, cluster=cluster, **options)
        finally:
            over_cluster.Extractor = own  # type: ignore[misc]
        if len(found) != len(manifest):
            sys.exit(f"Only {len(found)} of {len(manifest)} clips were computed.")
        noted = Counter(line.split()[1] for line in log.read_text().splitlines())
        return {
            "rate": FRAMES * clock.rate(),
            "before": clock.times[0] - begun,
            "all": clock.times[-1] - begun,
            "twice": sum(noted.values()) - len(noted),
            "stored": stored(store),
        }

    ways: dict[str, list[dict[str, Any]]] = {}
    for _ in range(given.rounds):
        ways.setdefault("one process", []).append(one(0))
        for count in given.workers:
            ways.setdefault(f"ray, {count} workers", []).append(one(count))
    killed = one(2, kill=True)
    print(machine())
    print(f"{len(manifest)} clips of {FRAMES} frames, {given.size} px, {given.rounds} rounds")
    print(f"{'way':<28} {'frames/s':>9} {'s before':>9} {'s in all':>9} {'begun twice':>12}")
    for way, rows in [*ways.items(), ("ray, 2 workers, one killed", [killed])]:
        mean = {k: float(np.mean([row[k] for row in rows])) for k in ("rate", "before", "all")}
        twice = max(row.get("twice", 0) for row in rows)
        print(
            f"{way:<28} {mean['rate']:9.1f} {mean['before']:9.1f} {mean['all']:9.1f} {twice:12}",
            flush=True,
        )
    print(f"stored after the kill: {killed['stored']}")


def stored(store: Path) -> str:
    """How many keys, and how often the one that is stored most."""
    from frameflow.features._shard import open_shard

    rows = Counter(k for path in store.glob("*/*.features") for k in open_shard(path).keys)
    return f"{len(rows)} clips, each {max(rows.values())} time"


if __name__ == "__main__":
    main()
