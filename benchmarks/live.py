"""How old are the answers of `frameflow live`, and how many windows does it leave out?

    python benchmarks/live.py RUN CLIP
    python benchmarks/live.py RUN CLIP --grids 4 8 16 --seconds 60 --cores 2

FFmpeg sends the clip over and over, at its own rate, as MPEG-TS over TCP on this machine, and
`frameflow.inference.live.live` answers a window every quarter of its length. For each grid it
prints, of the windows after the first one answered (before it, FFmpeg hands over at once what it
read to find out what is sent),

    windows   complete ones in a second
    median    ms from the arrival of a window's newest frame to its answer
    95 %      likewise, of the slowest twentieth
    dropped   share of the windows that were left out
    behind    s by which frames came later than at best, at most
    cores     cores kept busy by this process, decoding included

FFmpeg's own process runs beside it, on the same cores.
"""

import argparse
import os
import platform
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from _machine import processor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frameflow.inference.predictor import Predictor


class Row(NamedTuple):
    """What one stream gave."""

    windows: float
    median: float
    slow: float
    dropped: float
    behind: float
    cores: float


@contextmanager
def pushed(clip: Path) -> "Iterator[str]":
    """The address at which FFmpeg sends the clip, again and again."""
    import imageio_ffmpeg

    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-re", "-stream_loop", "-1"]
    encode = ["-an", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30"]
    send = ["-f", "mpegts", f"{address}?listen=1"]
    process = subprocess.Popen(
        [*command, "-i", str(clip), *encode, *send], stdin=subprocess.DEVNULL
    )
    try:
        yield address
    finally:
        process.kill()
        process.wait()


def measured(predictor: "Predictor", clip: Path, grid: float, seconds: float) -> Row:
    """Watch the stream for so many seconds."""
    from frameflow.inference.live import LivePrediction, live

    found: list[LivePrediction] = []
    with pushed(clip) as address:
        for one in live(predictor, address, grid=grid, reconnect=True):  # it may not listen yet
            if not isinstance(one, LivePrediction):
                continue
            if not found:
                begun, spent = time.perf_counter(), time.process_time()
            found.append(one)
            if time.perf_counter() - begun > seconds:
                break
    passed = time.perf_counter() - begun
    latency = 1000 * np.array([one.latency for one in found[1:]])
    dropped = found[-1].dropped_windows - found[0].dropped_windows
    complete = len(latency) + dropped
    return Row(
        windows=complete / passed,
        median=float(np.median(latency)),
        slow=float(np.quantile(latency, 0.95)),
        dropped=dropped / complete,
        behind=max(one.behind for one in found[1:]),
        cores=(time.process_time() - spent) / passed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("clip", type=Path, help="the video that is sent")
    parser.add_argument("--grids", type=float, nargs="+", default=[4.0, 8.0, 16.0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each grid")
    parser.add_argument("--cores", type=int, default=2, help="for FFmpeg and us together")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])

    from frameflow.features.engines import cores
    from frameflow.inference.predictor import load
    from frameflow.video.probe import probe

    predictor, info = load(options.run), probe(options.clip)
    print(
        f"{options.clip.name}: {info.width}x{info.height}, {info.rate:g} frames a second; "
        f"recipe {predictor.recognizer.recipe.name}"
    )
    print(
        f"{'grid':>6}{'windows':>9}{'median':>8}{'95 %':>8}{'dropped':>9}{'behind':>8}{'cores':>7}"
    )
    for grid in options.grids:
        row = measured(predictor, options.clip, grid, options.seconds)
        print(
            f"{grid:>6g}{row.windows:>9.2f}{row.median:>8.0f}{row.slow:>8.0f}"
            f"{row.dropped:>9.1%}{row.behind:>8.2f}{row.cores:>7.2f}"
        )
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{processor()}, {cores()} cores (load {load_average:.1f}), "
        f"Python {platform.python_version()}, engine {predictor.encoder.engine}, "
        f"PyAV {version('av')}"
    )


if __name__ == "__main__":
    main()
