"""What a warm start on unlabelled clips gives heads that read the frames in order.

    python benchmarks/warm_start.py
    python benchmarks/warm_start.py --heads self-attention --shots 5 --pretexts none speed
    python benchmarks/warm_start.py --outer --pretexts none contrast
    python benchmarks/warm_start.py --losses --warm 100
    python benchmarks/warm_start.py --behind blocks.5 --warm 4 --epochs 4

The head learns first from the clips of the training part without their labels, then from those
that have one: all, or K of each class (`--shots K`). What is scored is never seen, not even
without its labels. Inner parts by group are scored; `--outer` scores the folds themselves.

- `order`: which of the 24 orders do four parts of the clip stand in (Misra et al., Shuffle and
  learn, ECCV 2016; Xu et al., Self-supervised spatiotemporal learning via video clip order
  prediction, CVPR 2019).
- `speed`: is it played at its speed or at twice that (Benaim et al., SpeedNet, CVPR 2020).
- `contrast`: which two parts are of one clip (Chen et al., SimCLR, ICML 2020; Qian et al.,
  Spatiotemporal contrastive video representation learning, CVPR 2021).
- `none`: the head as its seed makes it; `longer`: that, with the epochs of the warm start added
  to its own.

With `--behind LAYER` what follows that layer of the backbone learns as well, from stored
activations.
"""

import argparse
import copy
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _few_clips import (
    DIFFERENCES,
    Clips,
    Cut,
    Method,
    heading,
    hits,
    machine,
    read_activations,
    read_clips,
    show,
)
from frameflow.config import Head, Recipe, Train
from frameflow.models.backbones import Backbone
from frameflow.models.cut import CutRecognizer
from frameflow.models.heads import build_head
from frameflow.models.recognizer import build_recognizer
from frameflow.training._random import reproducible
from frameflow.training.loop import fit, predict
from frameflow.training.policy import Policy

HEADS = {
    "gru": {"hidden": 128, "dropout": 0.4, "centre": True},
    "bilstm-attention": {"hidden": 96, "attention": 96, "dropout": 0.4, "centre": True},
    "self-attention": {"width": 128, "layers": 2, "heads": 4, "dropout": 0.3, "centre": True},
}
ORDERS = torch.tensor(list(itertools.permutations(range(4))))
SPEEDS = (1, 2)
BATCH = 64
LEARN = "train.learn=[{parts: ['*'], lr: 0.1}]"
CUT = (
    "streams=[{kind: difference, backbone: tf_efficientnet_lite0, size: 112, fit: follow, "
    "follow: 0.79, grid: 3, cut: %s}]"
)


