"""What other orders, fewer clips and second tasks give when few clips are learnt.

    python benchmarks/small_data.py
    python benchmarks/small_data.py --study clips --seeds 3
    python benchmarks/small_data.py --study tasks --outer

Inner parts by group of each training part are scored; `--outer` scores the folds themselves.

- `curriculum`: easy clips first, by the loss of models that have not learnt them (Bengio et al.,
  Curriculum learning, ICML 2009); hard ones first; some first, at random.
- `lengths`: short parts of a clip before the whole.
- `clips`: without the clips that such models find hardest, which may be mislabelled, or easiest
  (Sorscher et al., Beyond neural scaling laws, NeurIPS 2022), or without as many drawn at random.
- `unlabelled`: the clips whose labels are not used (`--shots K`) say what the classifier sees: by
  their mean and deviation; decorrelated (whitening); with less of what tells scene from scene, so
  that clips of one scene stand apart; or labelled by the classifier itself where it is surest (Lee,
  Pseudo-label, 2013).
- `tasks`: the scene as a second label, or as one that must not be told (Ganin and Lempitsky,
  Unsupervised domain adaptation by backpropagation, ICML 2015); side and kind of the stroke, read
  from the labels of tennis7, as second and third label.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax
from torch import Tensor, nn

from _few_clips import DIFFERENCES, Clips, Cut, Method, heading, hits, machine, read_clips, show
from frameflow.config import Train
from frameflow.data.splits import add_folds
from frameflow.models.heads import build_head
from frameflow.models.heads.statistics import StatisticsHead
from frameflow.training._random import reproducible
from frameflow.training.closed_form import ridge
from frameflow.training.examples import ArrayFeatures, FeatureExamples
from frameflow.training.loop import fit, predict

PENALTY = 0.1  # as the recipe few-shot has it
GRU = {"hidden": 128, "dropout": 0.4, "centre": True}
SECOND = {  # of tennis7's strokes
    "Backhand": ("back", "ground"),
    "BackhandSlice": ("back", "slice"),
    "BackhandVolley": ("back", "volley"),
    "Forehand": ("fore", "ground"),
    "ForehandVolley": ("fore", "volley"),
    "Serve": ("over", "serve"),
    "Smash": ("over", "smash"),
}


class Linear:
    """The linear classifier of few-clips, on statistics that are computed once for all clips."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips
        self._losses: dict[bytes, np.ndarray] = {}
        head = StatisticsHead(
            dim=clips.features.shape[2], frames=clips.features.shape[1],
            classes=len(clips.labels), segments=4, spread=False, centre=True,
        )  # fmt: skip
        parts = []
        for rows in np.array_split(np.arange(len(clips.targets)), 16):
            frames = torch.from_numpy(clips.features[rows]).float()
            parts.append(head.statistics(frames, torch.ones(frames.shape[:2], dtype=torch.bool)))
        self.statistics = torch.cat(parts).numpy()

    def standardised(self, known: np.ndarray) -> np.ndarray:
        """``(N, S)`` by the mean and deviation of the known rows, of mean squared length 1."""
        own = self.statistics[known]
        deviation = own.std(axis=0)
        scale = np.maximum(deviation, 0.01 * deviation.mean())
        return (self.statistics - own.mean(axis=0)) / scale / self.statistics.shape[1] ** 0.5

    def logits(self, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """What ridge regression on the known rows says of others."""
        return self.solved(self.standardised(known), known, self.clips.targets[known], asked)

    def solved(
        self, rows: np.ndarray, known: np.ndarray, targets: np.ndarray, asked: np.ndarray
    ) -> np.ndarray:
        """The same of any ``(N, S)`` rows, with a class for each known one."""
        centre = rows[known].mean(axis=0, dtype=np.float64)
        given = rows[known] - centre
        weights, bias = ridge(given, targets, len(self.clips.labels), PENALTY)
        return (rows[asked] - centre) @ weights.T + bias

    def losses(self, known: np.ndarray) -> np.ndarray:
        """How hard each known clip is for models that have learnt other groups."""
        key = known.tobytes()
        if key not in self._losses:
            self._losses[key] = self._cross_fitted(known, parts=4)
        return self._losses[key]

    def _cross_fitted(self, known: np.ndarray, *, parts: int) -> np.ndarray:
        manifest = self.clips.manifest
        parted = add_folds(manifest.replace(manifest[int(row)] for row in known), parts, seed=0)
        folds = np.array([sample.fold for sample in parted])
        found = np.zeros(len(known))
        for part in range(parts):
            own = folds == part
            logits = torch.from_numpy(self.logits(known[~own], known[own]))
            truth = torch.from_numpy(self.clips.targets[known[own]])
            found[own] = F.cross_entropy(logits, truth, reduction="none").numpy()
        return found


def with_unlabelled(linear: Linear, how: str, amount: float = 0.0) -> Method:
    """Ridge regression on what clips without a label say of the statistics."""

    def method(cut: Cut, _seed: int) -> np.ndarray:
        clips = linear.clips
        known, labels = cut.known, clips.targets[cut.known]
        if how == "pseudo":
            rest = np.setdiff1d(cut.unlabelled, known)
            said = linear.logits(known, rest)
            surest = np.argsort(-softmax(said, axis=1).max(axis=1))[: round(amount * len(rest))]
            known = np.concatenate([known, rest[surest]])
            labels = np.concatenate([labels, said[surest].argmax(axis=1)])
        rows = linear.standardised(cut.unlabelled)
        if how == "whiten":
            rows = whitened(rows, cut.unlabelled, amount)
        if how == "scenes":
            groups = [clips.manifest[int(row)].group for row in cut.unlabelled]
            rows = less_scene(rows, cut.unlabelled, np.array(groups), amount)
        return linear.solved(rows, known, labels, cut.scored).argmax(axis=1)

    return method


def whitened(rows: np.ndarray, own: np.ndarray, amount: float) -> np.ndarray:
    """Principal components brought to one size, those below ``amount`` of the mean left smaller."""
    centred = rows - rows[own].mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred[own], full_matrices=False)
    variances = sizes**2
    return centred @ axes.T / np.sqrt(variances + amount * variances.mean())


