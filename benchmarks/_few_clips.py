"""What the studies of few clips share: stored features, cuts by group, and paired scores."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.config import Recipe
from frameflow.data.splits import add_folds
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.paired import Effect, effects
from frameflow.models.backbones import Backbone
from frameflow.training.crossval import read_samples
from frameflow.training.examples import ArrayFeatures, FeatureExamples
from frameflow.training.shots import take_shots
from frameflow.training.targets import targets_of

DIFFERENCES = "streams=[{kind: difference, fit: squash, grid: 3}]"  # the better half of few-clips


@dataclass(frozen=True)
class Cut:
    """One part is scored, the rest teaches.

    Attributes:
        known: rows whose labels may be used.
        unlabelled: rows whose frames may be used, these among them; never those that are scored.
        scored: rows whose answers are counted.
    """

    known: np.ndarray
    unlabelled: np.ndarray
    scored: np.ndarray


@dataclass(frozen=True)
class Clips:
    """Features ``(N, T, D)`` of all samples of a manifest with folds, and their classes."""

    manifest: Manifest
    features: np.ndarray
    targets: np.ndarray
    labels: list[str]

    def examples(self, rows: np.ndarray, targets: np.ndarray | None = None) -> FeatureExamples:
        """Some rows to learn from, with other targets where they are given (one a row)."""
        own = self.targets[rows] if targets is None else targets
        return FeatureExamples(ArrayFeatures(self.features), own, rows=rows)

    def cuts(self, *, inner: int | None, shots: int | None, seed: int) -> Iterator[Cut]:
        """For each fold, without it, a part by group; or the folds themselves.

        Args:
            inner: into how many parts all but a fold is parted; one of them is scored, another
                one with another seed. None: the folds are scored.
            shots: labelled clips of each class; None: all.
            seed: which part is scored, and which clips keep their labels.
        """
        numbered = [replace(sample, row=row) for row, sample in enumerate(self.manifest)]
        for fold in sorted({sample.fold for sample in self.manifest} - {None}):
            if inner is None:
                yield _cut(self.manifest.replace(numbered), fold, shots, seed)
                continue
            rest = self.manifest.replace(s for s in numbered if s.fold != fold)
            yield _cut(add_folds(rest, inner, seed=0), (fold + seed) % inner, shots, seed)


def _cut(manifest: Manifest, fold: int, shots: int | None, seed: int) -> Cut:
    named = manifest.replace(
        replace(sample, split="test" if sample.fold == fold else "train") for sample in manifest
    )
    few = named if shots is None else take_shots(named, shots, seed=seed)
    return Cut(
        known=np.array([s.row for s in few if s.split == "train"]),
        unlabelled=np.array([s.row for s in named if s.split == "train"]),
        scored=np.array([s.row for s in named if s.split == "test"]),
    )


def read_clips(data: Path, recipe: str, overrides: Sequence[str] = ()) -> Clips:
    """The stored features that a recipe makes of a data set, made small.

    Of every second frame, the mean over the parts of the grid: much quicker to learn from, and no
    worse on tennis7.

    Args:
        data: a manifest with folds.
        recipe: of which streams and sampling are used.
        overrides: changes to it.
    """
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    chosen = load_recipe(recipe, overrides)
    samples, _ = read_samples(Manifest.read(data), chosen)
    manifest = samples.manifest
    rows = np.arange(len(manifest))
    features, _ = samples.testing.examples(rows).features.batch(rows, 0)
    streams, grid = len(chosen.streams), chosen.streams[0].grid ** 2
    parts = features[:, ::2].reshape(
        len(rows), -1, streams, grid, features.shape[2] // streams // grid
    )
    small = parts.mean(axis=3, dtype=np.float32).reshape(*parts.shape[:2], -1)
    labels = manifest.label_names()
    return Clips(manifest, small, targets_of(manifest.samples, labels), labels)


def read_activations(
    data: Path, changes: Sequence[str]
) -> tuple[Clips, Recipe, Sequence[Backbone]]:
    """What few-clips-cut, changed, stores of a data set; its recipe, and its backbones."""
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    recipe = load_recipe("few-clips-cut", changes)
    samples, _ = read_samples(Manifest.read(data), recipe)
    rows = np.arange(len(samples.manifest))
    activations, _ = samples.testing.examples(rows).features.batch(rows, 0)
    labels = samples.manifest.label_names()
    targets = targets_of(samples.manifest.samples, labels)
    return Clips(samples.manifest, activations, targets, labels), recipe, samples.backbones


Method = Callable[[Cut, int], np.ndarray]
"""From a cut and a seed to the ``(n,)`` answers for the rows that are scored."""


def hits(
    clips: Clips, method: Method, *, inner: int | None, seeds: int, shots: int | None = None
) -> np.ndarray:
    """``(seeds, 2, N)``: how often each sample was named rightly, and how often it was asked."""
    found = np.zeros((seeds, 2, len(clips.targets)))
    for seed in range(seeds):
        for cut in clips.cuts(inner=inner, shots=shots, seed=seed):
            found[seed, 0, cut.scored] += method(cut, seed) == clips.targets[cut.scored]
            found[seed, 1, cut.scored] += 1
    return found


def gain(clips: Clips, base: np.ndarray, other: np.ndarray) -> Effect:
    """What the other method gives beyond the base: a paired bootstrap over groups."""
    groups = [sample.group for sample in clips.manifest]
    units = units_of(groups, len(groups))
    each = np.stack([(other - base)[:, 0].sum(axis=0), base[:, 1].sum(axis=0)], axis=1)
    totals = np.zeros((units.count, 2))
    np.add.at(totals, units.index, each)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = weights @ totals
        return {"top1": sums[:, 0] / np.maximum(sums[:, 1], 1)}

    value = float(each[:, 0].sum() / each[:, 1].sum())
    return effects({"top1": value}, figures, units=units)["top1"]


def show(
    clips: Clips, name: str, found: np.ndarray, base: np.ndarray | None = None, seconds: float = 0
) -> None:
    """A row of the table."""
    top1 = found[:, 0].sum(axis=1) / found[:, 1].sum(axis=1)
    row = f"| {name} | {top1.mean():.3f} ± {top1.std():.3f} | "
    if base is not None:
        effect = gain(clips, base, found)
        low, high = effect.bounds or (float("nan"),) * 2
        row += f"{100 * effect.value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    print(f"{row} | {seconds:.0f} |", flush=True)


def heading(what: str, columns: Sequence[str] = ("", "top-1", "gain, points", "seconds")) -> None:
    print(f"\n{what}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def machine() -> str:
    return f"{processor()}, {os.cpu_count()} cores"
