"""Do the maps of `frameflow explain` fall on what moves? On clips whose figure's place is known.

    python benchmarks/explain.py
    python benchmarks/explain.py --clips 100 --head mean --set streams.0.grid=1

Draws the clips of `frameflow demo`, trains its recipe on frozen features and explains test clips
of people whom training never saw. Of each method it prints

    mass     share of the map that lies in the box around the person
    chance   that share for a map that is the same everywhere within each frame
    peak     share of the clips whose strongest place lies in the box
    frames   share of the frames whose strongest place lies in the box (the pointing game: Zhang et
             al., Top-down neural attention by excitation backprop, ECCV 2016)

beside a map of random weights (the head's numbers drawn anew: Adebayo et al., Sanity checks for
saliency maps, NeurIPS 2018), how much the last layer changes, which no label has to do with, and
the centre of the picture, where people stand more often than not.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from frameflow.data.manifest import Manifest, Sample
from frameflow.inference.explain import Explainer
from frameflow.inference.predictor import load_recognizer
from frameflow.models import explain as maps
from frameflow.training.pipeline import train
from frameflow.video.synthetic import clip_seed, figure_boxes, make_dataset

RATE, FRAMES = 16.0, 32


def inside(sample: Sample, seconds: np.ndarray, size: tuple[int, int], groups: int) -> np.ndarray:
    """(T, H, W) bool: the pixels in the box around the person."""
    group, number = (int(part) for part in Path(sample.video).stem[1:].split("_"))
    seed, place = clip_seed(sample.label, number * groups + group, groups=groups)
    boxes = figure_boxes(sample.label, seed=seed, group=place, frames=FRAMES)
    left, top, wide, high = boxes[np.rint(seconds * RATE).astype(int)].T[:, :, None]
    x, y = ((np.arange(side) + 0.5) / side for side in size)
    across = (x >= left) & (x < left + wide)
    down = (y >= top) & (y < top + high)
    return across[:, None, :] & down[:, :, None]


def figures(found: np.ndarray, box: np.ndarray) -> tuple[float, float, float, float]:
    """(mass, chance, peak, frames) of ``(T, H, W)`` maps."""
    total = max(float(found.sum()), 1e-12)
    weight = found.sum(axis=(1, 2)) / total
    strongest = found.reshape(len(found), -1).argmax(axis=1)
    hit = box.reshape(len(box), -1)[np.arange(len(box)), strongest]
    return (
        float((found * box).sum() / total),
        float((box.mean(axis=(1, 2)) * weight).sum()),
        float(box.flat[int(found.argmax())]),
        float(hit.mean()),
    )


def centred(shape: tuple[int, ...]) -> np.ndarray:
    """A normal distribution around the centre, a quarter of each side wide."""
    y, x = (((np.arange(side) + 0.5) / side - 0.5) / 0.25 for side in shape[1:])
    one = np.exp(-0.5 * (y[:, None] ** 2 + x**2))
    return np.broadcast_to(one, shape)


def changes(look: maps.Look, _: int) -> list[np.ndarray]:
    """How far the activations of each place are from their mean over time."""
    return [(m - m.mean(dim=0)).norm(dim=1).detach().numpy() for m in look._maps]


def grad_cam(look: maps.Look, label: int) -> list[np.ndarray]:
    """Selvaraju et al. 2017: the gradient is averaged over the places of a frame first."""
    odds = maps.log_odds(look.recognizer.logits(look._features, look.mask), label)
    found = torch.autograd.grad(odds.sum(), look._maps, retain_graph=True)
    pairs = zip(found, look._maps, strict=True)
    return [(g.mean((2, 3), keepdim=True) * m).sum(1).detach().numpy() for g, m in pairs]


def hires_cam(look: maps.Look, label: int) -> list[np.ndarray]:
    """Draelos and Carin 2020, as published: gradient times activation."""
    odds = maps.log_odds(look.recognizer.logits(look._features, look.mask), label)
    found = torch.autograd.grad(odds.sum(), look._maps, retain_graph=True)
    return [(g * m).sum(1).detach().numpy() for g, m in zip(found, look._maps, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=30, help="drawn per action")
    parser.add_argument("--explained", type=int, default=36, help="test clips")
    parser.add_argument("--head", default="gru")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the recipe")
    parser.add_argument("--folder", type=Path, help="keep clips and run here, or use them again")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    groups = max(options.clips // 2, 2)
    run = folder / f"run-{options.head}"
    if not (run / "model.json").exists():
        manifest = make_dataset(folder / "clips", clips=options.clips, groups=groups)
        # Without the demo's own options of a gru, where another head is asked for.
        head = [] if options.head == "gru" else [f"head={{name: {options.head}, centre: true}}"]
        train(manifest, recipe="demo", overrides=[*head, *options.set], out=run)
    recognizer = load_recognizer(run)
    shuffled = load_recognizer(run)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in shuffled.head.parameters():
            parameter.copy_(
                parameter.flatten()[torch.randperm(parameter.numel())].view_as(parameter)
            )
    ours = maps.Look.evidence
    methods: dict[str, tuple[Explainer, Callable[[maps.Look, int], list[np.ndarray]]]] = {
        "frameflow explain": (Explainer(recognizer, side=192), ours),
        "HiResCAM": (Explainer(recognizer, side=192), hires_cam),
        "Grad-CAM": (Explainer(recognizer, side=192), grad_cam),
        "random head": (Explainer(shuffled, side=192), ours),
        "change alone": (Explainer(recognizer, side=192), changes),
    }
    test = Manifest.read(run / "manifest.csv", check_files=False).split("test")
    order = np.random.default_rng(0).permutation(len(test))[: options.explained]
    table: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in order:
        sample = test[int(row)]
        for name, (explainer, method) in methods.items():
            maps.Look.evidence = method  # type: ignore[method-assign]
            found = explainer.explain(test.path(sample), sample=sample, label=sample.label)
            size = (found.maps.shape[2], found.maps.shape[1])
            box = inside(sample, found.seconds, size, groups)
            table.setdefault(name, []).append(figures(found.maps, box))
        table.setdefault("centre", []).append(figures(centred(found.maps.shape), box))
    print(f"{len(order)} clips; the run is {run}")
    print(
        f"{'map':<20}{'mass':>8}{'chance':>8}{'ratio':>8}{'above in':>10}{'peak':>7}{'frames':>8}"
    )
    for name, rows in table.items():
        mass, chance, peak, frames = np.mean(rows, axis=0)
        above = np.mean([one[0] > one[1] for one in rows])
        row_said = f"{name:<20}{mass:>8.3f}{chance:>8.3f}{mass / chance:>8.2f}{above:>10.0%}"
        print(f"{row_said}{peak:>7.2f}{frames:>8.2f}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
