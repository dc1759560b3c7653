"""What a trial scores: folds by group of the training and validation samples."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from frameflow.config import Recipe
from frameflow.errors import FrameFlowError
from frameflow.evaluation.reliability import sample_losses
from frameflow.training._threads import one_thread
from frameflow.training.crossval import score_fold
from frameflow.training.inner import SharedSamples
from frameflow.training.targets import targets_of

Metric = Literal["top1", "loss"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a recipe scored.

    Attributes:
        value: the mean over folds and seeds; higher is better, so a loss is negative.
        folds: of each fold and seed that was trained.
        epochs: of each the epochs that ran.
        seconds: in all.
        pruned: it was given up before the last fold.
        failed: why there is no value, or an empty string.
    """

    value: float
    folds: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: float
    pruned: bool = False
    failed: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> "Scored":
        """From `to_dict`.

        Raises:
            KeyError, TypeError: it is something else.
        """
        lists = {"folds": tuple(held["folds"]), "epochs": tuple(held["epochs"])}
        return cls(**{**held, **lists})


def score_recipe(
    shared: SharedSamples,
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    metric: Metric = "top1",
    hopeless: Callable[[int, float], bool] = lambda _, __: False,
) -> Scored:
    """Train on all inner folds but one and score that, for each of them.

    Args:
        shared: the samples, with folds.
        recipe: what is scored.
        seeds: each fold is trained with each of them.
        metric: ``top1``, or ``loss``: -log(probability of the truth), with its sign turned.
        hopeless: told how many folds are done and their mean; True gives the recipe up.
    """
    begun = time.perf_counter()
    values: list[float] = []
    epochs: list[int] = []

    def scored(**more: Any) -> Scored:
        mean = float(np.mean(values)) if values else float("nan")
        return Scored(mean, tuple(values), tuple(epochs), time.perf_counter() - begun, **more)

    try:
        samples = shared.read(recipe)
        manifest, several = samples.manifest, recipe.multilabel
        labels = manifest.label_names(multilabel=several)
        targets = targets_of(manifest.samples, labels, multilabel=several)
        folds = sorted({sample.fold for sample in manifest if sample.fold is not None})
        with one_thread():  # several searches may share the machine
            for seed in seeds:
                for fold in folds:
                    score, rows, found = score_fold(samples, recipe, targets, fold=fold, seed=seed)
                    epochs.append(score.epochs)
                    losses = sample_losses(targets[rows], found)
                    values.append(float(-losses.mean()) if metric == "loss" else score.top1)
                    whole = len(values) == len(folds) * len(seeds)
                    if not whole and hopeless(len(values), float(np.mean(values))):
                        return scored(pruned=True)
    except OSError:  # a full disk is everyone's
        raise
    except FrameFlowError as error:
        return scored(failed=" ".join(str(error).split()))
    except (RuntimeError, ValueError, MemoryError) as error:  # shapes that do not fit, memory
        return scored(failed=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return scored()