def less_scene(rows: np.ndarray, own: np.ndarray, groups: np.ndarray, amount: float) -> np.ndarray:
    """Directions in which scenes differ made smaller, the more so the more they differ."""
    means = np.stack([rows[own[groups == group]].mean(axis=0) for group in np.unique(groups)])
    _, sizes, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    kept = 1 / np.sqrt(1 + amount * sizes**2 / (sizes**2).mean())
    return rows - (rows @ axes.T * (1 - kept)) @ axes


def without(linear: Linear, which: str, share: float) -> Method:
    """Ridge regression without a share of the training clips."""

    def method(cut: Cut, seed: int) -> np.ndarray:
        losses = linear.losses(cut.known)
        rng = np.random.default_rng(seed)
        rank = {"hardest": -losses, "easiest": losses, "random": rng.random(len(losses))}
        order = np.argsort(rank[which])
        kept = np.sort(cut.known[order[round(share * len(order)) :]])
        return linear.logits(kept, cut.scored).argmax(axis=1)

    return method


def staged(linear: Linear, order: str, *, stages: int = 3, epochs: int = 20) -> Method:
    """The classifier of few-clips by epochs, its clips coming in stages; updates stay as many."""

    def method(cut: Cut, seed: int) -> np.ndarray:
        rows = linear.standardised(cut.known)
        clips, known = linear.clips, cut.known
        losses = linear.losses(known)
        rank = {"all": losses, "easy": losses, "hard": -losses,
                "random": np.random.default_rng(seed).random(len(known))}[order]  # fmt: skip
        features = ArrayFeatures(rows[:, None].astype(np.float32))
        with reproducible(seed):
            head = build_head("mean", dim=rows.shape[1], frames=1, classes=len(clips.labels),
                              dropout=0.0, standardise=False)  # fmt: skip
        for stage in range(1, stages + 1):
            share = 1.0 if order == "all" else stage / stages
            taken = known[np.argsort(rank)[: round(share * len(known))]]
            settings = Train(
                optimizer="sgd", lr=4.0, weight_decay=3e-5, label_smoothing=0.2, patience=None,
                epochs=round(epochs / share), seed=seed + stage, warmup_epochs=1.0,
            )  # fmt: skip
            fit(head, FeatureExamples(features, clips.targets[taken], rows=taken), None, settings)
        scored = FeatureExamples(features, clips.targets[cut.scored], rows=cut.scored)
        return predict(head, scored).argmax(dim=1).numpy()

    return method


