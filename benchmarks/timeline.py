"""How fast a long video's timeline is, where the time goes, and that memory does not grow.

    python benchmarks/timeline.py
    python benchmarks/timeline.py --no-memory --recipe few-clips
    python benchmarks/timeline.py --video MATCH.mp4 --memory-grid 8

A minute of 320 x 240 H.264 at 30 frames a second is made of a real clip (--video; of drawn ones
where there is none) and repeated by copying its packets. The recognizer is the recipe's with an
untrained head: what it says does not matter to what it costs. Windows hold as many moments of the
grid as the recipe has frames and lie a quarter of their length apart.

    x            seconds of video for a second of computing, by the clock
    x, 2 cores   the same from processor seconds, as if two cores had nothing else to do
    decode       processor seconds for a minute of video: decoding and resizing alone
    compute      the rest: backbone, head and what joins them
    peak         resident memory of the process, which has only this to do

Each figure is of a process of its own.
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
from importlib.metadata import version
from pathlib import Path

from _machine import processor

GOALS = {8.0: 10.0, 4.0: 20.0}  # grid: seconds of video a second, on two cores
LABELS = [f"label {n}" for n in range(7)]
CLIP = Path(__file__).parents[2] / "shared" / "data" / "clips" / "abseiling_k400.mp4"


def ffmpeg(*arguments: object) -> None:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def make_minute(source: Path | None, folder: Path) -> Path:
    """A minute of 320 x 240 at 30 frames a second."""
    if source is None:
        from frameflow.video.synthetic import make_dataset

        make_dataset(folder / "drawn", clips=1, groups=1)
        source = sorted((folder / "drawn").rglob("*.mp4"))[0]
    path = folder / "minute.mp4"
    ffmpeg(
        *("-stream_loop", "-1", "-i", source, "-t", "60", "-vf", "scale=320:240,setsar=1"),
        *("-r", "30", "-c:v", "libx264", "-preset", "medium", "-crf", "23", "-an", path),
    )
    return path


def repeated(minute: Path, minutes: int) -> Path:
    path = minute.with_name(f"{minutes}.mp4")
    ffmpeg("-stream_loop", minutes - 1, "-i", minute, "-c", "copy", path)
    return path


def make_run(recipe: str, folder: Path) -> Path:
    from frameflow.config import load_recipe
    from frameflow.models.recognizer import build_recognizer

    build_recognizer(load_recipe(recipe), LABELS).eval().save(folder / "run")
    return folder / "run"


def spent() -> float:
    """Processor seconds of this process, all its threads."""
    return time.process_time()


def one(way: str, run: str, video: str, grid: float) -> dict[str, float]:
    """What a child process measures."""
    from frameflow.inference.predictor import load
    from frameflow.inference.timeline import ShotRequest, iter_shots, timeline
    from frameflow.video.probe import probe

    model = load(run)
    window = model.recognizer.frames / grid
    begun, before = time.perf_counter(), spent()
    if way == "decode":
        request = ShotRequest(tuple(model.encoder.requests), grid)
        seconds = sum(1 for _ in iter_shots(video, request)) / grid
    else:
        seconds = timeline(model, video, window=window, grid=grid).duration
    return {
        "video": seconds,
        "clock": time.perf_counter() - begun,
        "spent": spent() - before,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "info": probe(video, count=False).duration,
    }


def child(way: str, run: Path, video: Path, grid: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", way, str(run), str(video), str(grid)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def machine() -> str:
    cpu = processor()
    libraries = ", ".join(f"{n} {version(n)}" for n in ("torch", "openvino", "av"))
    return (
        f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {libraries}"
    )


def speed(run: Path, minute: Path, given: argparse.Namespace) -> None:
    video = repeated(minute, given.minutes)
    print(f"{'grid':>5} {'x':>7} {'x, 2 cores':>11} {'decode':>8} {'compute':>8} {'goal':>6}")
    for grid in given.grids:
        child("decode", run, minute, grid)  # the engines are chosen, the file is in memory
        decode = child("decode", run, video, grid)
        whole = child("timeline", run, video, grid)
        seconds = whole["info"]
        read = decode["spent"] / seconds * 60
        rest = whole["spent"] / seconds * 60 - read
        goal = f"{GOALS[grid]:5g}x" if grid in GOALS else ""
        print(
            f"{grid:5g} {seconds / whole['clock']:6.1f}x {2 * seconds / whole['spent']:10.1f}x "
            f"{read:7.2f}s {rest:7.2f}s {goal:>6}",
            flush=True,
        )


def memory(run: Path, minute: Path, given: argparse.Namespace) -> None:
    print(f"\nMemory, on a grid of {given.memory_grid:g}")
    print(f"{'video':>10} {'file MB':>8} {'peak MB':>8} {'clock':>9}")
    peaks = []
    for minutes in (10, 120):
        video = repeated(minute, minutes)
        found = child("timeline", run, video, given.memory_grid)
        peaks.append(found["peak"])
        size = video.stat().st_size / 1e6
        print(
            f"{minutes:6} min {size:8.0f} {found['peak']:8.0f} {found['clock']:8.0f}s", flush=True
        )
        video.unlink()
    print(f"Two hours take {peaks[1] / peaks[0]:.3f} of what ten minutes do (goal 0.9 to 1.1).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, default=CLIP, help="a real clip to repeat")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--grids", type=float, nargs="*", default=[8.0, 4.0])
    parser.add_argument("--minutes", type=int, default=2, help="of the video that is timed")
    parser.add_argument("--memory-grid", type=float, default=4.0)
    parser.add_argument("--no-memory", action="store_true", help="the speed only")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, run_, video, grid = given.one
        print(json.dumps(one(way, run_, video, float(grid))))
        return
    source = given.video if given.video.exists() else None
    print(machine())
    print(f"Recipe {given.recipe}, {source.name if source else 'drawn clips'} at 320 x 240\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, minute = make_run(given.recipe, folder), make_minute(source, folder)
        speed(run, minute, given)
        if not given.no_memory:
            memory(run, minute, given)


if __name__ == "__main__":
    main()
