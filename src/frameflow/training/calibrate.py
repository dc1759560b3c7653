"""After training: what the probabilities are worth, and when the model had better not answer.

Both are set on predictions of samples that did not teach the model, never on the test split:
those of validation, or, where a frozen recipe has none, those of inner folds by group.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow.config import Recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import add_folds
from frameflow.errors import UsageError
from frameflow.evaluation._words import plural
from frameflow.evaluation.abstain import Refusal, fit_refusal
from frameflow.evaluation.calibration import (
    FEW,
    Calibration,
    cross_fitted,
    fit_calibration,
)
from frameflow.evaluation.reliability import sample_losses
from frameflow.training.examples import view_means
from frameflow.training.targets import targets_of

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.models.recognizer import Recognizer
    from frameflow.training.examples import Examples
    from frameflow.training.learning import Material

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """Predictions of samples that did not teach the model that made them.

    Attributes:
        samples: N samples.
        probabilities: ``(N, K)``, as the model says them.
        origin: which they are, in words.
    """

    samples: Sequence[Sample]
    probabilities: np.ndarray
    origin: str


def calibrate(
    recognizer: "Recognizer",
    manifest: Manifest,
    training: "Material",
    validation: "Material | None",
    scored: "Examples | None",
    *,
    engine: "EngineKind" = "auto",
) -> dict[str, Any]:
    """The calibration of a trained recognizer, its prediction sets and its threshold.

    Args:
        recognizer: trained.
        manifest: of which the samples are, for their paths.
        training: what it learnt from.
        validation: what decided when to stop, if anything did.
        scored: the same as examples, every view one.
        engine: what runs the frozen backbone.

    Returns:
        ``calibration`` and ``refusal`` for the recognizer's ``extra``; ``refusal`` may be None,
        and ``refusal_reason`` says why.
    """
    try:
        found = held_out(recognizer, manifest, training, validation, scored, engine=engine)
    except NothingHeldOut as nothing:
        reason, several = str(nothing), recognizer.recipe.multilabel
        log.info("The probabilities are not calibrated: %s", reason)
        without = Calibration.identity(len(recognizer.labels), reason=reason, multilabel=several)
        return _extra(without, None, reason)
    return settle(found, recognizer.recipe, recognizer.labels)


class NothingHeldOut(Exception):
    """There are no predictions to calibrate on; the message says why."""


def held_out(
    recognizer: "Recognizer",
    manifest: Manifest,
    training: "Material",
    validation: "Material | None",
    scored: "Examples | None",
    *,
    engine: "EngineKind" = "auto",
) -> HeldOut:
    """Predictions of validation, or of inner folds; the arguments are those of `calibrate`.

    Raises:
        NothingHeldOut: there are none to be had.
    """
    if validation is not None and scored is not None:
        return _of_validation(recognizer, validation, scored)
    return _of_inner_folds(recognizer, manifest, training, engine)


def settle(found: HeldOut, recipe: Recipe, labels: Sequence[str]) -> dict[str, Any]:
    """What `calibrate` returns, from held-out predictions.

    Sets and threshold are set on probabilities whose calibration was fitted to other folds.
    """
    settings, seed = recipe.calibration, recipe.train.seed
    folds = max(2, settings.folds)
    truth = targets_of(found.samples, labels, multilabel=recipe.multilabel)
    groups = [sample.group for sample in found.samples]
    fitted = fit_calibration(
        truth,
        found.probabilities,
        settings.method,
        groups,
        folds=folds,
        seed=seed,
        fitted_on=found.origin,
    )
    fair = cross_fitted(truth, found.probabilities, fitted.method, groups, folds=folds, seed=seed)
    _tell(fitted, *(sample_losses(truth, p).mean() for p in (found.probabilities, fair)))
    if recipe.multilabel:
        return _extra(fitted, None, "A clip may have several labels or none: each is said or not.")
    if len(truth) < FEW:
        return _extra(fitted, None, f"{len(truth)} samples are too few (at least {FEW}).")
    refusal = fit_refusal(
        truth,
        fair,
        alpha=settings.alpha,
        answered=settings.answered,
        at_error=settings.abstain_error,
        groups=groups,
        fitted_on=found.origin,
    )
    _warn(refusal)
    return _extra(fitted, refusal, "")


def _of_validation(recognizer: "Recognizer", validation: "Material", scored: "Examples") -> HeldOut:
    from frameflow.training.learning import trainee
    from frameflow.training.loop import predict

    logits = predict(trainee(recognizer), scored)
    several = recognizer.recipe.multilabel
    shares = (logits.sigmoid() if several else logits.softmax(dim=1)).numpy()
    samples = list(validation.samples)
    return HeldOut(
        samples,
        view_means(shares, validation.count),
        f"{plural(len(samples), 'validation sample')}{_groups(samples)}",
    )


def _of_inner_folds(
    recognizer: "Recognizer", manifest: Manifest, training: "Material", engine: "EngineKind"
) -> HeldOut:
    """Each training sample is predicted by a head that learnt from the other folds' groups."""
    recipe, samples = recognizer.recipe, list(training.samples)
    if recipe.way != "frozen":
        raise NothingHeldOut(
            "there is no validation sample, and to train the backbone again on inner folds would "
            "take as many times as long. Set split.val=0.15 for it."
        )
    if recipe.calibration.folds < 2:
        raise NothingHeldOut("there is no validation sample, and calibration.folds is below 2.")
    found = out_of_fold(
        recognizer, manifest.replace(samples), training, engine, recipe.calibration.folds
    )
    folds = _folds(samples, recipe.calibration.folds)
    begun = ", from clips the run it began with may have seen" * ("init" in recognizer.extra)
    origin = f"{plural(len(samples), 'training sample')}{_groups(samples)}, each predicted without "
    return HeldOut(samples, found, f"{origin}its fold of {folds}{begun}")


