"""Heads that learn from one fixed vector per clip: it is computed once, not every epoch."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frameflow.training.examples import MEMORY, ArrayFeatures, FeatureExamples

_CHUNK = 256


class Decider(nn.Module):
    """The learnt part of a head that ``summarises``: takes ``(B, 1, S)`` summaries, gives logits.

    It holds the head itself, so what it learns the head has learnt.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head: Any = head

    def forward(self, summaries: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        return self.head.decide(summaries.squeeze(1))


def summarised(
    head: nn.Module, training: FeatureExamples, validation: FeatureExamples | None
) -> tuple[FeatureExamples, FeatureExamples | None] | None:
    """The same examples as summaries; None where the head makes none or they need too much memory.

    Args:
        head: prepared (its standardisation is fitted).
        training: examples of features.
        validation: the same.
    """
    if not getattr(head, "summarises", False) or not len(training):
        return None
    features, mask = training.features.batch(training.rows[:1], training.views[:1])
    with torch.no_grad():
        width = _summaries(head, features, mask).shape[1]
    clips = len(training) * training.count + (0 if validation is None else len(validation))
    if 4 * width * clips > MEMORY:
        return None
    head.eval()
    return _of(head, training), None if validation is None else _of(head, validation)


def _of(head: nn.Module, examples: FeatureExamples) -> FeatureExamples:
    """One summary of every view of every example; a row keeps its target and its drawn views."""
    rows, place = np.unique(examples.rows, return_inverse=True)
    views = []
    for view in range(examples.count):
        parts = []
        for start in range(0, len(rows), _CHUNK):
            features, mask = examples.features.batch(rows[start : start + _CHUNK], view)
            parts.append(_summaries(head, features, mask))
        views.append(np.concatenate(parts))
    made = FeatureExamples(ArrayFeatures(np.stack(views)[:, :, None]), examples.targets, rows=place)
    made.views, made.taught = examples.views, examples.taught
    return made


@torch.no_grad()
def _summaries(head: Any, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(np.ascontiguousarray(features)).float()
    return head.summary(values, torch.from_numpy(np.ascontiguousarray(mask))).numpy()
