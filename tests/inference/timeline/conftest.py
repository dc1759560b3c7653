"""Timelines made of numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frameflow.inference.timeline.compute import Timeline
from frameflow.inference.timeline.plan import WindowPlan


def timeline_of(
    probabilities: Any,
    *,
    labels: tuple[str, ...] | None = None,
    length: float = 2.0,
    stride: float = 1.0,
    multilabel: bool = False,
    abstained: Any = None,
    video: str = "match.mp4",
    ending: bool = False,
) -> Timeline:
    """Windows of 2 s, one each second; the letters name the labels."""
    shares = np.asarray(probabilities, dtype=np.float32)
    starts = np.arange(len(shares)) * stride
    return Timeline(
        video=video,
        labels=labels or tuple("abcdefgh"[: shares.shape[1]]),
        starts=starts,
        ends=starts + length,
        probabilities=shares,
        abstained=np.zeros(len(shares), bool) if abstained is None else np.asarray(abstained),
        duration=float(starts[-1] + length) if len(shares) else 1.0,
        rate=25.0,
        width=64,
        height=48,
        plan=WindowPlan(length, stride, 4.0, ending=ending),
        multilabel=multilabel,
    )


@pytest.fixture(scope="session")
def make_timeline() -> Callable[..., Timeline]:
    """``make_timeline(probabilities, labels=..., multilabel=...)``."""
    return timeline_of
