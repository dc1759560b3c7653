"""How fast does `frameflow predict` go through videos, frames and pictures?

    python benchmarks/predict.py RUN VIDEO...

Prints, of the videos that files, folders and globs name,

    one by one   videos a second, where a video is decoded when the one before is done
    side by side the same with the next videos decoded meanwhile, as `predict` does it
    per frame    frames a second of --per-frame, for the first video
    labels       milliseconds to draw labels on a frame, by its size: those of a whole video, which
                 stay, and those of frames, which change

Each is measured in turns, three times, and the best is shown. That memory stays flat over thousands
of videos is tested: pytest -m slow tests/cli/test_predict_files.py
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from frameflow.inference.per_frame import iter_frame_rows
from frameflow.inference.predictor import Predictor, expand_paths, load
from frameflow.video.draw import LabelOverlay

TURNS = 3
SIZES = ((160, 90), (320, 240), (1920, 1080), (3840, 2160))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def one_by_one(predictor: Predictor, videos: Sequence[Path]) -> None:
    for video in videos:
        predictor.from_clips(str(video), predictor.encoder.read(video))


def side_by_side(predictor: Predictor, videos: Sequence[Path]) -> None:
    for _ in predictor.stream(videos):
        pass


def drawing(size: tuple[int, int], *, changing: bool) -> float:
    """Milliseconds a frame."""
    frame = np.full((size[1], size[0], 3), 128, np.uint8)
    overlay = LabelOverlay(*size)
    shares = np.random.default_rng(0).random(60) if changing else np.full(60, 0.7)
    overlay.draw(frame, [("forehand", 0.5), ("Rückhand", 0.2)])
    began = time.perf_counter()
    for share in shares.tolist():
        overlay.draw(frame, [("forehand", share), ("Rückhand", 1 - share)], progress=share)
    return 1000 * (time.perf_counter() - began) / len(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--most", type=int, default=60, help="videos that are predicted")
    options = parser.parse_args()
    videos = expand_paths(options.videos)[: options.most]
    predictor = load(options.run)
    one_by_one(predictor, videos[:2])  # engines are made, files are in the cache
    ways = {"one by one": one_by_one, "side by side": side_by_side}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, way in ways.items():
            best[name] = min(best[name], seconds(partial(way, predictor, videos)))
    for name, took in best.items():
        print(f"{name:<14}{len(videos) / took:8.2f} videos/s")
    frames = sum(1 for _ in iter_frame_rows(predictor, videos[0]))
    took = min(
        seconds(lambda: sum(1 for _ in iter_frame_rows(predictor, videos[0]))) for _ in range(TURNS)
    )
    print(f"{'per frame':<14}{frames / took:8.1f} frames/s ({videos[0].name}, {frames} frames)")
    for size in SIZES:
        same, new = (
            min(drawing(size, changing=changing) for _ in range(TURNS))
            for changing in (False, True)
        )
        name = f"{size[0]}x{size[1]}"
        print(f"labels {name:<11}{same:8.2f} ms a frame, {new:.2f} where they change")
    print(
        f"{predictor.encoder.engine}; Python {platform.python_version()}, torch "
        f"{torch.__version__}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
