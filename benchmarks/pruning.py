"""What pruning the weights of a frozen backbone costs in accuracy and gives in size and speed.

    python benchmarks/pruning.py
    python benchmarks/pruning.py --frames 4 --rounds 3

- `zeroed`: the smallest weights of all convolutions become zero (torch.nn.utils.prune; Han et al.,
  Learning both weights and connections, NeurIPS 2015).
- `narrower`: the weakest channels inside each block are taken out, so that less is computed (after
  Li et al., Pruning filters for efficient ConvNets, ICLR 2017). Batch norm's means and variances
  are found again on the clips of one fold, without labels; that fold is never scored.
- `smaller frames`: the network as it is, for comparison.

A new linear classifier learns each network's features; one part by group of the clips outside each
fold is scored. Nothing is trained further: that needs a GPU.
"""

import argparse
import copy
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from _few_clips import Clips, Cut, Method, gain, hits, machine
from frameflow import Manifest, load_recipe
from frameflow.export.samples import read_examples, reader
from frameflow.features.engines import build
from frameflow.models.backbones import Backbone, normalise
from frameflow.models.recognizer import build_recognizer
from frameflow.training.targets import targets_of
from small_data import Linear

STREAM = "streams=[{kind: difference, fit: squash, size: %d}]"


def zeroed(share: float) -> Callable[[Backbone], None]:
    """The smallest weights of all convolutions become zero."""

    def apply(backbone: Backbone) -> None:
        layers = [m for m in backbone.model.modules() if isinstance(m, nn.Conv2d)]
        named = [(layer, "weight") for layer in layers]
        prune.global_unstructured(named, prune.L1Unstructured, amount=share)
        for layer in layers:
            prune.remove(layer, "weight")

    return apply


def narrower(share: float) -> Callable[[Backbone], None]:
    """The weakest of the channels between a block's first and last layer are taken out."""

    def apply(backbone: Backbone) -> None:
        for block in backbone.model.modules():
            if not hasattr(block, "conv_pwl") or not hasattr(block, "conv_pw"):
                continue
            strength = block.bn2.weight.abs() * block.conv_pwl.weight.abs().sum(dim=(0, 2, 3))
            kept = strength.argsort(descending=True)[: round((1 - share) * len(strength))]
            kept = kept.sort().values
            for layer in (block.conv_pw, block.bn1, block.conv_dw, block.bn2):
                _keep(layer, kept)
            block.conv_pwl.weight = nn.Parameter(block.conv_pwl.weight[:, kept].detach().clone())
            block.conv_pwl.in_channels = len(kept)
            block.conv_dw.groups = block.conv_dw.in_channels = len(kept)

    return apply


def _keep(layer: nn.Module, kept: torch.Tensor) -> None:
    for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
        if values.ndim:
            held = values[kept].detach().clone()
            learns = isinstance(values, nn.Parameter)
            setattr(layer, name, nn.Parameter(held) if learns else held)
    for name in ("out_channels", "num_features"):
        if hasattr(layer, name):
            setattr(layer, name, len(kept))


@torch.no_grad()
def recalibrate(backbone: Backbone, frames: np.ndarray) -> None:
    """Batch norm's means and variances of these frames."""
    norms = [m for m in backbone.model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for part in np.array_split(frames, max(1, len(frames) // 32)):
        backbone.model(normalise(torch.from_numpy(part), backbone.preprocess))
    backbone.eval()


@dataclass(frozen=True)
class Without(Clips):
    """Clips of which some rows are never scored: the networks have seen them."""

    seen: np.ndarray

    def cuts(self, *, inner: int | None, shots: int | None, seed: int) -> Iterator[Cut]:
        for cut in super().cuts(inner=inner, shots=shots, seed=seed):
            yield replace(cut, scored=np.setdiff1d(cut.scored, self.seen))


def ridge_answers(clips: Clips) -> Method:
    """What a linear classifier of the clips' features says."""
    linear = Linear(clips)
    return lambda cut, _seed: linear.logits(cut.known, cut.scored).argmax(axis=1)


def rates(backbone: Backbone, frames: np.ndarray, rounds: int) -> list[float]:
    """Frames for each second that cores work, in each engine, the best of some rounds."""
    found = []
    for kind in ("torch", "onnxruntime", "openvino"):
        engine = build(backbone, kind)
        engine(frames[:2])
        spent = []
        for _ in range(rounds):
            begun = time.process_time()
            engine(frames)
            spent.append(time.process_time() - begun)
        found.append(len(frames) / min(spent))
    return found


def sizes(backbone: Backbone) -> tuple[float, float]:
    """MB of the weights in 32 bits, as they are and compressed."""
    raw = b"".join(value.numpy().tobytes() for value in backbone.model.state_dict().values())
    return len(raw) / 1e6, len(zlib.compress(raw, 6)) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4, help="of which the fastest counts")
    parser.add_argument("--seeds", type=int, default=3, help="which inner part is scored")
    given = parser.parse_args()
    manifest = Manifest.read(given.data)
    labels = manifest.label_names()
    targets = targets_of(manifest.samples, labels)
    seen = np.array([row for row, sample in enumerate(manifest) if sample.fold == 0])
    variants: dict[str, tuple[int, Callable[[Backbone], None] | None]] = {
        "as published": (224, None),
        **{f"{share:.0%} zeroed": (224, zeroed(share)) for share in (0.5, 0.7)},
        **{f"{share:.0%} narrower": (224, narrower(share)) for share in (0.25, 0.5)},
        "frames of 160 px": (160, None),
    }
    print(machine())
    print("The rates are frames for each second that a core works.")
    print("\n| | top-1 | gain, points | MB | compressed | torch | onnxruntime | openvino |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    base, images = None, {}
    for name, (size, change) in variants.items():
        recipe = load_recipe("default", [STREAM % size, f"sampling.frames={given.frames}"])
        recognizer = build_recognizer(recipe, labels)
        if size not in images:
            examples = read_examples(reader(recognizer), manifest)
            images[size] = np.stack([example.images[0][0] for example in examples])
        frames = images[size]
        backbone = copy.deepcopy(recognizer.backbones()[0]).eval()
        if change is not None:
            change(backbone)
        if "narrower" in name:
            recalibrate(backbone, frames[seen, ::4].reshape(-1, *frames.shape[2:]))
        engine = build(backbone, "openvino")
        features = np.stack([engine(clip) for clip in frames])
        clips = Without(manifest, features, targets, labels, seen)
        found = hits(clips, ridge_answers(clips), inner=3, seeds=given.seeds)
        base = found if base is None else base
        top1 = found[:, 0].sum() / found[:, 1].sum()
        effect = gain(clips, base, found)
        low, high = effect.bounds or (0.0, 0.0)
        gained = f"{100 * effect.value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        raw, packed = sizes(backbone)
        found_rates = rates(backbone, frames[0], given.rounds)
        speed = " | ".join(f"{rate:.0f}" for rate in found_rates)
        row = f"| {name} | {top1:.3f} | {gained} | {raw:.1f} | {packed:.1f} | {speed} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
