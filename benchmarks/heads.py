"""Seconds per training epoch of each head, at the size of UCF101's first training list.

    python benchmarks/heads.py
    python benchmarks/heads.py --heads gru lstm --set hidden=512 layers=2

Features are generated: 9,537 clips of 16 frames with 1,280 values each, 101 classes, batch 64.
An epoch draws every clip once in random order, with forward, backward and one AdamW step per
batch, as `frameflow train` does on stored features.
"""

import argparse
import os
import platform
import time
from typing import Any

import torch
import yaml

from _machine import processor
from frameflow.models.heads import build_head, head_names

TARGETS = {"gru": 40.0, "mean": 5.0, "max": 5.0, "average": 5.0, "statistics": 5.0}


def epoch(
    head: torch.nn.Module,
    features: torch.Tensor,
    mask: torch.Tensor,
    labels: torch.Tensor,
    *,
    batch: int,
) -> tuple[float, float]:
    """Train for one epoch and return its seconds, and those that the processor's cores spent."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    order = torch.randperm(len(labels))
    start, spent = time.perf_counter(), time.process_time()
    for rows in order.split(batch):
        logits = head(features[rows].float(), mask[rows])
        loss = torch.nn.functional.cross_entropy(logits, labels[rows], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start, time.process_time() - spent


def machine() -> str:
    cpu = processor()
    return (
        f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", nargs="+", default=head_names(), metavar="NAME")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="head options")
    parser.add_argument("--clips", type=int, default=9537)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2, help="the fastest is shown")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    options: dict[str, Any] = {
        key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in given.set)
    }
    torch.manual_seed(0)
    shape = (given.clips, given.frames, given.dim)
    features = torch.empty(shape, dtype=torch.float16)  # as the feature store keeps them
    for part in features.split(256):
        part.copy_(torch.rand(part.shape))
    mask = torch.ones(shape[:2], dtype=torch.bool)
    labels = torch.randint(given.classes, (given.clips,))
    print(f"{given.clips} clips of {given.frames} x {given.dim}, batch {given.batch}")
    print(
        f"{'head':<18}{'parameters':>12}{'s to prepare':>14}"
        f"{'s per epoch':>13}{'core s':>8}  target"
    )
    for name in given.heads:
        head = build_head(
            name, dim=given.dim, frames=given.frames, classes=given.classes, **options
        )
        start = time.perf_counter()
        head.prepare((f.float(), m) for f, m in zip(features.split(256), mask.split(256)))
        prepared = time.perf_counter() - start
        head.train()
        seconds, cores = min(
            epoch(head, features, mask, labels, batch=given.batch) for _ in range(given.epochs)
        )
        count = sum(p.numel() for p in head.parameters())
        target = f"< {TARGETS[name]:.0f}" if name in TARGETS else ""
        print(
            f"{name:<18}{count:>12,}{prepared:>14.1f}{seconds:>13.1f}{cores:>8.1f}  {target}",
            flush=True,
        )
    print(machine())


if __name__ == "__main__":
    main()
