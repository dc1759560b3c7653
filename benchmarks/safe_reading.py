"""What it costs to read videos in a process of their own.

    python benchmarks/safe_reading.py
    python benchmarks/safe_reading.py --video clip.mp4 --clips 500

The clips that a default recipe looks at (16 frames of 224 px), read here and by a worker process
of the server, one after the other and in turns. Beside it: how long a process takes to start, to
be replaced after it was killed, and how its memory stands after all clips.
"""

import argparse
import os
import platform
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from frameflow.serving.limits import Limits
from frameflow.serving.reader import SafeReader
from frameflow.video.clip import ClipRequest, read_clips
from frameflow.video.probe import probe
from frameflow.video.write import write_video


def generated(folder: Path) -> Path:
    """Seven seconds of 320 x 240 that move."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (36, 12, 16, 3), dtype=np.uint8)
    film = small.repeat(5, axis=0)[:175].repeat(20, axis=1).repeat(20, axis=2)
    write_video(folder / "clip.mp4", film, rate=25)
    return folder / "clip.mp4"


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def row(name: str, seconds: list[float]) -> str:
    middle, last = statistics.median(seconds), np.percentile(seconds, 95)
    return f"{name:32} {1000 * middle:8.1f} {1000 * last:8.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    given = parser.parse_args()
    request = ClipRequest(size=224)
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or generated(Path(folder))
        info = probe(video)
        begun = time.perf_counter()
        with SafeReader(Limits(videos_per_worker=10**9), workers=1) as reader:
            reader.probe(video)
            start = time.perf_counter() - begun
            (worker,) = reader._live
            here, there = [], []
            before = 0
            for number in range(given.clips):
                here.append(timed(lambda: read_clips(video, request)))
                there.append(timed(lambda: reader.read(video, [request])))
                before = before or (number >= 20 and worker.memory()) or 0
            after = worker.memory() or 0
            os.kill(worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            again = timed(lambda: reader.probe(video))
    print(
        f"{info.width} x {info.height}, {info.duration:.1f} s, {info.codec}; {given.clips} clips\n"
    )
    print(f"\n{'milliseconds':32} {'median':>8} {'95 %':>8}")
    print(row("read here", here))
    print(row("read by a worker process", there))
    print(f"\nstart of a process until its first answer   {start:.2f} s")
    print(f"answer where the process had been killed     {again:.2f} s")
    print(f"memory of a process                          {after / 1e6:.0f} MB")
    print(f"growth after the first 20 clips              {(after - before) / 1e6:+.1f} MB")
    print(f"\n{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
