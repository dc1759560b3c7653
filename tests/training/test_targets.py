"""Targets of one label a sample, and of several."""

import numpy as np
import pytest

from frameflow.data.manifest import Sample
from frameflow.errors import UsageError
from frameflow.training.targets import targets_of

LABELS = ["jump", "run", "wave"]


def test_one_label() -> None:
    found = targets_of([Sample("a.mp4", "wave"), Sample("b.mp4", "jump")], LABELS)
    assert found.dtype == np.int64
    assert found.tolist() == [2, 0]
    assert targets_of([], LABELS).shape == (0,)


def test_several_labels() -> None:
    samples = [Sample("a.mp4", "wave|run"), Sample("b.mp4", "none")]
    found = targets_of(samples, LABELS, multilabel=True)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert targets_of([], LABELS, multilabel=True).shape == (0, 3)


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_label_that_is_not_known_or_not_there(multilabel: bool) -> None:
    with pytest.raises(UsageError, match=r"a.mp4 is labelled 'wve'\. Did you mean 'wave'\?"):
        targets_of([Sample("a.mp4", "wve")], LABELS, multilabel=multilabel)
    with pytest.raises(UsageError, match=r"1 samples have no label \(a.mp4\)"):
        targets_of([Sample("a.mp4")], LABELS, multilabel=multilabel)
