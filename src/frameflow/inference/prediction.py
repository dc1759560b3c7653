"""What a recognizer says of one video."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frameflow.errors import VideoError
from frameflow.evaluation.metrics import rank
from frameflow.evaluation.multilabel import THRESHOLD


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Prediction:
    """What a recognizer says of one video.

    Attributes:
        video: the path as it was given.
        label: the likeliest label.
        probability: its probability.
        topk: the likeliest labels and their probabilities, likeliest first.
        probabilities: ``(K,)`` float32, in the order of ``labels``.
        labels: the K labels of the model.
        views: how many clips of the video were averaged.
        multilabel: each label has a probability of its own, and any number may be `present`.
        set: the labels among which the true one is at the rate of the recipe's
            ``calibration.alpha``, likeliest first; None where the model has no such sets.
        abstained: the model had better not answer: it may well be none of its labels.
    """

    video: str
    label: str
    probability: float
    topk: list[tuple[str, float]]
    probabilities: np.ndarray
    labels: tuple[str, ...]
    views: int = 1
    multilabel: bool = False
    set: tuple[str, ...] | None = None
    abstained: bool = False

    @property
    def present(self) -> list[str]:
        """In multi-label the labels whose probability is above 0.5, likeliest first."""
        if not self.multilabel:
            return [self.label]
        order = rank(self.probabilities[None])[0]
        return [self.labels[i] for i in order if self.probabilities[i] > THRESHOLD]

    def __repr__(self) -> str:
        ranked = ", ".join(f"{label} {share:.3f}" for label, share in self.topk)
        return f"Prediction({self.video!r}: {ranked})"

    def _repr_html_(self) -> str:
        """How a notebook shows it: the clip as a small animation, and bars."""
        from frameflow.inference._notebook import notebook_html

        return notebook_html(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the video with the labels drawn on it.

        Args:
            path: ending in .gif, .mp4 (or another video's), or .png or .jpg for a contact sheet.

        Raises:
            UsageError: another ending.
            VideoError: the video cannot be read any more.
            FrameFlowError: the file cannot be written.
        """
        from frameflow.inference.show import write_shown

        write_shown(Path(path), self)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, without the probabilities beyond the top k.

        In multi-label ``present`` lists the labels whose probability is above 0.5. Where the model
        has prediction sets, ``set`` is that of the video, and ``abstained`` says whether it had
        better not answer; ``label`` is the likeliest one even then.
        """
        refusal = {} if self.set is None else {"set": list(self.set), "abstained": self.abstained}
        return {
            "video": self.video,
            **({"present": self.present} if self.multilabel else {}),
            "label": self.label,
            "probability": self.probability,
            "topk": [{"label": label, "probability": share} for label, share in self.topk],
            **refusal,
            "views": self.views,
        }


Result = Prediction | VideoError
