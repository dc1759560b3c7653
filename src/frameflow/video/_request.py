"""What is asked of a video."""

from dataclasses import dataclass, field
from typing import get_args

from frameflow.config import Fit, Sampling
from frameflow.errors import UsageError
from frameflow.video._scale import Interpolation
from frameflow.video.sample import check_pace
from frameflow.video.transform import target_size

# Frames that belong together: how many from one to the next, and how many there are.
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """Which clips of a sample are wanted, and in which size.

    Attributes:
        sampling: which frames make a clip.
        size: the side of a square or (width, height), px.
        fit: how a frame is brought to that size, see `frameflow.video.transform`.
        crops: along the long side, for ``fit="crops"`` only.
        views: clips at different moments.
        gaps: for each of them, pairs of frames so many frames apart are read too.
        stacks: for each of them, three frames in a row, so many frames apart, are read too.
        interpolation: how frames are resized.
        pace: dense, first: times the stride, around the same moment.
        follow: side of the square, as share of the short side, for ``fit="follow"`` only.

    Raises:
        UsageError: a value is out of range.
    """

    sampling: Sampling = field(default_factory=Sampling)
    size: int | tuple[int, int] = 224
    fit: Fit = "crop"
    crops: int = 3
    views: int = 1
    gaps: tuple[int, ...] = ()
    interpolation: Interpolation = "bilinear"
    stacks: tuple[int, ...] = ()
    pace: int = 1
    follow: float = 0.8

    def __post_init__(self) -> None:
        target_size(self.size)
        counts = [("crops", self.crops), ("views", self.views), ("pace", self.pace)]
        counts += [("gaps", gap) for gap in self.gaps]
        counts += [("stacks", gap) for gap in self.stacks]
        for name, value in counts:
            if value <= 0:
                raise UsageError(f"{name} ({value}) must be > 0")
        if not 0 < self.follow <= 1:
            raise UsageError(f"follow ({self.follow}) must be > 0 and <= 1")
        check_pace(self.sampling, self.pace)
        for name, choice, allowed in (
            ("fit", self.fit, get_args(Fit)),
            ("interpolation", self.interpolation, get_args(Interpolation)),
        ):
            if choice not in allowed:
                raise UsageError(f"{name} ({choice!r}) must be one of {', '.join(allowed)}")

    @property
    def total_views(self) -> int:
        """How many clips `read_clips` gives: moments times crops."""
        return self.views * (self.crops if self.fit == "crops" else 1)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The pairs and stacks that are read beside the frames."""
        return tuple(sorted({(gap, 2) for gap in self.gaps} | {(gap, 3) for gap in self.stacks}))

    @property
    def images(self) -> int:
        """M, how many images `Clip.pack` puts together."""
        return self.sampling.frames * (1 + sum(length for _, length in self.runs))