class Pretext(nn.Module, ABC):
    """A trunk and a small network on it, and a loss that needs no labels."""

    def __init__(self, trunk: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.top = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, outputs))

    def forward(self, frames: Tensor) -> Tensor:
        mask = torch.ones(frames.shape[:2], dtype=torch.bool)
        return self.top(self.trunk(frames, mask))

    @abstractmethod
    def loss(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """How badly the pretext is told of some clips."""


class Order(Pretext):
    def loss(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        drawn = torch.from_numpy(rng.integers(len(ORDERS), size=len(frames)))
        parts = frames.unflatten(1, (4, -1))
        mixed = parts[torch.arange(len(frames))[:, None], ORDERS[drawn]].flatten(1, 2)
        return F.cross_entropy(self(mixed), drawn)


class Speed(Pretext):
    def loss(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        length = frames.shape[1] // SPEEDS[-1]
        drawn = rng.integers(len(SPEEDS), size=len(frames))
        step = np.array(SPEEDS)[drawn][:, None]
        start = rng.integers(frames.shape[1] - (length - 1) * step)
        places = torch.from_numpy(start + step * np.arange(length))
        played = frames[torch.arange(len(frames))[:, None], places]
        return F.cross_entropy(self(played), torch.from_numpy(drawn))


class Contrast(Pretext):
    def loss(self, frames: Tensor, rng: np.random.Generator, temperature: float = 0.2) -> Tensor:
        length = frames.shape[1] // 2
        looks = []
        for _ in range(2):
            start = rng.integers(frames.shape[1] - length + 1, size=(len(frames), 1))
            places = torch.from_numpy(start + np.arange(length))
            look = frames[torch.arange(len(frames))[:, None], places]
            kept = torch.from_numpy(rng.random((len(frames), 1, frames.shape[2])) > 0.2)
            looks.append(F.normalize(self(look * kept), dim=1))
        both = torch.cat(looks)
        likeness = (both @ both.T / temperature).fill_diagonal_(float("-inf"))
        other = torch.arange(len(both)).roll(len(frames))
        return F.cross_entropy(likeness, other)


PRETEXTS: dict[str, tuple[type[Pretext], int]] = {
    "order": (Order, len(ORDERS)),
    "speed": (Speed, len(SPEEDS)),
    "contrast": (Contrast, 64),
}


def warm_up(model: "Model", clips: np.ndarray, name: str, *, epochs: int, seed: int) -> Pretext:
    """Teach a model, all but its classifier, in place.

    Returns:
        the task that it was taught.
    """
    kind, outputs = PRETEXTS[name]
    classifier = model.head.classifier
    model.head.classifier = nn.Identity()  # what it would classify comes out
    task = kind(model.module, classifier.in_features, outputs).train()
    slow = [p for backbone in model.backbones for p in backbone.parameters() if p.requires_grad]
    known = {id(parameter) for parameter in slow}
    rest = [p for p in task.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": rest, "lr": 1e-3}]
    if slow:
        groups.append({"params": slow, "lr": 1e-4})
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2)
    rng = np.random.default_rng(seed)
    batches = -(-len(clips) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=[group["lr"] for group in groups], total_steps=epochs * batches
    )
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(clips)), batches):
            optimizer.zero_grad()
            task.loss(torch.from_numpy(clips[np.sort(rows)]).float(), rng).backward()
            nn.utils.clip_grad_norm_(task.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.head.classifier = classifier
    return task


@torch.no_grad()
def told(clips: Clips, make: Callable[[], "Model"], name: str, *, epochs: int) -> list[float]:
    """The loss of a pretext on the clips it learnt from, and on those of other groups, in nats."""
    cut = next(clips.cuts(inner=3, shots=None, seed=0))
    with reproducible(0), torch.enable_grad():
        model = make()
        standardise(model, clips.features[cut.unlabelled])
        task = warm_up(model, clips.features[cut.unlabelled], name, epochs=epochs, seed=0)
    model.head.classifier = nn.Identity()
    rng = np.random.default_rng(0)
    parts = (cut.unlabelled, cut.scored)
    given = [torch.from_numpy(clips.features[rows]).float() for rows in parts]
    return [float(task.eval().loss(frames, rng)) for frames in given]


@dataclass(frozen=True)
class Model:
    """What learns: ``module`` gives the answers, ``head`` in it classifies."""

    module: nn.Module
    head: nn.Module
    backbones: Sequence[Backbone] = ()


def head_alone(clips: Clips, name: str) -> Model:
    _, frames, dim = clips.features.shape
    head = build_head(name, dim=dim, frames=frames, classes=len(clips.labels), **HEADS[name])
    return Model(head, head)


def behind(clips: Clips, name: str, recipe: Recipe, backbones: Sequence[Backbone]) -> Model:
    """The head, and what follows the recipe's cut of copies of the backbones."""
    options = recipe.model_copy(update={"head": Head(name=name, **HEADS[name])})
    recognizer = build_recognizer(options, clips.labels, backbones=copy.deepcopy(backbones))
    module = CutRecognizer(recognizer)
    return Model(module, recognizer.head, module.learners())


def learner(
    clips: Clips, make: Callable[[], Model], pretext: str, *, settings: Train, warm: int
) -> Method:
    """A method that trains a model, from what a pretext left where it is one."""
    warmed: dict[tuple[bytes, int], dict[str, Tensor]] = {}  # one serves any number of labels

    def method(cut: Cut, seed: int) -> np.ndarray:
        longer = warm if pretext == "longer" else 0
        own = settings.model_copy(
            update={"epochs": settings.epochs + longer, "seed": seed,
                    "batch_size": min(settings.batch_size, len(cut.known) // 2)}
        )  # fmt: skip
        key = (cut.unlabelled.tobytes(), seed)
        with reproducible(seed):
            model = make()
            if key in warmed:
                model.module.load_state_dict(warmed[key])
            else:
                standardise(model, clips.features[cut.unlabelled])
                if pretext in PRETEXTS:
                    policy = Policy(model.module, model.backbones, settings)
                    policy.start(0)
                    warm_up(model, clips.features[cut.unlabelled], pretext, epochs=warm, seed=seed)
                warmed[key] = copy.deepcopy(model.module.state_dict())
        fit(model.module, clips.examples(cut.known), None, own, backbones=model.backbones)
        return predict(model.module, clips.examples(cut.scored)).argmax(dim=1).numpy()

    return method


@torch.no_grad()
def standardise(model: Model, features: np.ndarray) -> None:
    model.module.eval()
    parts = [torch.from_numpy(part).float() for part in np.array_split(features, 16)]
    if model.backbones:
        parts = [model.module.encode(part) for part in parts]
    model.head.prepare((part, torch.ones(part.shape[:2], dtype=torch.bool)) for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips", help="whose stored features are used")
    parser.add_argument("--set", nargs="*", default=[DIFFERENCES], help="changes to the recipe")
    parser.add_argument("--heads", nargs="+", default=["gru"], choices=HEADS)
    parser.add_argument("--pretexts", nargs="+", default=["none", "longer", *PRETEXTS])
    parser.add_argument("--behind", help="a layer; what follows it learns from its activations")
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 0],
                        help="labelled clips of each class; 0: all")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--warm", type=int, default=40, help="epochs of the warm start")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--inner", type=int, default=3)
    parser.add_argument("--outer", action="store_true", help="score the folds themselves, once")
    parser.add_argument("--losses", action="store_true", help="show how well pretexts are learnt")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = Train(epochs=given.epochs, lr=given.lr, batch_size=BATCH, label_smoothing=0.2,
                     clip_grad=1.0, patience=None)  # fmt: skip
    if given.behind is None:
        clips, make = read_clips(given.data, given.recipe, given.set), head_alone
    else:
        changes = [CUT % given.behind, "sampling.frames=8", LEARN]
        clips, recipe, backbones = read_activations(given.data, changes)
        settings = settings.model_copy(update={"learn": recipe.train.learn})
        make = partial(behind, recipe=recipe, backbones=backbones)
    print(machine())
    if given.losses:
        print("the pretext's loss in nats: clips that it learnt from, others, chance")
        for name in set(given.pretexts) & {"order", "speed"}:
            losses = told(clips, partial(make, clips, given.heads[0]), name, epochs=given.warm)
            chance = np.log(PRETEXTS[name][1])
            print(f"{name}: {losses[0]:.2f}, {losses[1]:.2f}, {chance:.2f}", flush=True)
        return
    where = "the folds" if given.outer else f"one of {given.inner} inner parts for each fold"
    heading(
        f"{where}; {given.seeds} seeds, {given.warm} epochs of warm start, {given.epochs} of labels"
    )
    inner = None if given.outer else given.inner
    for head in given.heads:
        base: dict[int, np.ndarray] = {}
        for pretext in given.pretexts:
            method = learner(
                clips, partial(make, clips, head), pretext, settings=settings, warm=given.warm
            )
            for shots in given.shots:
                begun = time.perf_counter()
                found = hits(clips, method, inner=inner, seeds=given.seeds, shots=shots or None)
                seconds = time.perf_counter() - begun
                show(clips, f"{head}, {shots or 'all'} clips a class, {pretext}", found,
                     base.get(shots), seconds)  # fmt: skip
                base.setdefault(shots, found)


if __name__ == "__main__":
    main()
