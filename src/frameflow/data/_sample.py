"""One row of a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")
SEPARATOR = "|"
NONE = "none"


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
        label: the empty string means unlabelled. In a multi-label recipe several labels are joined
            by ``|``, and ``none`` by itself says that none of them applies.
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

    @property
    def labels(self) -> tuple[str, ...]:
        """The label cell as a multi-label recipe reads it: each label once, in the order written.

        Empty for an unlabelled sample, and for one that is labelled ``none``.

        Example:
            >>> Sample("1.mp4", "run | wave").labels
            ('run', 'wave')
        """
        names = [name.strip() for name in self.label.split(SEPARATOR)]
        return tuple(dict.fromkeys(name for name in names if name and name != NONE))

    def label_names(self, *, multilabel: bool = False) -> tuple[str, ...]:
        """`labels` in a multi-label recipe; else the one label, or nothing where there is none."""
        if multilabel:
            return self.labels
        return (self.label,) if self.label else ()

    def strata(self, *, multilabel: bool = False) -> tuple[str, ...]:
        """What the sample counts as in tables and splits: its labels, ``none`` or ``""``."""
        names = self.label_names(multilabel=multilabel)
        return names or (NONE if self.label else "",)
