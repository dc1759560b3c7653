"""One row of a bench, in a process of its own: ``python -m frameflow.export._bench_row JOB OUT``.

Files are run without PyTorch in memory, as where they are deployed.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_WARM = 2  # runs before the clock
_BATCH = 4  # clips handed over at once, to measure how many a second
_LONG = 20.0  # seconds after which no further run is begun

Run = Callable[[list[np.ndarray], np.ndarray], np.ndarray]


def main(job_path: str, out_path: str) -> None:
    """Read a job, measure, write what was found as JSON."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    run = _torch(job) if job["engine"] == "torch" else _file(job)
    with np.load(job["clip"]) as saved:
        images = [saved[f"stream{place}"][:1] for place in range(job["streams"])]
        mask = saved["mask"][:1]
    found: dict[str, Any] = {"seconds": _timed(run, images, mask, job["repeat"])}
    found["peak_bytes"] = _peak()
    several = [np.repeat(part, _BATCH, axis=0) for part in images]
    seconds = _timed(run, several, np.repeat(mask, _BATCH, axis=0), max(2, job["repeat"] // 4))
    found["clips_per_second"] = _BATCH * len(seconds) / sum(seconds)
    if job["test"]:
        found["raw"] = _test(run, job)
    Path(out_path).write_text(json.dumps(found), encoding="utf-8")


def _peak() -> int:
    """The most memory this process has held, bytes."""
    try:  # what `resource` says begins with the memory of the process that started this one
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _timed(run: Run, images: list[np.ndarray], mask: np.ndarray, repeat: int) -> list[float]:
    for _ in range(_WARM):
        run(images, mask)
    seconds: list[float] = []
    while len(seconds) < repeat and sum(seconds) < _LONG:
        begun = time.perf_counter()
        run(images, mask)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _test(run: Run, job: dict[str, Any]) -> list[list[float]]:
    """The mean probabilities of each test clip's views, before calibration."""
    folder = Path(job["test"])
    parts = [np.load(folder / f"stream{p}.npy", mmap_mode="r") for p in range(job["streams"])]
    masks = np.load(folder / "mask.npy")
    found = []
    for row, mask in enumerate(masks):
        raw = run([np.ascontiguousarray(part[row]) for part in parts], mask)
        found.append(raw.mean(axis=0).tolist())
    return found


def _file(job: dict[str, Any]) -> Run:
    """From uint8 images to uncalibrated probabilities by an exported file."""
    from types import SimpleNamespace

    from frameflow.export.runners import feed_of, open_file

    runner = open_file(Path(job["file"]), job["engine"], precision=job["precision"])
    inputs = json.loads(runner.metadata["inputs"])
    names = [each["name"] for each in inputs]
    looks: list[Any] = [SimpleNamespace(mean=i["mean"], std=i["std"]) for i in inputs]
    masked = json.loads(runner.metadata["mask"])

    def run(images: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
        return runner(feed_of(names, looks, images, mask if masked else None))[1]

    return run


def _torch(job: dict[str, Any]) -> Run:
    """The run itself."""
    import torch

    from frameflow.models.recognizer import Recognizer

    recognizer = Recognizer.load(job["run"]).eval()
    half = job["precision"] == "bfloat16"
    several = recognizer.recipe.multilabel

    def run(images: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = recognizer(images, torch.from_numpy(mask)).float()
            found = logits.sigmoid() if several else logits.softmax(dim=-1)
        return np.asarray(found.numpy())

    return run


if __name__ == "__main__":
    main(*sys.argv[1:3])
