"""Reading 16 uniform frames from each clip, short side 224: FrameFlow beside other ways.

The ways take turns, so that a busy machine slows all of them alike; a ratio is the median over
the rounds. All return frames of the same size. ``--threads`` reads that many clips at a time, as
the extraction of features does. On a busy machine look at the CPU time: OpenCV decodes with all
cores, so it takes a larger share of a machine that others use too.

    python benchmarks/decode.py [--data ../shared/data] [--rounds 5] [--threads 1 2]

OpenCV is no dependency of FrameFlow. To see its row, put it in a folder of its own:

    pip install --no-deps --target /tmp/opencv opencv-python-headless
    PYTHONPATH=/tmp/opencv python benchmarks/decode.py

torchcodec is shown where it loads (it needs FFmpeg's libraries: ``apt-get install ffmpeg``).
"""

import argparse
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from _machine import processor
from frameflow.video.decode import read_frames
from frameflow.video.probe import VideoInfo, probe

FRAMES, SHORT_SIDE = 16, 224
Reader = Callable[[VideoInfo, list[int], tuple[int, int]], Any]


def frameflow(info: VideoInfo, indices: list[int], _: tuple[int, int]) -> Any:
    return read_frames(info.path, indices, short_side=SHORT_SIDE)


def naive_pyav(info: VideoInfo, indices: list[int], size: tuple[int, int]) -> Any:
    """What a tutorial does: every frame to an array, then pick, then resize."""
    import av
    from PIL import Image

    with av.open(str(info.path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    resize = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(frames[i]).resize(size, resize)) for i in indices])


def opencv(info: VideoInfo, indices: list[int], size: tuple[int, int]) -> Any:
    """OpenCV at its best: one pass, only the frames that are wanted are converted and resized."""
    import cv2

    capture = cv2.VideoCapture(str(info.path))
    wanted, out = set(indices), {}
    for index in range(indices[-1] + 1):
        if not capture.grab():
            break
        if index in wanted:
            frame = cv2.resize(capture.retrieve()[1], size, interpolation=cv2.INTER_LINEAR)
            out[index] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()
    return np.stack([out[i] for i in indices])


def with_torchcodec(info: VideoInfo, indices: list[int], size: tuple[int, int]) -> Any:
    """torchcodec with one thread, resized by its own (FFmpeg's) bilinear transform."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    decoder = VideoDecoder(
        str(info.path),
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        transforms=[Resize((size[1], size[0]))],
    )
    return decoder.get_frames_at(indices).data.numpy()


def available() -> dict[str, Reader]:
    readers: dict[str, Reader] = {"frameflow": frameflow, "naive PyAV": naive_pyav}
    if importlib.util.find_spec("cv2"):
        readers["OpenCV"] = opencv
    else:
        print("OpenCV is not installed; the top of this file says how to add it.")
    if importlib.util.find_spec("torchcodec"):
        from frameflow.models._torchvision_shim import allow_torchvision

        allow_torchvision()
        try:
            import torch
            from torchcodec.transforms import Resize  # noqa: F401

            torch.set_num_threads(1)
            readers["torchcodec"] = with_torchcodec
        except (ImportError, OSError, RuntimeError) as error:
            print(f"torchcodec does not load: {str(error).splitlines()[0]}")
    return readers


def clip_sets(data: Path, most: int) -> Iterator[tuple[str, list[Path]]]:
    tennis = sorted(data.glob("tennis7/*/*.mp4"))
    if tennis:
        yield f"tennis7 ({min(most, len(tennis))} clips)", tennis[:: max(1, len(tennis) // most)]
    for path in sorted(data.glob("clips/*")):
        yield path.name, [path]


def read_all(reader: Reader, jobs: list[tuple[VideoInfo, list[int], tuple[int, int]]]) -> None:
    for job in jobs:
        reader(*job)


def measure(readers: dict[str, Reader], paths: list[Path], rounds: int, threads: int) -> None:
    jobs = []
    for path in paths:
        info = probe(path)
        scale = SHORT_SIDE / min(info.width, info.height)
        size = (round(info.width * scale), round(info.height * scale))
        indices = np.linspace(0, info.frames - 1, FRAMES).round().astype(int).tolist()
        jobs.append((info, indices, size))
    jobs *= max(1, -(-4 * threads // len(jobs)))  # a few per thread
    parts = [jobs[i::threads] for i in range(threads)]
    wall: dict[str, list[float]] = {name: [] for name in readers}
    cpu: dict[str, list[float]] = {name: [] for name in readers}
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds + 1):  # the first one warms up
            for name, reader in readers.items():
                begin, begin_cpu = time.perf_counter(), time.process_time()
                if threads == 1:  # from the main thread, as a user's own script would
                    read_all(reader, jobs)
                else:
                    list(pool.map(lambda part, reader=reader: read_all(reader, part), parts))
                wall[name].append((time.perf_counter() - begin) / len(jobs) * 1e3)
                cpu[name].append((time.process_time() - begin_cpu) / len(jobs) * 1e3)
    ours, ours_cpu = wall["frameflow"][1:], cpu["frameflow"][1:]
    for name in readers:
        ratio = statistics.median(other / own for other, own in zip(wall[name][1:], ours))
        work = statistics.median(other / own for other, own in zip(cpu[name][1:], ours_cpu))
        print(
            f"  {name:<12}{statistics.median(wall[name][1:]):8.2f} ms a clip, x{ratio:.2f} of "
            f"frameflow's; {statistics.median(cpu[name][1:]):8.2f} ms of CPU, x{work:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clips", type=int, default=60, help="of tennis7, at most")
    options = parser.parse_args()
    import av

    print(f"{processor()}, {os.cpu_count()} cores; ", end="")
    print(f"Python {platform.python_version()}, PyAV {av.__version__}, NumPy {np.__version__}")
    readers = available()
    for threads in options.threads:
        for name, paths in clip_sets(options.data, options.clips):
            print(f"{name}, {threads} at a time")
            measure(readers, paths, options.rounds, threads)


if __name__ == "__main__":
    main()