def _folds(samples: Sequence[Sample], most: int) -> int:
    return min(most, len({sample.group or sample.video for sample in samples}))


def out_of_fold(
    recognizer: "Recognizer",
    manifest: Manifest,
    training: "Material",
    engine: "EngineKind",
    folds: int,
) -> np.ndarray:
    """What heads trained as a frozen recognizer's was say of samples that did not teach them.

    Args:
        recognizer: says recipe, labels and backbones.
        manifest: the samples of ``training``, in its order.
        training: what is learnt.
        engine: what runs the frozen backbone.
        folds: by group, at most.

    Returns:
        ``(N, K)`` probabilities.

    Raises:
        NothingHeldOut: they are too few, of one group, or of one class without a fold.
    """
    samples = manifest.samples
    if len(samples) < FEW:
        raise NothingHeldOut(f"{len(samples)} training samples are too few (at least {FEW}).")
    folds = _folds(samples, folds)
    if folds < 2:
        raise NothingHeldOut("all training samples are of one group.")
    started = time.perf_counter()
    log.info("Training the head on %d inner folds.", folds)
    try:
        found = _study(recognizer, manifest, training, engine, folds)
    except UsageError as error:  # a fold without which only one class is left
        raise NothingHeldOut(str(error)) from None
    log.info("The inner folds took %.1f s.", time.perf_counter() - started)
    return found


def _study(
    recognizer: "Recognizer",
    manifest: Manifest,
    training: "Material",
    engine: "EngineKind",
    folds: int,
) -> np.ndarray:
    """``(N, K)`` out-of-fold probabilities of a head trained as the recognizer's was."""
    from frameflow.training.crossval import Samples, study
    from frameflow.training.learning import read_material

    recipe = recognizer.recipe
    testing = read_material(recognizer, manifest, purpose="test", engine=engine)
    if len(testing.samples) < len(manifest):
        raise NothingHeldOut("some training videos changed while they were read.")
    without = {"split": recipe.split.model_copy(update={"val": 0.0})}
    folded = _quietly_folded(manifest, folds, seed=recipe.train.seed, several=recipe.multilabel)
    samples = Samples(folded, training, testing, recognizer.backbones())
    result = study(samples, recipe.model_copy(update=without), [recipe.train.seed])
    known = folded.label_names(multilabel=recipe.multilabel)
    shares = np.zeros((len(manifest), len(recognizer.labels)))  # some labels have no sample here
    shares[:, [recognizer.labels.index(label) for label in known]] = result.probabilities
    return shares


def _quietly_folded(manifest: Manifest, folds: int, *, seed: int, several: bool) -> Manifest:
    """What is to be said of the groups was said of the splits."""
    logger = logging.getLogger("frameflow.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return add_folds(manifest, folds, seed=seed, multilabel=several)
    finally:
        logger.setLevel(level)


def _groups(samples: Sequence[Sample]) -> str:
    groups = {sample.group for sample in samples} - {""}
    return f" of {plural(len(groups), 'group')}" if groups else ""


def _tell(fitted: Calibration, before: float, after: float) -> None:
    if fitted.method == "none":
        log.info("The probabilities are not calibrated: %s", fitted.reason)
        return
    how = "one scale and bias a class"
    if fitted.temperature is not None:
        how = f"temperature {fitted.temperature:.2f}"
    log.info(
        "Calibrated on %s: %s; log loss %.3f before, %.3f after, on folds not fitted to.",
        fitted.fitted_on,
        how,
        before,
        after,
    )


def _warn(refusal: Refusal) -> None:
    if refusal.quantile is None:
        log.warning(
            "%s: too few for sets at an error rate of %g, so each set holds every label.",
            plural(refusal.units, refusal.over.removesuffix("s")).capitalize(),
            refusal.alpha,
        )
    if refusal.threshold is None:
        log.warning(
            "No threshold keeps the errors among the answered to %g, so nothing is answered: "
            "raise calibration.abstain_error.",
            refusal.at_error,
        )


def _extra(calibration: Calibration, refusal: Refusal | None, reason: str) -> dict[str, Any]:
    return {
        "calibration": calibration.to_dict(),
        "refusal": None if refusal is None else refusal.to_dict(),
        "refusal_reason": reason,
    }
