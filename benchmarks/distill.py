"""A student with and without a teacher: what its soft targets give, and what the student saves.

    python benchmarks/distill.py
    python benchmarks/distill.py --teacher few-clips --student default --weights 0.5 0.9

For every fold of the manifest, weight and temperature are chosen on inner folds of the rest, by
group: teacher and student never see the inner fold that is scored. Then the fold itself is scored
once, by the student that was chosen, by the one that learns from labels alone, and by the teacher.
The soft targets come from refits of the teacher without the clip's group (``refits``), or from the
teacher that learnt from these very clips (``itself``).
"""

import argparse
import copy
import logging
import os
import platform
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

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

Choice = tuple[str, float, float]  # whose soft targets, their weight, the temperature
ALONE: Choice = ("labels", 0.0, 1.0)


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
        _, weight, temperature = choice
        settings = self.recipe.train
        training = self.samples.training.examples(self.targets[learnt], rows=learnt)
        if soft is not None:
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


def taught(
    teacher: Learner, student: Learner, learnt: np.ndarray, asked: np.ndarray,
    choices: list[Choice], folds: int,
) -> dict[Choice, np.ndarray]:  # fmt: skip
    """What the student says by each choice, and the teacher (``teacher``)."""
    both = teacher.said(learnt, np.concatenate([learnt, asked]))
    soft = {"itself": both[: len(learnt)]}
    if any(who == "refits" for who, *_ in choices):
        soft["refits"] = teacher.refits(learnt, folds)
    found = {choice: student.said(learnt, asked, soft.get(choice[0]), choice) for choice in choices}
    return found | {("teacher", 0.0, 1.0): both[len(learnt) :]}


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
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--inner", type=int, default=3,
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
    choices = [ALONE, *product(("refits", "itself"), arguments.weights, arguments.temperatures)]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"teacher {arguments.teacher}, student {arguments.student}\n", flush=True)

    inner = {choice: [] for choice in choices}
    rows_of = {"labels alone": [], "chosen": [], "refits": [], "itself": [], "teacher": []}
    shares = {name: np.zeros((len(manifest), len(student.labels))) for name in rows_of}
    folds = sorted({sample.fold for sample in manifest})
    scored = [fold for fold in folds if not arguments.folds or fold in arguments.folds]
    for fold in scored:
        held = np.array([sample.fold == fold for sample in manifest])
        learnt, asked = np.flatnonzero(~held), np.flatnonzero(held)
        hits = {choice: [] for choice in choices}
        inside = parts(manifest, learnt, arguments.inner) if arguments.inner else []
        for rest, out in inside:
            said = taught(teacher, student, learnt[rest], learnt[out], choices, arguments.refits)
            for choice in choices:
                right = said[choice].argmax(axis=1) == targets[learnt[out]]
                hits[choice] += right.tolist()
        score = {choice: float(np.mean(hits[choice] or [0.0])) for choice in choices}
        for choice in choices:
            inner[choice].append(score[choice])
        best = {who: max((c for c in choices if c[0] == who), key=score.__getitem__)
                for who in ("refits", "itself")}  # fmt: skip
        chosen = max(choices, key=score.__getitem__) if inside else best["refits"]
        said = taught(
            teacher, student, learnt, asked, list({ALONE, *best.values()}), arguments.refits
        )
        named = {
            "labels alone": ALONE, "chosen": chosen, **best, "teacher": ("teacher", 0.0, 1.0)
        }  # fmt: skip
        for name, choice in named.items():
            shares[name][asked] = said[choice]
        print(f"fold {fold}: chosen {chosen}, inner {score[chosen]:.3f}, "
              f"labels alone {score[ALONE]:.3f}", flush=True)  # fmt: skip

    print("\n| soft targets | weight | temperature | inner top-1 | deviation over folds |")
    print("|---|---|---|---|---|")
    for (who, weight, temperature), scores in inner.items():
        print(f"| {who} | {weight:g} | {temperature:g} | {np.mean(scores):.3f} | "
              f"{np.std(scores):.3f} |")  # fmt: skip
    asked = np.array([sample.fold in scored for sample in manifest])
    targets, shares = targets[asked], {name: said[asked] for name, said in shares.items()}
    groups = [sample.group for sample, one in zip(manifest, asked) if one]
    units = units_of(groups, len(groups))

    def figures(name: str) -> Figures:
        said = shares[name]
        loss = -np.log(np.maximum(said[np.arange(len(said)), targets], 1e-12))
        answers = said.argmax(axis=1)
        return class_figures(targets, answers, loss, classes=len(student.labels), units=units)

    print("\n| test folds, once | top-1 | log loss | less labels alone (95 % interval, p) |")
    print("|---|---|---|---|")
    for name, said in shares.items():
        right = said.argmax(axis=1) == targets
        loss = -np.log(np.maximum(said[np.arange(len(said)), targets], 1e-12)).mean()
        less = "-"
        if name != "labels alone":
            apart = difference(figures("labels alone"), figures(name))
            value = {k: float(v[0]) for k, v in apart(np.ones((1, units.count))).items()}
            top1 = effects(value, apart, units=units)["top1"]
            less = (
                f"{top1.value:+.3f} ({top1.bounds[0]:+.3f} to {top1.bounds[1]:+.3f}, {top1.p:.2f})"
            )
        print(f"| {name} | {right.mean():.3f} | {loss:.3f} | {less} |")
    times = {"teacher": seconds_per_clip(teacher), "student": seconds_per_clip(student)}
    print(
        f"\nseconds a clip, alone: teacher {times['teacher']:.3f}, student {times['student']:.3f}"
    )


if __name__ == "__main__":
    main()
