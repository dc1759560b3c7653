"""One row of a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the frame, in shares of its width and height from the top left corner."""

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A video, a span of one, or the frames that end at one, with a label or none.

    Attributes:
        video: the path as the manifest writes it: relative to the manifest's root, or absolute.
        label: the empty string means unlabelled.
        split: ``"train"``, ``"val"``, ``"test"`` or the empty string.
        group: what must not stand in two splits (scene, source video, actor); empty if unknown.
        start: begin of the span in seconds; None is the start of the video.
        end: end of the span in seconds; None is the end of the video.
        frame: the frame at which the clip ends: an index, or a file name in a frame folder.
        fold: the fold in which the sample is tested, from 0.
        region: what to look at; None is the whole frame.
        extra: the further columns, by name.
        row: the row of the file the sample came from (the header is row 1), 0 if from none.
    """

    video: str
    label: str = ""
    split: str = ""
    group: str = ""
    start: float | None = None
    end: float | None = None
    frame: str | None = None
    fold: int | None = None
    region: Region | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    row: int = field(default=0, compare=False)