def lengths(clips: Clips, parts: tuple[float, ...], *, epochs: int = 10) -> Method:
    """A GRU that learns parts of the clips first: the share of the frames, stage by stage."""

    def method(cut: Cut, seed: int) -> np.ndarray:
        head = gru(clips, cut, seed)
        frames = clips.features.shape[1]
        rng = np.random.default_rng(seed)
        for stage, share in enumerate(parts):
            length = round(share * frames)
            start = rng.integers(frames - length + 1, size=(len(clips.targets), 1))
            own = clips.features[np.arange(len(start))[:, None], start + np.arange(length)]
            examples = FeatureExamples(ArrayFeatures(own), clips.targets[cut.known], rows=cut.known)
            settings = learning(epochs, seed + stage)
            fit(head, examples, None, settings)
        return predict(head, clips.examples(cut.scored)).argmax(dim=1).numpy()

    return method


class Reverse(torch.autograd.Function):
    """Passes values on and gradients back with the other sign."""

    @staticmethod
    def forward(_context: object, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:
        return -gradient


class Several(nn.Module):
    """One classifier for each task on the same trunk, their logits end to end."""

    def __init__(self, width: int, classes: list[int], *, reverse: bool) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.Linear(width, count) for count in classes)
        self.reverse = reverse

    def forward(self, trunk: Tensor) -> Tensor:
        others = Reverse.apply(trunk) if self.reverse else trunk
        first, *rest = self.each
        return torch.cat([first(trunk), *(task(others) for task in rest)], dim=1)


def joint(
    clips: Clips, columns: list[list[str]], weight: float, *, reverse: bool = False
) -> Method:
    """A GRU with further classifiers that learn other columns, at a weight beside the labels."""

    def method(cut: Cut, seed: int) -> np.ndarray:
        tasks = [clips.targets[cut.known]]
        for column in columns:
            own = [column[row] for row in cut.known]
            tasks.append(np.unique(own, return_inverse=True)[1])
        counts = [len(clips.labels), *(int(task.max()) + 1 for task in tasks[1:])]
        truth = np.concatenate([np.eye(n)[task] for n, task in zip(counts, tasks)], axis=1)

        def loss(logits: Tensor, targets: Tensor) -> Tensor:
            costs = [
                F.cross_entropy(part, wanted, label_smoothing=0.2)
                for part, wanted in zip(logits.split(counts, 1), targets.split(counts, 1))
            ]
            return costs[0] + weight * sum(costs[1:])

        head = gru(clips, cut, seed)
        head.classifier = Several(head.classifier.in_features, counts, reverse=reverse)
        fit(head, clips.examples(cut.known, truth), None, learning(30, seed), loss=loss)
        logits = predict(head, clips.examples(cut.scored))[:, : counts[0]]
        return logits.argmax(dim=1).numpy()

    return method


def gru(clips: Clips, cut: Cut, seed: int) -> nn.Module:
    with reproducible(seed):
        head = build_head("gru", dim=clips.features.shape[2], frames=clips.features.shape[1],
                          classes=len(clips.labels), **GRU)  # fmt: skip
    frames = torch.from_numpy(clips.features[cut.known])
    head.prepare([(frames, torch.ones(frames.shape[:2], dtype=torch.bool))])
    return head


def learning(epochs: int, seed: int) -> Train:
    return Train(epochs=epochs, seed=seed, label_smoothing=0.2, clip_grad=1.0, patience=None)


def curriculum(data: Path, recipe: str) -> tuple[Clips, dict[str, Method]]:
    clips = read_clips(data, recipe)
    linear = Linear(clips)
    orders = {
        "all": "all clips in each stage",
        "easy": "easy first",
        "hard": "hard first",
        "random": "some, then more, at random",
    }
    return clips, {f"linear, {said}": staged(linear, order) for order, said in orders.items()}


