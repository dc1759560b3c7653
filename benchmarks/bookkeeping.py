"""What a data set's tables cost by its rows: time, memory and bytes on disk, no videos needed.

    python benchmarks/bookkeeping.py
    python benchmarks/bookkeeping.py --rows 650000 5000000

Each measurement has a process of its own; memory is what that process held at most, less what it
held with one row. The manifest has Kinetics' shape: long paths, 700 labels, splits, one group to
ten clips. The shards hold short features, so that only their keys weigh; scenes are compared on
random pictures, predictions are random too.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

LABELS = 700
Result = tuple[dict[str, float], str]  # seconds of each step, and a remark


def make(rows: int) -> "Manifest":  # type: ignore[name-defined]  # noqa: F821
    from frameflow.data.manifest import Manifest, Sample

    splits = ("train",) * 8 + ("val", "test")
    return Manifest(
        (
            Sample(
                f"label {n % LABELS:03d}/{n:011x}_{n % 300:06d}_{n % 300 + 10:06d}.mp4",
                f"label {n % LABELS:03d}",
                splits[n % 10],
                f"{n // 10:011x}",
            )
            for n in range(rows)
        ),
        ".",
    )


def manifest(rows: int, folder: Path, suffix: str) -> Result:
    """Read with all checks but that the files exist."""
    from frameflow.data.manifest import Manifest

    path = folder / f"manifest{suffix}"
    subprocess.run([sys.executable, __file__, "--make", str(rows), str(path)], check=True)
    begun = time.process_time()
    found = Manifest.read(path, check_files=False)
    read = time.process_time() - begun
    assert len(found) == rows
    return {"read": read}, f"{path.stat().st_size / rows:.0f} bytes a row on disk"


def keys(rows: int, folder: Path) -> Result:
    """Digests recalled from the table of remembered ones, keys made of them."""
    from frameflow.features._memory import memory_of
    from frameflow.features.digests import sample_key

    samples = make(rows)
    paths = [str(samples.path(sample)) for sample in samples]
    file = folder / "digests.sqlite"
    begun = time.process_time()
    with memory_of(file, "digests") as memory:
        for number, path in enumerate(paths):
            memory.remember(path, "500000:1234567890123456789", f"{number:032x}")
    kept = time.process_time() - begun
    begun = time.process_time()
    with memory_of(file, "digests") as memory:
        digests = [memory.recall(path, "500000:1234567890123456789") for path in paths]
    recalled = time.process_time() - begun
    begun = time.process_time()
    made = {i: sample_key(s, d or "") for i, (s, d) in enumerate(zip(samples, digests))}
    keyed = time.process_time() - begun
    assert len(set(made.values())) == rows
    bytes_a_row = file.stat().st_size / rows
    return (
        {"remember": kept, "recall": recalled, "key": keyed},
        f"{bytes_a_row:.0f} bytes a row in SQLite",
    )


def store(rows: int, folder: Path, per_shard: int = 256) -> Result:
    """A store with shards of 256 samples, opened and asked for every key."""
    from frameflow.features._shard import SUFFIX, write_shard
    from frameflow.features.store import FeatureSpec, FeatureStore

    spec = FeatureSpec(
        "lite0", "0" * 16, 224, (0.5,) * 3, (0.5,) * 3, "bicubic", "squash", "uniform", 1
    )  # type: ignore[arg-type]
    wanted = [f"{number * 2654435761 % 2**128:032x}" for number in range(rows)]
    place = FeatureStore(folder, spec).folder
    # as write_shard of the store, without waiting for the disk
    from frameflow.features import _files

    sync, os.fsync = os.fsync, lambda _: None  # type: ignore[assignment]
    _files.os.fsync = os.fsync
    for number, begin in enumerate(range(0, rows, per_shard)):
        part = wanted[begin : begin + per_shard]
        values = np.zeros((len(part), 1, 4), np.float16)
        write_shard(place / f"{number:016x}{SUFFIX}", part, values, np.ones((len(part), 1), bool))
    os.fsync = sync
    begun = time.process_time()
    opened = FeatureStore(folder, spec)
    opening = time.process_time() - begun
    begun = time.process_time()
    assert not opened.missing(wanted)
    missing = time.process_time() - begun
    begun = time.process_time()
    places = opened.locate(wanted)
    locate = time.process_time() - begun
    shards = len(np.unique(places[:, 0]))
    return {"open": opening, "missing": missing, "locate": locate}, f"{shards:,} shards"


def threads(rows: int, folder: Path) -> Result:  # noqa: ARG001
    """Nothing done for each row by a pool of threads, as videos are opened and digested."""
    from frameflow._threads import in_threads

    begun = time.process_time()
    assert sum(1 for _ in in_threads(len, ("a" for _ in range(rows)), workers=2, name="a")) == rows
    return {"all": time.process_time() - begun}, ""


def predictions(rows: int, folder: Path) -> Result:
    """A tenth of the rows is tested: their probabilities written, scored, and resampled."""
    from frameflow.evaluation.metrics import score
    from frameflow.evaluation.predictions import Predictions

    tested = max(1, rows // 10)
    samples = make(tested).samples
    rng = np.random.default_rng(0)
    shares = rng.random((tested, LABELS), dtype=np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    found = Predictions(samples, [f"label {n:03d}" for n in range(LABELS)], shares)
    times, begun = {}, time.process_time()
    found.write_csv(folder / "predictions.csv")
    times["csv"] = time.process_time() - begun
    begun = time.process_time()
    groups = [sample.group for sample in samples]
    score(found.truth, found.probabilities, found.labels, groups=groups)
    times["score"] = time.process_time() - begun
    begun = time.process_time()
    json.dumps(found.results())
    times["results"] = time.process_time() - begun
    size = (folder / "predictions.csv").stat().st_size
    return times, f"{tested:,} tested, predictions.csv {size / 1e6:,.0f} MB"


def scenes(rows: int, folder: Path) -> Result:  # noqa: ARG001
    """Every clip compared with every other, as `data check` does where there are splits."""
    from frameflow.audit.scenes import Backgrounds, same_scene_pairs

    rng = np.random.default_rng(0)
    coarse = rng.random((rows, 4, 8, 3), dtype=np.float32) * 255
    pictures = coarse.repeat(8, axis=1).repeat(8, axis=2)
    begun = time.process_time()
    same_scene_pairs(Backgrounds(np.arange(rows), pictures, {}))
    return {"compare": time.process_time() - begun}, "time grows with the square of the rows"


WORK: dict[str, Callable[[int, Path], Result]] = {
    "manifest.csv": lambda rows, folder: manifest(rows, folder, ".csv"),
    "manifest.parquet": lambda rows, folder: manifest(rows, folder, ".parquet"),
    "keys": keys,
    "store": store,
    "threads": threads,
    "predictions": predictions,
    "scenes": scenes,
}
SLOW = {"scenes": 20_000}  # rows beyond which it is not tried


def run_one(name: str, rows: int, work: Path) -> None:
    with tempfile.TemporaryDirectory(dir=work) as folder:
        WORK[name](1, Path(folder))  # imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(dir=work) as folder:
        times, remark = WORK[name](rows, Path(folder))
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({"times": times, "remark": remark, "memory": held}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 650_000])
    parser.add_argument("--only", nargs="*", choices=WORK, default=list(WORK))
    parser.add_argument("--scene-rows", type=int, nargs="+", default=[2000, 4000, 8000])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(int(given.make[0])).write(given.make[1])
        return
    if given.one:
        run_one(given.one[0], int(given.one[1]), given.work)
        return
    cpu = platform.processor() or platform.machine()
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}, numpy {np.__version__}\n")
    print(f"{'':<17} {'rows':>10} {'memory, MB':>11} {'bytes a row':>12}   core-seconds")
    for name in given.only:
        for rows in given.scene_rows if name == "scenes" else given.rows:
            command = [sys.executable, __file__, "--one", name, str(rows), "--work", given.work]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
            found = json.loads(done.stdout.splitlines()[-1])
            times = ", ".join(f"{what} {took:.2f}" for what, took in found["times"].items())
            print(f"{name:<17} {rows:>10,} {found['memory'] / 1e6:>11,.0f} "
                  f"{found['memory'] / rows:>12,.0f}   {times}; {found['remark']}".rstrip("; "),
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
