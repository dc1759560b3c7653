"""What a run says of the samples of a manifest, from stored features."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing
from frameflow.inference.predictor import (
    EngineKind,
    Source,
    average_views,
    load_recognizer,
    run_folder,
)

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer


class Said(NamedTuple):
    """Probabilities of samples.

    Attributes:
        keys: of the N readable samples in the store, in manifest order: what a sample shows, under
            whatever path it stands.
        probabilities: ``(N, K)`` float32 as the model says them, not calibrated, the mean over
            the views.
        labels: the K labels, in the order of the probabilities.
    """

    keys: list[str]
    probabilities: np.ndarray
    labels: tuple[str, ...]

    def of(self, labels: tuple[str, ...]) -> np.ndarray:
        """``(N, K)`` with the columns in the order of ``labels``.

        Raises:
            UsageError: they are other labels.
        """
        if set(labels) != set(self.labels) or len(labels) != len(self.labels):
            only = listing(sorted(set(self.labels) ^ set(labels)) or list(labels), most=5)
            raise UsageError(f"The labels differ: not both know {only}.")
        return self.probabilities[:, [self.labels.index(label) for label in labels]]


def teacher_probabilities(
    run: Source,
    manifest: Manifest,
    *,
    engine: EngineKind = "auto",
    views: int | None = None,
) -> Said:
    """What a run, or an ensemble of runs, says of the samples of a manifest.

    Features are taken from the store and computed where they are not there yet. Whether the run
    has learnt from these very samples is for the caller to ask.

    Args:
        run: the folder of a run.
        manifest: of any samples, labelled or not; unreadable ones are left out.
        engine: what runs the backbone.
        views: clips averaged per sample; the run's ``views.test`` where None.

    Raises:
        UsageError: no such run.
        FrameFlowError: no sample can be read.
    """
    from frameflow.features.quarantine import sample_keys

    recognizer = load_recognizer(run_folder(run))
    samples, shares = shares_of(recognizer, manifest, engine=engine, views=views)
    keys, _ = sample_keys(manifest)
    known = {id(manifest[index]): key for index, key in keys.items()}
    return Said([known[id(sample)] for sample in samples], shares, tuple(recognizer.labels))


def shares_of(
    recognizer: "Recognizer", manifest: Manifest, *, engine: EngineKind, views: int | None
) -> tuple[list[Sample], np.ndarray]:
    """The readable samples of a manifest and their ``(N, K)`` probabilities, not calibrated.

    The arguments are those of `teacher_probabilities`, with a recognizer that is loaded.
    """
    from frameflow.features.extract import extract

    with ExitStack() as stack:
        store: Path | None = None
        if recognizer.recipe.way != "frozen":  # features of a backbone that learnt are not kept
            store = Path(stack.enter_context(TemporaryDirectory(prefix="frameflow-")))
        features = extract(
            manifest,
            recognizer.recipe,
            purpose="test",
            engine=engine,
            store=store,
            backbones=recognizer.backbones(),
            views=views,
            max_bad=1.0,
        )
        return features.samples, average_views(recognizer, features)
