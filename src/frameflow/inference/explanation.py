"""What speaks for a label in a clip: as arrays, in words, and drawn over the frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frameflow.errors import UsageError
from frameflow.inference._overlay import bars, blend
from frameflow.inference.predictor import Source
from frameflow.pages.strips import FRAMES, Strip, strip_of

_SLOWEST, _FASTEST = 2.0, 25.0  # frames per second of what is written
_ENDINGS = (".gif", ".mp4", ".mov", ".mkv", ".webm")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Explanation:
    """What speaks for a label in one clip of a video.

    Attributes:
        video: the path as it was given.
        label: what is explained.
        probability: of that label, in this clip alone.
        predicted: the likeliest label of this clip.
        frames: ``(T, H, W, 3)`` uint8, the whole picture, without the frames that are padding.
        seconds: ``(T,)`` when each frame is shown.
        maps: ``(T, H, W)`` float32 from 0 to 1, how much each place speaks for the label; 1 for
            the strongest places of the whole clip, so frames can be compared.
        attention: ``(T,)`` how much the head looks at each frame, together 1; None where it has
            no attention.
        streams: for each stream what it looks at, and its share of all that speaks for the label.
    """

    video: str
    label: str
    probability: float
    predicted: str
    frames: np.ndarray
    seconds: np.ndarray
    maps: np.ndarray
    attention: np.ndarray | None
    streams: tuple[tuple[str, float], ...]

    def __repr__(self) -> str:
        return f"Explanation({self.video!r}: {self.label} {self.probability:.3f})"

    def describe(self) -> str:
        """What is explained, and what it comes from, in a line or two."""
        said = f"{self.video}: {self.label} {self.probability:.3f}"
        if self.label != self.predicted:
            said += f" (the run says {self.predicted})"
        if len(self.streams) > 1:
            parts = ", ".join(f"{name} {share:.0%}" for name, share in self.streams)
            said += f"\nWhat speaks for it is seen in: {parts}."
        if self.attention is not None:
            most = int(self.attention.argmax())
            said += f"\nThe head looks most at {self.seconds[most]:.2f} s"
            said += f" ({self.attention[most]:.0%} of its attention)."
        return said

    def overlay(self, *, attention: bool = True) -> np.ndarray:
        """``(T, H, W, 3)`` uint8: the maps drawn over the frames.

        Args:
            attention: under each frame bars of the attention, where there is any.
        """
        drawn = blend(self.frames, self.maps)
        if self.attention is None or not attention:
            return drawn
        under = bars(self.attention, (drawn.shape[2], drawn.shape[1]))
        return np.concatenate([drawn, under], axis=1)

    def strip(self, frames: int = FRAMES) -> Strip:
        """The overlay as a small strip for a page."""
        count = len(self.frames)
        return strip_of(self.overlay()[np.linspace(0, count - 1, min(frames, count)).astype(int)])

    @property
    def rate(self) -> float:
        """Frames per second, so that it plays about as fast as the video."""
        if len(self.seconds) < 2 or self.seconds[-1] <= self.seconds[0]:
            return _SLOWEST
        own = (len(self.seconds) - 1) / float(self.seconds[-1] - self.seconds[0])
        return min(max(own, _SLOWEST), _FASTEST)

    def write(self, path: Source) -> None:
        """Write the overlay as a GIF or as a video, whichever the ending says.

        Raises:
            UsageError: another ending.
            FrameFlowError: the file cannot be written.
        """
        from frameflow.video.write import write_gif, write_video

        check_ending(path)
        if Path(path).suffix.lower() == ".gif":
            write_gif(path, self.overlay(), rate=self.rate, width=None, colours=256)
        else:
            write_video(path, self.overlay(), rate=self.rate)


def check_ending(path: Source) -> None:
    """Refuse a file that `Explanation.write` cannot write.

    Raises:
        UsageError: its ending is none of those known, or its folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path} must end in one of {', '.join(_ENDINGS)}.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} to write {path.name} into.")
