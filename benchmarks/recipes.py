"""All recipes: parameters, input, and seconds of a training step and a prediction on a real clip.

    python benchmarks/recipes.py
    python benchmarks/recipes.py --recipes lite0-tsm c3d-small --threads 1 --video CLIP.mp4

Each recipe runs as it stands, in a process of its own, on one clip:

- prediction: the clip is read, encoded by PyTorch and classified, one view.
- step, end-to-end: the clip is read and augmented; forward, backward, one step of the optimizer.
  Parts that learn from a later epoch learn at once. Precision is that of the recipe.
- step, frozen: the head alone on the stored features of the clip.

The second of two runs is counted. The recipe's weights are taken where they can be had, else random
values: neither changes the seconds. A recipe that needs an extra that is not installed is listed
with the command that installs it. Memory is the peak of the process, or of the GPU.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _machine import processor

LABELS = [f"class {number}" for number in range(7)]
# One step an epoch, with everything that ever learns learning, and no decoded frames kept.
ONE_STEP = [
    "train.epochs=2",
    "train.batch_size=1",
    "train.accumulate=1",
    "train.rounds=[1.0]",
    "train.balance=none",
    "train.patience=null",
    "train.cache=off",
]


def measure(name: str, video: Path, weights: str, threads: int | None) -> dict[str, Any]:
    """The row of one recipe."""
    import torch

    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.errors import FrameFlowError

    if threads:
        torch.set_num_threads(threads)
    recipe = load_recipe(name)
    learning = [f"train.learn.{place}.epoch=0" for place in range(len(recipe.train.learn))]
    recipe = load_recipe(recipe, [*ONE_STEP, *learning])
    row: dict[str, Any] = {}
    try:
        recognizer = built(recipe, weights)
    except FrameFlowError as error:
        return {"cannot": str(error)}
    backbones = list({id(each): each for each in recognizer.backbones()}.values())
    sources = {backbone.weights.source.split(",")[0] for backbone in backbones}
    row["weights"] = "random" if all(s.startswith("random") for s in sources) else "published"
    row["input"] = f"{recipe.sampling.frames} x {backbones[0].preprocess.size}"
    if len(recipe.streams) > 1:
        row["input"] += f", {len(recipe.streams)} streams"
    row["parameters"] = sum(p.numel() for p in recognizer.parameters())
    manifest = Manifest([Sample(video.name, LABELS[0], split="train")], video.parent)
    row["prediction"] = prediction(recognizer, video)
    row["step"] = step(recognizer, manifest)
    learnt = [p for p in recognizer.parameters() if p.requires_grad]
    row["learning"] = sum(p.numel() for p in learnt)
    row["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if torch.cuda.is_available():
        row["memory"] = torch.cuda.max_memory_allocated() / 2**30
    return row


def built(recipe: Any, weights: str) -> Any:
    """The recognizer, with random values where the recipe's weights cannot be had."""
    from frameflow.config import load_recipe
    from frameflow.errors import FrameFlowError
    from frameflow.models.recognizer import build_recognizer

    if weights == "auto":
        try:
            return build_recognizer(recipe, LABELS)
        except FrameFlowError:
            pass
    drawn = [f"streams.{place}.weights=none" for place in range(len(recipe.streams))]
    return build_recognizer(load_recipe(recipe, drawn), LABELS)


def prediction(recognizer: Any, video: Path) -> float:
    """Seconds from a file to probabilities."""
    import torch

    from frameflow.features.encode import ClipEncoder

    recipe = recognizer.recipe
    encoder = ClipEncoder(
        recipe.streams, recognizer.backbones(), recipe.sampling, engine="torch"
    )  # fmt: skip
    recognizer.eval()
    seconds = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        features, mask = encoder.encode(encoder.read(video))
        with torch.inference_mode():
            recognizer.probabilities(torch.from_numpy(features), torch.from_numpy(mask))
        seconds = time.perf_counter() - begun
    return seconds


def step(recognizer: Any, manifest: Any) -> float:
    """Seconds of one step, those of an epoch of one clip."""
    from frameflow.training.learning import examples_of, fit_recognizer, read_material

    material = read_material(recognizer, manifest, purpose="train", engine="torch")
    examples = examples_of(material, recognizer.recipe, LABELS)
    return fit_recognizer(recognizer, examples, None).history[-1].seconds


def in_own_process(name: str, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, "--video", str(given.video)]
    command += ["--weights", given.weights]
    command += ["--threads", str(given.threads)] if given.threads else []
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return {"cannot": f"takes more than {given.limit:g} s"}
    if found.returncode:
        last = (found.stderr.strip() or f"exit code {found.returncode}").splitlines()[-1]
        return {"cannot": last}
    return dict(json.loads(found.stdout.splitlines()[-1]))


def machine() -> str:
    import torch

    cpu = processor()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu}, {os.cpu_count()} cores{gpu}, torch {torch.__version__}"


def line(name: str, row: dict[str, Any]) -> str:
    begin = f"| `{name}` | {row.get('way', '')} | {row.get('input', '')} |"
    if "cannot" in row:
        return f"{begin} | | | | | {row['cannot']} |"
    numbers = f" {row['parameters'] / 1e6:.1f} | {row['learning'] / 1e6:.3g} |"
    seconds = f" {row['step']:.2g} | {row['prediction']:.2g} | {row['memory']:.1f} |"
    return f"{begin}{numbers}{seconds} {row['weights']} |"


def main() -> None:
    from frameflow.config import load_recipe, recipe_names

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path("../shared/data/tennis7/Serve/v_Serve_g03_c01.mp4")
    parser.add_argument("--video", type=Path, default=default)
    parser.add_argument("--recipes", nargs="+", default=recipe_names(), metavar="NAME")
    parser.add_argument("--weights", choices=("auto", "none"), default="auto")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--limit", type=float, default=900, help="seconds for one recipe")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.video = given.video.resolve()
    if not given.video.is_file():
        parser.error(f"{given.video} is no file: name a clip with --video")
    if given.one:
        print(json.dumps(measure(given.one, given.video, given.weights, given.threads)))
        return
    print(machine() + (f", {given.threads} threads" if given.threads else ""))
    print(f"one clip ({given.video.name}), batch of one")
    print(
        "| recipe | way | frames x px | million parameters | of them learning "
        "| s a step | s a prediction | GB | weights |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name in given.recipes:
        recipe = load_recipe(name)
        told = {
            "way": recipe.way,
            "input": f"{recipe.sampling.frames} x {recipe.streams[0].size or 'own'}",
        }
        print(line(name, told | in_own_process(name, given)), flush=True)


if __name__ == "__main__":
    main()
