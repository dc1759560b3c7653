"""A student with and without a teacher: what its soft targets give, and what the student saves.

    python benchmarks/distill.py
    python benchmarks/distill.py --teacher few-clips --student default --weights 0.5 0.9

For every fold of the manifest, weight and temperature are chosen on inner folds of the rest, by
group: teacher and student never see the inner fold that is scored. Then the fold itself is scored
once: by the student that learns from labels alone, by the one taught by refits of the teacher
without the clip's group, by one taught by the teacher itself (which learnt from these very clips;
with the same weight and temperature), and by the teacher.

Where the backbone learns, which takes long, a fold without a choice:

    python benchmarks/distill.py --student lite0-tsm-distilled --folds 0 --inner 0
"""

import argparse
import copy
import logging
import os
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.config import Recipe
from frameflow.data.splits import add_folds
from frameflow.evaluation.intervals import units_of
from frameflow.evaluation.paired import Figures, class_figures, difference, effects
from frameflow.inference.predictor import Predictor
from frameflow.models.recognizer import build_recognizer
from frameflow.training._random import reproducible
from frameflow.training.crossval import Samples, read_samples
from frameflow.training.distill import tempered
from frameflow.training.examples import ArrayFeatures, view_means
from frameflow.training.learning import Stored, fit_recognizer, trainee
from frameflow.training.loop import predict
from frameflow.training.targets import targets_of

Choice = tuple[float, float]  # the weight of soft targets, the temperature
ALONE: Choice = (0.0, 1.0)
NAMES = ("labels alone", "taught by refits", "taught by itself", "teacher")


