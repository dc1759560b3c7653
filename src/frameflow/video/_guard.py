"""Limits that a process sets itself before it opens files from strangers.

Where none are set, any file that FFmpeg reads is read. They are checked before anything is
decoded: what the container states first, then what its packets say.
"""

from dataclasses import dataclass
from os import PathLike

from frameflow.errors import VideoError


class OverLimit(VideoError):
    """A video is more than this process may read; ``limit`` names the field of `Guard`."""

    def __init__(self, path: str | PathLike[str], reason: str, limit: str) -> None:
        super().__init__(path, reason)
        self.limit = limit

    def __reduce__(self) -> tuple[type["OverLimit"], tuple[str, str, str]]:  # type: ignore[override]
        return OverLimit, (self.path, self.reason, self.limit)


@dataclass(frozen=True, slots=True)
class Guard:
    """What this process may open.

    Attributes:
        formats: FFmpeg's names of the containers. Others are not even tried: some are lists of
            further files and addresses, which a stranger must not choose.
        pixels: of a frame, width times height.
        side: the longer side of a frame, pixels.
        streams: of a file.
        frames: of a video.
        seconds: from the first frame to the last.
    """

    formats: tuple[str, ...]
    pixels: int
    side: int
    streams: int
    frames: int
    seconds: float

    def options(self) -> dict[str, str]:
        """For FFmpeg: one local file, nothing that it names, and a bounded first look at it."""
        return {
            "protocol_whitelist": "file",
            "format_whitelist": ",".join(self.formats),
            "enable_drefs": "0",
            "use_absolute_path": "0",
            "max_streams": str(self.streams + 1),
            "max_pixels": str(self.pixels),
            "probesize": str(5 << 20),
            "analyzeduration": str(10_000_000),  # microseconds
        }

    def check_streams(self, path: str | PathLike[str], streams: int) -> None:
        """Refuse a file of too many streams."""
        if streams > self.streams:
            raise OverLimit(path, f"has more than {self.streams} streams", "streams")

    def check_size(self, path: str | PathLike[str], width: int, height: int) -> None:
        """Refuse frames that are too large."""
        if width * height > self.pixels or max(width, height) > self.side:
            most = f"more than {self.pixels:,} in all or {self.side:,} on a side"
            raise OverLimit(path, f"has frames of {width} x {height} pixels, {most}", "pixels")

    def check_length(self, path: str | PathLike[str], frames: int, seconds: float) -> None:
        """Refuse a video that is too long, whatever it says of itself."""
        if frames > self.frames:
            raise OverLimit(path, f"has more than {self.frames:,} frames", "frames")
        if seconds > self.seconds:
            raise OverLimit(path, f"lasts longer than {self.seconds:g} seconds", "seconds")


_guard: Guard | None = None


def set_guard(guard: Guard | None) -> None:
    """Limit what this process opens from now on; None lifts the limits."""
    global _guard
    _guard = guard


def current_guard() -> Guard | None:
    """The limits of this process."""
    return _guard
