"""Clips per second of training end to end, beside the plainest PyTorch loop; and of a cut.

    python benchmarks/training.py
    python benchmarks/training.py --sizes 112 --clips 32 --epochs 2

EfficientNet-Lite0 over 16 frames, their mean, a linear classifier, AdamW; the same clips, sizes,
batches and numbers of epochs. Frames are spread over the clip, resized and cropped at the centre;
no augmentation. Every way begins from the files, so reading, decoding and the first pass that
looks for bad videos are counted, as is extraction for the cut. Making the network is not.

- ours: `frameflow train` with a backbone that learns: frames are read by threads and kept where
  that pays, precision is what the recipe chooses.
- ours, float32, not kept: the same without these two.
- pytorch loop: timm's model in float32, PyAV and Pillow in the workers of a DataLoader. Its
  batch-norm statistics are fixed too, so that both compute the same.
- cut: the backbone up to --cut is frozen, its activations are stored once, the rest learns.
- fine-tuning of the same rest: what follows the cut learns, from videos.

Seconds per epoch are those of the second and later epochs. Core seconds are of all processes and
threads, making the network included: on a busy machine they say more than clips per second. Each
way runs in a process of its own; peak memory is of that, or of the GPU where there is one.
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
from typing import Any

import numpy as np

from _machine import processor

FRAMES, BACKBONE = 16, "tf_efficientnet_lite0"
GOAL = 1.3
WAYS = ("ours", "ours, float32, not kept", "pytorch loop", "cut", "fine-tuning of the same rest")


def recipe_of(way: str, given: argparse.Namespace) -> Any:
    from frameflow.config import load_recipe

    rest = way in ("cut", "fine-tuning of the same rest")
    parts = given.learn.split(",") if rest else ["*"]
    stream = {"backbone": BACKBONE, "weights": given.weights, "size": given.size}
    overrides = [
        f"sampling={{strategy: uniform, frames: {FRAMES}}}",
        f"streams={json.dumps([stream | ({'cut': given.cut} if way == 'cut' else {})])}",
        "head={name: mean, dropout: 0.0, standardise: false}",
        f"train.epochs={given.epochs}",
        f"train.batch_size={given.batch}",
        f"train.learn={json.dumps([{'parts': parts}])}",
        "train.warmup_epochs=0",
        "train.schedule=constant",
        "train.lr=0.001",  # of the classifier; the backbone's is a tenth, as in the loop
        "train.label_smoothing=0.0",
        "train.patience=null",
    ]
    if given.workers is not None:
        overrides.append(f"train.workers={given.workers}")
    if way == "ours, float32, not kept":
        overrides += ["train.precision=float32", "train.cache=off"]
    return load_recipe("default", overrides)


def ours(way: str, given: argparse.Namespace, videos: list[str]) -> dict[str, float]:
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.models.recognizer import build_recognizer
    from frameflow.training.learning import examples_of, fit_recognizer, read_material

    labels = sorted({Path(video).parent.name for video in videos})
    recipe = recipe_of(way, given)
    recognizer = build_recognizer(recipe, labels)
    manifest = Manifest([Sample(video, Path(video).parent.name) for video in videos], ".")
    begun = time.perf_counter()
    material = read_material(recognizer, manifest, purpose="train")
    training = examples_of(material, recipe, labels)
    read = time.perf_counter() - begun
    fitted = fit_recognizer(recognizer, training, None, recipe.train)
    seconds = time.perf_counter() - begun
    if len(training) != len(videos):
        sys.exit(f"Only {len(training)} of {len(videos)} clips could be read.")
    epochs = [epoch.seconds for epoch in fitted.history]
    losses = [epoch.train_loss for epoch in fitted.history]
    return {"seconds": seconds, "before": read, "epoch": later(epochs), "loss": losses[-1]}


def pytorch_loop(given: argparse.Namespace, videos: list[str]) -> dict[str, float]:
    import av
    import torch
    from PIL import Image

    from frameflow.models.weights import create_model, resolve

    labels = sorted({Path(video).parent.name for video in videos})
    size = given.size
    backbone = create_model(BACKBONE, size=None)
    config = backbone.pretrained_cfg
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))

    def transformed(image: Image.Image) -> torch.Tensor:
        scale = size / min(image.size)
        width, height = (max(size, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - mean) / std

    class Clips(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(videos)

        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            with av.open(videos[row]) as container:
                frames = [frame.to_image() for frame in container.decode(video=0)]
            picked = (np.arange(FRAMES) + 0.5) * len(frames) / FRAMES
            clip = torch.stack([transformed(frames[int(t)]) for t in picked])
            return clip, labels.index(Path(videos[row]).parent.name)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = resolve(BACKBONE, given.weights, size=None, model=backbone).state
    backbone.load_state_dict({key: state[key] for key in backbone.state_dict()})
    classifier = torch.nn.Linear(1280, len(labels))
    torch.nn.init.zeros_(classifier.weight)  # as ours begins
    torch.nn.init.zeros_(classifier.bias)
    backbone.to(device).train()
    for layer in backbone.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    classifier.to(device)
    optimizer = torch.optim.AdamW(
        [{"params": backbone.parameters(), "lr": 1e-4}, {"params": classifier.parameters()}],
        lr=1e-3,
    )
    workers = 2 if given.workers is None else given.workers
    begun, epochs = time.perf_counter(), []
    loader = torch.utils.data.DataLoader(
        Clips(), batch_size=given.batch, shuffle=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip
    for _ in range(given.epochs):
        started, total = time.perf_counter(), 0.0
        for clips, targets in loader:
            clips, targets = clips.to(device), targets.to(device)
            features = backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
            loss = torch.nn.functional.cross_entropy(classifier(features.mean(1)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(targets)
        epochs.append(time.perf_counter() - started)
    seconds = time.perf_counter() - begun
    del loader  # its workers end, and what they spent is known
    return {
        "seconds": seconds, "before": 0.0, "epoch": later(epochs), "loss": total / len(videos)
    }  # fmt: skip


def later(epochs: list[float]) -> float:
    """The mean without the first, where there are more: it warms up."""
    return float(np.mean(epochs[1:] or epochs))


def run_one(given: argparse.Namespace) -> None:
    import torch

    import frameflow.training.learning  # what is imported is not counted

    assert frameflow.training.learning
    videos = sys.stdin.read().split("\n")
    before = time.process_time()
    with tempfile.TemporaryDirectory() as home:
        os.environ["FRAMEFLOW_HOME"] = home  # nothing was read or kept before
        if given.way == "pytorch loop":
            found = pytorch_loop(given, videos)
        else:
            found = ours(given.way, given, videos)
    own, theirs = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found["memory"] = own.ru_maxrss / 1e6
    found["spent"] = sum(part.ru_utime + part.ru_stime for part in (own, theirs)) - before
    if torch.cuda.is_available():
        found["memory"] = torch.cuda.max_memory_allocated() / 1e9
    print(json.dumps(found))


def in_own_process(
    way: str, size: int, given: argparse.Namespace, videos: list[str]
) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--size", str(size)]
    for name in ("epochs", "batch", "cut", "learn", "weights"):
        command += [f"--{name}", str(getattr(given, name))]
    if given.workers is not None:
        command += ["--workers", str(given.workers)]
    done = subprocess.run(
        command, input="\n".join(videos), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{way} failed.")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def machine() -> str:
    import torch

    name = processor()
    if torch.cuda.is_available():
        name = f"{torch.cuda.get_device_name()}, {name}"
    libraries = ", ".join(f"{n} {version(n)}" for n in ("torch", "timm", "av"))
    return (
        f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {libraries}"
    )


def table(size: int, given: argparse.Namespace, videos: list[str]) -> None:
    print(f"\n{FRAMES} frames of {size} px, {len(videos)} clips, {given.epochs} epochs")
    print(
        f"{'':30} {'clips/s':>8} {'core s/clip':>12} {'before s':>9} {'s/epoch':>8} "
        f"{'peak GB':>8} {'loss':>6} {'ours is':>8}"
    )
    rates: dict[str, float] = {}
    for way in given.only:
        found = in_own_process(way, size, given, videos)
        seen = len(videos) * given.epochs
        rates[way] = rate = seen / found["seconds"]
        ratio = ""
        if way == "pytorch loop" and "ours" in rates:
            ratio = f"{rates['ours'] / rate:7.2f}x   goal {GOAL}x"
        print(
            f"{way:30} {rate:8.2f} {found['spent'] / seen:12.2f} {found['before']:9.1f} "
            f"{found['epoch']:8.1f} {found['memory']:8.2f} {found['loss']:6.3f} {ratio}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "shared" / "data" / "tennis7"
    parser.add_argument("--videos", type=Path, default=default, help="class folders of videos")
    parser.add_argument("--clips", type=int, default=48, help="how many, spread over the classes")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4, help="clips a step")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224], help="px")
    parser.add_argument("--cut", default="blocks.4", help="the last frozen layer")
    parser.add_argument("--learn", default="blocks.5,blocks.6,conv_head,bn2", help="what follows")
    parser.add_argument("--weights", default="auto", help="as in a recipe; none: random")
    parser.add_argument("--workers", type=int, help="that read; default 2 in the plain loop")
    parser.add_argument("--only", nargs="*", default=list(WAYS), choices=WAYS, metavar="WAY")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        run_one(given)
        return
    found = sorted(str(path.absolute()) for path in given.videos.rglob("*.mp4"))
    videos = found[:: max(1, len(found) // given.clips)][: given.clips]
    if not videos:
        sys.exit(f"No .mp4 below {given.videos}: name a folder with --videos.")
    print(machine())
    for size in given.sizes:
        table(size, given, videos)


if __name__ == "__main__":
    main()
