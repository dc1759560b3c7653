"""From the labels of samples to the targets that a loss takes."""

from collections.abc import Sequence

import numpy as np

from frameflow.data.labels import label_matrix
from frameflow.data.manifest import Sample
from frameflow.errors import UsageError, listing, near_names


def targets_of(
    samples: Sequence[Sample], labels: Sequence[str], multilabel: bool = False
) -> np.ndarray:
    """What each sample should be recognised as.

    Args:
        samples: labelled ones.
        labels: the K labels of the model, in the order of its logits.
        multilabel: a label cell holds several, joined by ``|``.

    Returns:
        ``(N,)`` int64, the number of each sample's label; with ``multilabel`` ``(N, K)`` float32,
        1 for each label that a sample has and 0 for the others.

    Raises:
        UsageError: a sample has no label, or one that is none of ``labels``.

    Example:
        >>> clips = [Sample("1.mp4", "run"), Sample("2.mp4", "run|wave")]
        >>> targets_of(clips[:1], ["run", "wave"]).tolist()
        [0]
        >>> targets_of(clips, ["run", "wave"], multilabel=True).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    without = [sample.video for sample in samples if not sample.label]
    if without:
        raise UsageError(
            f"{len(without)} samples have no label ({listing(without, most=3)}): "
            "fill their label column, or leave them out."
        )
    if multilabel:
        return label_matrix(samples, labels).astype(np.float32)
    numbers = {label: number for number, label in enumerate(labels)}
    for sample in samples:
        if sample.label not in numbers:
            raise UsageError(
                f"{sample.video} is labelled {sample.label!r}."
                f"{near_names(sample.label, labels)} The labels are {listing(labels, most=8)}."
            )
    return np.array([numbers[sample.label] for sample in samples], dtype=np.int64)
