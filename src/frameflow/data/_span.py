"""Labelled stretches of videos, and what a file of them holds."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Span:
    """A labelled stretch of a video.

    Attributes:
        video: as the file names it; empty where it names none.
        start: seconds.
        end: seconds; as ``start`` for a moment.
        label: what it shows.
        place: the file and line (or annotation) it was read from, for messages.
    """

    video: str
    start: float
    end: float
    label: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class SpanFault:
    """One thing wrong with one span; ``message`` says the cure where there is one."""

    place: str
    message: str


@dataclass(slots=True)
class SpanFile:
    """What a file of spans holds."""

    path: Path
    spans: list[Span] = field(default_factory=list)
    faults: list[SpanFault] = field(default_factory=list)

    def add(self, place: str, video: str, start: float, end: float, label: str) -> None:
        """Keep a span, or the fault that it has no label."""
        if label.strip():
            self.spans.append(Span(video, start, end, label.strip(), place))
        else:
            self.fault(place, "the label is empty")

    def fault(self, place: str, message: str) -> None:
        """Note what is wrong at a place."""
        self.faults.append(SpanFault(place, message))
