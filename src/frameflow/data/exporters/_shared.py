"""What all exporters share."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError


class VideoFacts(NamedTuple):
    """What some forms need to know of a video."""

    seconds: float
    rate: float  # frames per second


Facts = Callable[[Path], VideoFacts]


def has_span(sample: Sample) -> bool:
    """Whether a sample is a part of its video."""
    return sample.start is not None or sample.end is not None


def refuse_parts(manifest: Manifest, form: str, *, spans: bool, frames: bool = False) -> None:
    """Refuse what a form cannot hold.

    Raises:
        UsageError: with the count and what to do.
    """
    count = sum(has_span(sample) for sample in manifest)
    if count and not spans:
        raise UsageError(
            f"{count:,} samples are spans, which {form} cannot hold: it names whole videos."
        )
    count = sum(sample.frame is not None for sample in manifest)
    if count and not frames:
        raise UsageError(f"{count:,} samples are single frames, which {form} cannot hold.")


def numbered(labels: list[str]) -> dict[str, int]:
    """The number of each label, from 0, in the order of the names."""
    return {label: number for number, label in enumerate(labels)}
