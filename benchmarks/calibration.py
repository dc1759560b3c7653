"""Probabilities before and after calibration, and sets and answers, on folds of unseen scenes.

    python benchmarks/calibration.py
    python benchmarks/calibration.py --recipe default

Each fold of the manifest is the test once; training, calibration, sets and threshold are set on
the other folds, as `frameflow train` sets them. Figures are of all folds' clips together. Beside
the calibration error stands the one that perfect calibration would show with as many clips.
"""

import argparse
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.config import Recipe
from frameflow.data.splits import use_fold
from frameflow.evaluation.abstain import (
    Refusal,
    adaptive_scores,
    conformal_quantile,
    fit_refusal,
    refusal_metrics,
)
from frameflow.evaluation.calibration import Calibration, cross_fitted, fit_calibration
from frameflow.evaluation.reliability import (
    brier,
    calibration_error,
    expected_calibration_error_if_perfect,
    log_loss,
)
from frameflow.models.backbones import Backbone
from frameflow.models.recognizer import build_recognizer
from frameflow.training._random import reproducible
from frameflow.training.calibrate import held_out, settle
from frameflow.training.examples import view_means
from frameflow.training.learning import examples_of, fit_recognizer, read_material
from frameflow.training.loop import predict

ERRORS = (0.4, 0.3, 0.2)  # of the answered, asked for


def fold_results(
    manifest: Manifest, recipe: Recipe, fold: int, backbones: list[Backbone]
) -> dict[str, Any]:
    """What a model that has not seen a fold says of it."""
    parts = use_fold(manifest, fold, val=recipe.split.val, seed=recipe.train.seed)
    with reproducible(recipe.train.seed):
        recognizer = build_recognizer(recipe, manifest.labels, backbones=backbones)
    purposes = {"train": "train", "val": "test", "test": "test"}
    material = {
        name: read_material(recognizer, parts.split(name), purpose=purpose)  # type: ignore[arg-type]
        for name, purpose in purposes.items()
        if len(parts.split(name))
    }
    scored = {
        name: examples_of(material[name], recipe, recognizer.labels, every_view=True)
        for name in material
        if name != "train"
    }
    training = examples_of(material["train"], recipe, recognizer.labels)
    fit_recognizer(recognizer, training, scored.get("val"))
    held = held_out(recognizer, parts, material["train"], material.get("val"), scored.get("val"))
    extra = settle(held, recipe, recognizer.labels)
    shares = predict(recognizer.head, scored["test"]).softmax(dim=1).numpy()
    samples = material["test"].samples
    truth = [recognizer.labels.index(sample.label) for sample in samples]
    return {
        "truth": np.array(truth),
        "before": view_means(shares, material["test"].count),
        "groups": [sample.group for sample in samples],
        "held": held,
        "calibration": Calibration.from_dict(extra["calibration"]),
        "refusal": Refusal.from_dict(extra["refusal"]),
    }


def reliability_rows(folds: list[dict[str, Any]]) -> None:
    truth = np.concatenate([fold["truth"] for fold in folds])
    print(f"{'':22}{'top-1':>8}{'NLL':>8}{'Brier':>8}{'ECE':>8}{'ECE if perfect':>16}")
    for name, method in (
        ("before", None),
        ("temperature", "temperature"),
        ("vector", "vector"),
        ("as chosen", ""),
    ):
        shares = np.concatenate([_shares(fold, method) for fold in folds])
        top1 = (shares.argmax(axis=1) == truth).mean()
        print(
            f"{name:22}{top1:8.3f}{log_loss(truth, shares):8.3f}{brier(truth, shares):8.3f}"
            f"{calibration_error(truth, shares):8.3f}"
            f"{expected_calibration_error_if_perfect(shares):16.3f}"
        )


def _shares(fold: dict[str, Any], method: str | None) -> np.ndarray:
    if method is None:
        return fold["before"]
    return _calibration(fold, method).apply(fold["before"])


def _calibration(fold: dict[str, Any], method: str) -> Calibration:
    if not method:
        return fold["calibration"]
    truth, shares, groups = _held(fold)
    return fit_calibration(truth, shares, method, groups)  # type: ignore[arg-type]