def shortened(recipe: Recipe, samples: Samples) -> tuple[Recipe, Samples]:
    """Frames averaged to the parts of which the statistics head reads the means: the same, sooner.

    Anything else is left as it is.
    """
    options, frames = recipe.head.options, recipe.sampling.frames
    parts = options.get("segments", 1)
    plain = recipe.head.name == "statistics" and options.get("spread") is False
    if not plain or "blocks" in options or frames % parts:
        return recipe, samples
    made = []
    for material in (samples.training, samples.testing):
        held, rows = material.features, np.arange(len(material.samples))
        views = []
        for view in range(material.count):
            averaged = []
            for few in np.array_split(rows, max(1, len(rows) // 32)):
                features, mask = held.batch(few, view)
                if not mask.all():
                    return recipe, samples
                split = features.astype(np.float32).reshape(len(few), parts, frames // parts, -1)
                averaged.append(split.mean(axis=2))
            views.append(np.concatenate(averaged))
        made.append(Stored(ArrayFeatures(np.stack(views), samples=material.samples)))
    short = load_recipe(recipe, [f"sampling.frames={parts}"])
    return short, replace(samples, training=made[0], testing=made[1])


class Learner:
    """A recipe on samples that are read: learns from some rows, speaks of others."""

    def __init__(self, recipe: Recipe, samples: Samples) -> None:
        self.whole = recipe
        self.recipe, self.samples = shortened(recipe, samples)
        self.labels = samples.manifest.label_names()
        self.targets = targets_of(samples.manifest.samples, self.labels)

    def said(
        self,
        learnt: np.ndarray,
        asked: np.ndarray,
        soft: np.ndarray | None = None,
        choice: Choice = ALONE,
    ) -> np.ndarray:
        """``(n, K)`` probabilities of the rows asked for."""
        weight, temperature = choice
        settings = self.recipe.train
        training = self.samples.training.examples(self.targets[learnt], rows=learnt)
        if soft is not None and weight:
            distill = {"teacher": "here", "weight": weight, "temperature": temperature}
            settings = settings.model_copy(
                update={"distill": settings.distill.model_copy(update=distill)}
            )
            training.taught = tempered(soft, temperature, multilabel=False)
        learns = self.recipe.way != "frozen"  # then nothing must carry over
        backbones = copy.deepcopy(self.samples.backbones) if learns else self.samples.backbones
        with reproducible(settings.seed):
            made = build_recognizer(self.recipe, self.labels, backbones=backbones)
        fit_recognizer(made, training, None, settings)
        test = self.samples.testing.examples(self.targets[asked], rows=asked, every_view=True)
        shares = predict(trainee(made), test).softmax(dim=1).numpy()
        return view_means(shares, self.samples.testing.count)

    def refits(self, learnt: np.ndarray, folds: int) -> np.ndarray:
        """``(n, K)``: of each row, by a fit without its fold of groups."""
        found = np.zeros((len(learnt), len(self.labels)))
        for rest, asked in parts(self.samples.manifest, learnt, folds):
            found[asked] = self.said(learnt[rest], learnt[asked])
        return found


def parts(manifest: Manifest, rows: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places among the rows, of all folds but one and of that one."""
    folded = add_folds(manifest.replace(manifest[int(row)] for row in rows), folds, seed=0)
    fold = np.array([sample.fold for sample in folded])
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(folds)]


def show_test(shares: dict[str, np.ndarray], targets: np.ndarray, groups: list[str]) -> None:
    """Top-1 and log loss of each, and what each has over the labels alone."""
    units = units_of(groups, len(groups))
    losses = {
        name: -np.log(np.maximum(said[np.arange(len(said)), targets], 1e-12))
        for name, said in shares.items()
    }

    def figures(name: str) -> Figures:
        said = shares[name]
        classes, answers = said.shape[1], said.argmax(axis=1)
        return class_figures(targets, answers, losses[name], classes=classes, units=units)

    print("\n| test folds, once | top-1 | log loss | less labels alone (95 % interval, p) |")
    print("|---|---|---|---|")
    for name, said in shares.items():
        right, less = said.argmax(axis=1) == targets, "-"
        if name != NAMES[0]:
            apart = difference(figures(NAMES[0]), figures(name))
            value = {k: float(v[0]) for k, v in apart(np.ones((1, units.count))).items()}
            top1 = effects(value, apart, units=units)["top1"]
            low, high = top1.bounds or (float("nan"), float("nan"))
            less = f"{top1.value:+.3f} ({low:+.3f} to {high:+.3f}, {top1.p:.2f})"
        print(f"| {name} | {right.mean():.3f} | {losses[name].mean():.3f} | {less} |")


def seconds_per_clip(learner: Learner, clips: int = 10) -> float:
    """Reading, backbone and head of one clip after the other; the median."""
    made = build_recognizer(learner.whole, learner.labels, backbones=learner.samples.backbones)
    predictor, manifest, times = Predictor(made.eval()), learner.samples.manifest, []
    for sample in manifest.samples[: clips + 2]:
        begun = time.perf_counter()
        predictor.predict(manifest.path(sample))
        times.append(time.perf_counter() - begun)
    return float(np.median(times[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--teacher", default="few-clips")
    parser.add_argument("--student", default="default")
    parser.add_argument("--set", action="append", default=["split.val=0"], dest="changes",
                        help="of the student")  # fmt: skip
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5, 0.9])
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--inner", type=int, default=2,
                        help="inner folds that choose; 0: nothing to choose")  # fmt: skip
    parser.add_argument("--folds", type=int, nargs="*", help="only these are scored")
    parser.add_argument("--refits", type=int, default=3, help="folds of a teacher's refits")
    arguments = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    whole = Manifest.read(arguments.data)
    teacher, student = (
        Learner(recipe, read_samples(whole, recipe)[0])
        for recipe in (
            load_recipe(arguments.teacher),
            load_recipe(arguments.student, arguments.changes),
        )
    )
    manifest, targets = student.samples.manifest, student.targets
    assert [s.video for s in manifest] == [s.video for s in teacher.samples.manifest]
    choices = [ALONE, *product(arguments.weights, arguments.temperatures)]
    print(f"{processor()}, {os.cpu_count()} cores")
    print(f"teacher {arguments.teacher}, student {arguments.student}\n", flush=True)

    inner: dict[Choice, list[float]] = {choice: [] for choice in choices}
    shares = {name: np.zeros((len(manifest), len(student.labels))) for name in NAMES}
    folds = sorted({sample.fold for sample in manifest})
    scored = [fold for fold in folds if not arguments.folds or fold in arguments.folds]
    for fold in scored:
        held = np.array([sample.fold == fold for sample in manifest])
        learnt, asked = np.flatnonzero(~held), np.flatnonzero(held)
        hits: dict[Choice, list[bool]] = {choice: [] for choice in choices}
        inside = parts(manifest, learnt, arguments.inner) if arguments.inner else []
        for rest, out in inside:
            soft = teacher.refits(learnt[rest], arguments.refits)
            for choice in choices:
                said = student.said(learnt[rest], learnt[out], soft, choice)
                hits[choice] += (said.argmax(axis=1) == targets[learnt[out]]).tolist()
        score = {choice: float(np.mean(hits[choice] or [0.0])) for choice in choices}
        for choice in choices:
            inner[choice].append(score[choice])
        best = max(choices[1:], key=score.__getitem__)
        both = teacher.said(learnt, np.concatenate([learnt, asked]))
        refits = teacher.refits(learnt, arguments.refits)
        found = {
            "labels alone": student.said(learnt, asked),
            "taught by refits": student.said(learnt, asked, refits, best),
            "taught by itself": student.said(learnt, asked, both[: len(learnt)], best),
            "teacher": both[len(learnt) :],
        }
        for name in NAMES:
            shares[name][asked] = found[name]
        print(f"fold {fold}: weight {best[0]:g}, temperature {best[1]:g}: inner top-1 "
              f"{score[best]:.3f}, labels alone {score[ALONE]:.3f}; soft targets right "
              f"{np.mean(refits.argmax(axis=1) == targets[learnt]):.3f} by refits, "
              f"{np.mean(both[: len(learnt)].argmax(axis=1) == targets[learnt]):.3f} by itself",
              flush=True)  # fmt: skip

    print("\n| weight | temperature | inner top-1 | deviation over folds |")
    print("|---|---|---|---|")
    for (weight, temperature), scores in inner.items():
        print(f"| {weight:g} | {temperature:g} | {np.mean(scores):.3f} | {np.std(scores):.3f} |")
    told = np.array([sample.fold in scored for sample in manifest])
    test = {name: said[told] for name, said in shares.items()}
    groups = [sample.group for sample, one in zip(manifest, told) if one]
    show_test(test, targets[told], groups)
    times = {"teacher": seconds_per_clip(teacher), "student": seconds_per_clip(student)}
    print(
        f"\nseconds a clip, alone: teacher {times['teacher']:.3f}, student {times['student']:.3f}"
    )


if __name__ == "__main__":
    main()
