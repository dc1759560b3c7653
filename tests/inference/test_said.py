"""What a run says of samples, for those who learn from it or weigh it."""

from pathlib import Path

import numpy as np
import pytest

from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.features.quarantine import sample_keys
from frameflow.inference.predictor import load
from frameflow.inference.said import teacher_probabilities

pytestmark = pytest.mark.usefixtures("_one_thread")


def test_it_says_what_predictions_say_but_for_the_calibration(run: Path) -> None:
    manifest = Manifest.read(run / "manifest.csv").split("val")
    said = teacher_probabilities(run, manifest, engine="torch")
    assert said.keys == list(sample_keys(manifest)[0].values())
    predictor = load(run, engine="torch")
    for sample, row in zip(manifest, said.probabilities):
        own = predictor.predict(manifest.path(sample)).probabilities
        np.testing.assert_allclose(row, own, atol=1e-6)
    turned = said.of(said.labels[::-1])
    np.testing.assert_array_equal(turned, said.probabilities[:, ::-1])
    with pytest.raises(UsageError, match="not both know"):
        said.of((*said.labels[1:], "other"))


def test_what_cannot_be_read_is_left_out(run: Path) -> None:
    manifest = Manifest.read(run / "manifest.csv").split("val")
    manifest.path(manifest[0]).write_bytes(b"no video")
    said = teacher_probabilities(run, manifest, engine="torch")
    assert len(said.keys) == len(said.probabilities) == len(manifest) - 1
