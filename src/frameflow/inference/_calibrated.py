"""What the model saved of its calibration, and how that did on scored samples."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from frameflow.errors import UsageError
from frameflow.evaluation.abstain import Refusal, refusal_metrics
from frameflow.evaluation.calibration import Calibration
from frameflow.evaluation.predictions import Predictions
from frameflow.evaluation.reliability import reliability

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

_OLD = "The run was trained before its probabilities could be calibrated: train it again."


def calibration_of(recognizer: "Recognizer") -> Calibration:
    """The one saved with a model; of an older model one that changes nothing.

    Raises:
        UsageError: it is damaged.
    """
    classes, several = len(recognizer.labels), recognizer.recipe.multilabel
    saved = recognizer.extra.get("calibration")
    if saved is None:
        return Calibration.identity(classes, reason=_OLD, multilabel=several)
    found = Calibration.from_dict(saved)
    if len(found.scale) != classes:
        raise UsageError(
            f"The calibration saved with the model is for {len(found.scale)} classes, and the "
            f"model has {classes}. Copy the run folder again, or train again."
        )
    return found


def calibrated(recognizer: "Recognizer", said: Predictions) -> Predictions:
    """The predictions of a model with calibrated probabilities."""
    return replace(said, probabilities=calibration_of(recognizer).apply(said.probabilities))


def refusal_of(recognizer: "Recognizer") -> Refusal | None:
    """The prediction sets and the threshold saved with a model, where it has any.

    Raises:
        UsageError: they are damaged.
    """
    saved = recognizer.extra.get("refusal")
    return None if saved is None else Refusal.from_dict(saved)


def calibration_figures(
    recognizer: "Recognizer", said: Predictions, calibrated: Predictions
) -> dict[str, Any]:
    """``calibration``, ``refusal`` and ``refusal_reason`` of ``metrics.json``.

    Args:
        recognizer: the model.
        said: what it says itself.
        calibrated: what its calibration makes of that.
    """
    calibration, refusal = calibration_of(recognizer), refusal_of(recognizer)
    figures: dict[str, Any] = {
        "calibration": calibration.to_dict()
        | {"before": _reliability(said), "after": _reliability(calibrated)},
        "refusal": None,
        "refusal_reason": recognizer.extra.get("refusal_reason", _OLD),
    }
    if refusal is not None:
        settings = recognizer.recipe.evaluation
        figures["refusal"] = refusal_metrics(
            refusal,
            calibrated.truth,
            calibrated.probabilities,
            groups=[sample.group for sample in calibrated.samples],
            draws=settings.resamples,
            confidence=settings.confidence,
            seed=recognizer.recipe.train.seed,
        )
    return figures


def _reliability(found: Predictions) -> dict[str, Any]:
    if found.multilabel:
        return reliability(found.targets, found.probabilities)
    top1 = float((found.probabilities.argmax(axis=1) == found.truth).mean())
    return {"top1": top1, **reliability(found.truth, found.probabilities)}