def _held(fold: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    held = fold["held"]
    labels = sorted({sample.label for sample in held.samples})
    truth = np.array([labels.index(sample.label) for sample in held.samples])
    return truth, held.probabilities, [sample.group for sample in held.samples]


def set_rows(folds: list[dict[str, Any]]) -> None:
    """Sets and answers of every fold, over the clips of all of them."""
    print(f"\n{'sets':38}{'coverage':>9}{'by scene':>10}{'mean size':>10}{'one label':>10}")
    for name, groups, adaptive in (
        ("1 - p, quantile over scenes (a run's)", True, False),
        ("1 - p, quantile over clips", False, False),
        ("adaptive, quantile over scenes", True, True),
    ):
        covered, sizes, scenes = [], [], []
        for number, fold in enumerate(folds):
            sets = _sets(fold, by_group=groups, adaptive=adaptive, seed=number)
            covered.append(sets[np.arange(len(sets)), fold["truth"]])
            sizes.append(sets.sum(axis=1))
            scenes += fold["groups"]
        hits, size = np.concatenate(covered), np.concatenate(sizes)
        by_scene = np.mean([hits[np.array(scenes) == scene].mean() for scene in set(scenes)])
        figures = f"{hits.mean():9.3f}{by_scene:10.3f}{size.mean():10.2f}{(size == 1).mean():10.2f}"
        print(f"{name:38}{figures}")


def _sets(fold: dict[str, Any], *, by_group: bool, adaptive: bool, seed: int) -> np.ndarray:
    truth, shares, groups = _held(fold)
    fair = cross_fitted(truth, shares, fold["calibration"].method, groups)
    said = fold["calibration"].apply(fold["before"])
    rng = np.random.default_rng(seed)
    if not adaptive:
        return fit_refusal(truth, fair, groups=groups if by_group else None).sets(said)
    own = adaptive_scores(fair, rng.random(len(fair)))[np.arange(len(truth)), truth]
    sets = adaptive_scores(said, rng.random(len(said))) <= conformal_quantile(own, 0.9, groups)
    sets[np.arange(len(sets)), said.argmax(axis=1)] = True
    return sets


def answer_rows(folds: list[dict[str, Any]]) -> None:
    print(f"\n{'answers':38}{'answered':>9}{'accuracy':>10}{'errors':>8}")
    asked: list[tuple[str, dict[str, Any]]] = [("95 % of known clips (a run's)", {})]
    asked += [(f"errors of the answered <= {rate:g}", {"at_error": rate}) for rate in ERRORS]
    for name, options in asked:
        answers, right = [], []
        for fold in folds:
            truth, shares, groups = _held(fold)
            fair = cross_fitted(truth, shares, fold["calibration"].method, groups)
            said = fold["calibration"].apply(fold["before"])
            answers.append(fit_refusal(truth, fair, groups=groups, **options).answers(said))
            right.append(said.argmax(axis=1) == fold["truth"])
        given, hits = np.concatenate(answers), np.concatenate(right)
        figures = "         -"
        if given.any():
            figures = f"{hits[given].mean():10.3f}{1 - hits[given].mean():8.3f}"
        print(f"{name:38}{given.mean():9.3f}{figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips")
    given = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    manifest, recipe = Manifest.read(given.data), load_recipe(given.recipe)
    backbones = build_recognizer(recipe, manifest.labels).backbones()
    print(f"{processor()}, {os.cpu_count()} cores; {given.recipe}")
    started, folds = time.perf_counter(), []
    for fold in sorted({sample.fold for sample in manifest} - {None}):
        folds.append(fold_results(manifest, recipe, fold, backbones))
        found, refusal = folds[-1]["calibration"], folds[-1]["refusal"]
        figures = refusal_metrics(refusal, folds[-1]["truth"], found.apply(folds[-1]["before"]))
        print(
            f"fold {fold}: {found.method}, mean scale {np.mean(found.scale):.2f}, from "
            f"{found.fitted_on}; coverage {figures['conformal']['coverage']:.3f}",
            flush=True,
        )
    print(f"{time.perf_counter() - started:.0f} s\n")
    reliability_rows(folds)
    set_rows(folds)
    answer_rows(folds)


if __name__ == "__main__":
    main()
