"""What a run says of the labelled frames that it is not scored on, for the whole of each video."""

from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.data.manifest import Manifest
from frameflow.evaluation.frame_predictions import has_frames
from frameflow.evaluation.predictions import Predictions
from frameflow.inference._calibrated import calibrated
from frameflow.inference.predictor import average_views

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.models.recognizer import Recognizer


def other_frames(
    recognizer: "Recognizer",
    own: Manifest,
    *,
    split: str,
    views: int,
    engine: "EngineKind",
    store: Path | None,
) -> list[Predictions]:
    """The labelled frames of the splits beside the one that is scored.

    Where the test split is scored these are training and validation, so that a table of all
    frames takes no second look at the test; nothing is scored on them.

    Args:
        recognizer: as trained.
        own: the run's manifest, with all its splits.
        split: the one that is scored.
        views: clips averaged per sample.
        engine: what runs the backbone.
        store: of the features.

    Returns:
        One table, or none where no other split is labelled by frame.
    """
    from frameflow.features.extract import extract

    if split != "test" or not has_frames(own):
        return []
    rest = own.where(lambda s: s.split in ("train", "val") and s.frame is not None)
    if not len(rest):
        return []
    features = extract(
        rest,
        recognizer.recipe,
        purpose="test",
        engine=engine,
        store=store,
        backbones=recognizer.backbones(),
        views=views,
        max_bad=1.0,  # what cannot be read was counted by the training
    )
    shares = average_views(recognizer, features)
    several = recognizer.recipe.multilabel
    said = Predictions(features.samples, recognizer.labels, shares, multilabel=several)
    return [calibrated(recognizer, said)]