def parts_of_clips(data: Path, recipe: str) -> tuple[Clips, dict[str, Method]]:
    clips = read_clips(data, recipe, [DIFFERENCES])
    return clips, {
        "gru, whole clips in each stage": lengths(clips, (1.0, 1.0, 1.0)),
        "gru, short to long": lengths(clips, (0.25, 0.5, 1.0)),
        "gru, long to short": lengths(clips, (1.0, 0.5, 0.25)),
    }


def pruned_clips(data: Path, recipe: str) -> tuple[Clips, dict[str, Method]]:
    clips = read_clips(data, recipe)
    linear = Linear(clips)
    methods = {"ridge, all clips": without(linear, "random", 0.0)}
    for share in (0.05, 0.1, 0.2, 0.3):
        for which in ("hardest", "easiest", "random"):
            methods[f"without {share:.0%}, {which}"] = without(linear, which, share)
    return clips, methods


def unlabelled(data: Path, recipe: str) -> tuple[Clips, dict[str, Method]]:
    clips = read_clips(data, recipe)
    linear = Linear(clips)
    methods = {"ridge, the labelled clips alone": without(linear, "random", 0.0)}
    methods["mean and deviation of all"] = with_unlabelled(linear, "standardise")
    for amount in (0.1, 1.0):
        methods[f"whitened, floor {amount}"] = with_unlabelled(linear, "whiten", amount)
    for amount in (0.3, 1.0, 3.0):
        methods[f"less of the scene, {amount}"] = with_unlabelled(linear, "scenes", amount)
    for amount in (0.2, 0.5, 1.0):
        methods[f"labels of its own, {amount:.0%}"] = with_unlabelled(linear, "pseudo", amount)
    return clips, methods


def several_tasks(data: Path, recipe: str) -> tuple[Clips, dict[str, Method]]:
    clips = read_clips(data, recipe, [DIFFERENCES])
    scenes = [[sample.group for sample in clips.manifest]]
    methods = {
        "gru, the label alone": joint(clips, [], 0.0),
        "scene told too, weight 0.3": joint(clips, scenes, 0.3),
        "scene not to be told, weight 0.1": joint(clips, scenes, 0.1, reverse=True),
        "scene not to be told, weight 0.3": joint(clips, scenes, 0.3, reverse=True),
    }
    if set(clips.labels) <= set(SECOND):
        both = [[SECOND[sample.label][part] for sample in clips.manifest] for part in (0, 1)]
        methods |= {
            "side and kind too, weight 0.3": joint(clips, both, 0.3),
            "side and kind too, weight 1": joint(clips, both, 1.0),
        }
    return clips, methods


Study = Callable[[Path, str], tuple[Clips, dict[str, Method]]]
STUDIES: dict[str, Study] = {
    "curriculum": curriculum,
    "lengths": parts_of_clips,
    "clips": pruned_clips,
    "unlabelled": unlabelled,
    "tasks": several_tasks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips", help="whose stored features are used")
    parser.add_argument("--study", nargs="+", default=list(STUDIES), choices=STUDIES)
    parser.add_argument("--shots", type=int, help="labelled clips of each class; all where absent")
    parser.add_argument("--inner", type=int, default=3)
    parser.add_argument("--outer", action="store_true", help="score the folds themselves, once")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    where = "the folds" if given.outer else f"one of {given.inner} inner parts for each fold"
    for study in given.study:
        clips, methods = STUDIES[study](given.data, given.recipe)
        shots = f"{given.shots or 'all'} labelled clips of each class"
        heading(f"{study}: {where}, {shots}, {given.seeds} seeds")
        base = None
        for name, method in methods.items():
            begun = time.perf_counter()
            inner = None if given.outer else given.inner
            found = hits(clips, method, inner=inner, seeds=given.seeds, shots=given.shots)
            show(clips, name, found, base, time.perf_counter() - begun)
            base = found if base is None else base


if __name__ == "__main__":
    main()
