"""The clips whose explanations a report shows."""

import logging
import time
from collections.abc import Mapping
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, UsageError
from frameflow.evaluation._report_clips import DOUBTS, MISTAKES, least_sure_hits
from frameflow.evaluation.predictions import Predictions
from frameflow.inference.explain import Explainer
from frameflow.pages.strips import SIDE, Strip

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)

PATIENCE = 30.0  # seconds after which a report goes without further explanations


def explain_shown(
    recognizer: "Recognizer", manifest: Manifest, predictions: Predictions
) -> dict[int, Strip]:
    """Overlay strips of the surest mistakes and the least sure hits, of what was answered.

    In multi-label of the surest wrong decisions, each of the label it is about.
    """
    if predictions.multilabel:
        slips = predictions.surest_slips(MISTAKES)
        answers = {row: predictions.labels[column] for row, column in reversed(slips)}
    else:
        # In turns, so that both are there where time runs out.
        mistakes = predictions.surest_mistakes(MISTAKES)
        turns = zip_longest(mistakes, least_sure_hits(predictions, DOUBTS))
        said = predictions.predicted
        answers = {row: said[row] for row in chain(*turns) if row is not None}
    samples = {row: (predictions.samples[row], label) for row, label in answers.items()}
    return explain_rows(recognizer, manifest, samples)


def explain_rows(
    recognizer: "Recognizer",
    manifest: Manifest,
    samples: Mapping[int, tuple[Sample, str]],
    *,
    patience: float = PATIENCE,
) -> dict[int, Strip]:
    """Overlay strips for a report. What cannot be explained is left out, and logged.

    Args:
        recognizer: of the run.
        manifest: finds the videos.
        samples: for each row the sample, and the label to explain.
        patience: seconds after which no further one is begun.

    Returns:
        The strips of those rows for which there is one.
    """
    found: dict[int, Strip] = {}
    began = time.monotonic()
    explainer = Explainer(recognizer, side=SIDE)
    for row, (sample, label) in samples.items():
        if time.monotonic() - began > patience:
            done = (len(found), len(samples))
            log.info("Explained %d of %d clips: the rest would take long.", *done)
            break
        try:
            path = manifest.path(sample)
            found[row] = explainer.explain(path, label=label, sample=sample).strip()
        except UsageError as error:  # so it is with every clip
            log.info("The report shows no explanations: %s", error)
            break
        except (FrameFlowError, OSError, ValueError, RuntimeError) as error:
            log.info("%s is not explained: %s", sample.video, error)
    return found
