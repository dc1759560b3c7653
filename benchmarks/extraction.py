"""Frames per second from video files to stored features, beside two usual ways.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --keras-python /path/to/venv/bin/python

Clips of 16 frames, EfficientNet-Lite0 at 224 px, decoding included. The ways:

- ours: `frameflow features`, nothing stored before; with two streams also RGB and differences.
- pytorch loop: the same backbone in eager PyTorch; PyAV decodes the whole video, 16 frames are
  resized with Pillow and go through the backbone as one batch.
- keras frames, keras videos: Keras' tutorial, see `_keras_peer.py`. It needs an environment of
  its own (--keras-python), made by:
      python -m venv keras && keras/bin/pip install tensorflow-cpu opencv-python-headless

Each way runs in a process of its own. Making the network and its first run are not counted;
peak memory is of the whole process. The slow ways see the first clips only (--peer-clips).
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
from importlib.metadata import version
from pathlib import Path

import numpy as np

from _machine import processor

FRAMES, SIZE = 16, 224
GOALS = {"pytorch loop": 2.5, "keras frames": 15.0}


def measured(videos: list[str], work: Callable[[list[str]], None]) -> dict[str, float]:
    begun, spent = time.perf_counter(), time.process_time()
    work(videos)
    return {
        "frames": len(videos) * FRAMES,
        "seconds": time.perf_counter() - begun,
        "spent": time.process_time() - spent,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def ours(
    videos: list[str], *, streams: int = 1, workers: int | None, engine: str
) -> dict[str, float]:
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.features.extract import extract
    from frameflow.models.recognizer import build_streams

    recipe = load_recipe("default", [f"sampling.frames={FRAMES}", f"streams.0.size={SIZE}"])
    if streams == 2:
        (rgb,) = recipe.streams
        motion = rgb.model_copy(update={"kind": "difference"})
        recipe = recipe.model_copy(update={"streams": (rgb, motion)})
    backbones = build_streams(recipe)

    def work(chosen: list[str]) -> None:
        manifest = Manifest([Sample(str(Path(v).absolute())) for v in chosen], ".")
        with tempfile.TemporaryDirectory() as folder:
            found = extract(
                manifest,
                recipe,
                store=Path(folder),
                backbones=backbones,
                workers=workers,
                engine=engine,  # type: ignore[arg-type]
            )
        if len(found) != len(chosen):
            sys.exit(f"Only {len(found)} of {len(chosen)} clips could be read.")

    with tempfile.TemporaryDirectory() as home:
        if "FRAMEFLOW_HOME" not in os.environ:
            os.environ["FRAMEFLOW_HOME"] = home  # digests too are made anew
        work(videos[:1])  # checks the engines, once
        return measured(videos, work)


def pytorch_loop(videos: list[str]) -> dict[str, float]:
    import av
    import torch
    from PIL import Image

    from frameflow.models.backbones import build_backbone

    backbone = build_backbone("tf_efficientnet_lite0")
    mean = torch.tensor(backbone.preprocess.mean).view(3, 1, 1)
    std = torch.tensor(backbone.preprocess.std).view(3, 1, 1)

    def transformed(image: Image.Image) -> torch.Tensor:
        scale = SIZE / min(image.size)
        width, height = (max(SIZE, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        image = image.crop((left, top, left + SIZE, top + SIZE))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - mean) / std

    def work(chosen: list[str]) -> None:
        features = np.zeros((len(chosen), FRAMES, backbone.dim), np.float16)
        for i, video in enumerate(chosen):
            with av.open(video) as container:
                frames = [frame.to_image() for frame in container.decode(video=0)]
            picked = (np.arange(FRAMES) + 0.5) * len(frames) / FRAMES
            batch = torch.stack([transformed(frames[int(t)]) for t in picked])
            with torch.no_grad():
                features[i] = backbone(batch).numpy()
        with tempfile.TemporaryFile() as file:
            np.save(file, features)

    work(videos[:1])
    return measured(videos, work)


def keras_peer(way: str, python: str, videos: list[str]) -> dict[str, float]:
    script = Path(__file__).with_name("_keras_peer.py")
    command = [python, str(script), way, str(FRAMES), str(SIZE), *videos]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def in_own_process(way: str, given: argparse.Namespace, videos: list[str]) -> dict[str, float]:
    """Run one way in a fresh process, so that its memory is its own."""
    if way.startswith("keras"):
        return keras_peer(way.split()[1], given.keras_python, videos)
    command = [sys.executable, __file__, "--way", way, "--engine", given.engine]
    if given.workers:
        command += ["--workers", str(given.workers)]
    done = subprocess.run(
        command, input="\n".join(videos), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{way} failed.")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_one(way: str, given: argparse.Namespace) -> None:
    videos = sys.stdin.read().split("\n")
    if way == "pytorch loop":
        found = pytorch_loop(videos)
    else:
        streams = 2 if way == "ours, 2 streams" else 1
        found = ours(videos, streams=streams, workers=given.workers, engine=given.engine)
    print(json.dumps(found))


def machine() -> str:
    cpu = processor()
    libraries = ", ".join(f"{n} {version(n)}" for n in ("torch", "openvino", "onnxruntime", "av"))
    load = os.getloadavg()[0]
    return (
        f"{cpu}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}, "
        f"{libraries}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "shared" / "data" / "tennis7"
    parser.add_argument("--videos", type=Path, default=default, help="a folder of videos")
    parser.add_argument("--clips", type=int, help="how many of them; default all")
    parser.add_argument("--peer-clips", type=int, default=24, help="for the slow ways")
    parser.add_argument("--keras-python", help="python of an environment with tensorflow, opencv")
    parser.add_argument(
        "--engine", default="auto", choices=("auto", "torch", "onnxruntime", "openvino")
    )
    parser.add_argument("--workers", type=int, help="threads that decode")
    parser.add_argument("--only", nargs="*", help="these ways only")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        run_one(given.way, given)
        return
    videos = sorted(map(str, given.videos.rglob("*.mp4")))[: given.clips]
    if not videos:
        sys.exit(f"No .mp4 below {given.videos}: name a folder with --videos.")
    ways = ["ours", "ours, 2 streams", "pytorch loop"]
    if given.keras_python:
        ways += ["keras videos", "keras frames"]
    else:
        print("The Keras way is skipped: --keras-python names no environment.\n")
    ways = [way for way in ways if not given.only or way in given.only]
    print(f"{machine()}\n{FRAMES} frames of {SIZE} px per clip, EfficientNet-Lite0 (Keras: B0)\n")
    print(f"{'':16} {'clips':>6} {'frames/s':>9} {'per core-s':>11} {'peak GB':>8} {'ours is':>8}")
    rate = 0.0
    for way in ways:
        chosen = videos if way.startswith("ours") else videos[: given.peer_clips]
        found = in_own_process(way, given, chosen)
        speed, per_core = found["frames"] / found["seconds"], found["frames"] / found["spent"]
        rate = speed if way == "ours" else rate
        ratio = f"{rate / speed:7.1f}x" if rate and not way.startswith("ours") else ""
        goal = f"   goal {GOALS[way]:g}x" if way in GOALS and ratio else ""
        print(
            f"{way:16} {len(chosen):6} {speed:9.1f} {per_core:11.1f} {found['memory']:8.2f} "
            f"{ratio:>8}{goal}",
            flush=True,
        )


if __name__ == "__main__":
    main()
