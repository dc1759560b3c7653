"""A decoded frame becomes an RGB array: colour, size and orientation.

Colour and size are FFmpeg's own (swscale). 8-bit frames in their own size equal what the
``ffmpeg`` command gives for ``-pix_fmt rgb24`` to the bit. Where chroma has to be interpolated
(another size, 10 bits) it is placed where the file says, which the command does only when told
so: ``-vf scale=in_h_chr_pos=0:in_v_chr_pos=128`` for H.264 then gives the same.
"""

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from frameflow.errors import UsageError

if TYPE_CHECKING:
    from av.filter import Graph
    from av.video.frame import VideoFrame

Interpolation = Literal["bilinear", "bicubic", "area"]
Pixels = NDArray[np.uint8]

# (quarter turns counter-clockwise, then mirrored left to right)
Orientation = tuple[int, bool]
UPRIGHT: Orientation = (0, False)


def check_size(
    size: tuple[int, int] | None, short_side: int | None, interpolation: Interpolation
) -> None:
    """Refuse sizes that no frame can have.

    Raises:
        UsageError: with the given value and what is allowed.
    """
    if size is not None and short_side is not None:
        raise UsageError(f"Give size ({size}) or short_side ({short_side}), not both.")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise UsageError(f"size ({size}) must be (width, height), both at least 1 pixel.")
    if short_side is not None and short_side < 1:
        raise UsageError(f"short_side ({short_side}) must be at least 1 pixel.")
    if interpolation not in get_args(Interpolation):
        allowed = ", ".join(repr(name) for name in get_args(Interpolation))
        raise UsageError(f"interpolation ({interpolation!r}) must be one of {allowed}.")


def fitted_size(
    width: int, height: int, size: tuple[int, int] | None, short_side: int | None
) -> tuple[int, int]:
    """Width and height of what is returned for an upright frame of ``width`` x ``height``."""
    if size is not None:
        return size
    if short_side is None:
        return width, height
    if width <= height:
        return short_side, max(1, round(height * short_side / width))
    return max(1, round(width * short_side / height)), short_side


def orientation(frame: "VideoFrame") -> Orientation:
    """How the frame is to be turned before it is shown, from its display matrix."""
    from av.sidedata.sidedata import SideData, Type

    sides: Iterable[SideData] = frame.side_data  # type: ignore[assignment]  # wrong in PyAV's stub
    for side in sides:
        if side.type == Type.DISPLAYMATRIX:
            return _orientation(bytes(side))
    return UPRIGHT


def _orientation(matrix: bytes) -> Orientation:
    a, b, _, c, d = struct.unpack("<5i", matrix[:20])
    signs = tuple((v > 1 << 15) - (v < -(1 << 15)) for v in (a, b, c, d))
    return _ORIENTATIONS.get(signs, UPRIGHT)


# The matrix maps (x, y), y down, to (a x + c y, b x + d y); only right angles occur in practice.
_ORIENTATIONS: dict[tuple[int, ...], Orientation] = {
    (1, 0, 0, 1): (0, False),
    (0, 1, -1, 0): (3, False),
    (-1, 0, 0, -1): (2, False),
    (0, -1, 1, 0): (1, False),
    (-1, 0, 0, 1): (0, True),
    (1, 0, 0, -1): (2, True),
    (0, 1, 1, 0): (3, True),
    (0, -1, -1, 0): (1, True),
}


def turned(pixels: Pixels, how: Orientation) -> Pixels:
    """The pixels as they are shown."""
    quarters, mirrored = how
    pixels = np.rot90(pixels, quarters) if quarters else pixels
    return pixels[:, ::-1] if mirrored else pixels


class _Weave:
    """Marks interlaced frames as whole pictures, as the ``ffmpeg`` command treats them.

    Swscale would resize their two fields apart, and small frames would show combs.
    """

    def __init__(self) -> None:
        self._form: tuple[int, int, str] | None = None
        self._graph: Graph | None = None

    def __call__(self, frame: "VideoFrame") -> "VideoFrame":
        from av.filter import Graph

        form = (frame.width, frame.height, frame.format.name)
        if self._graph is None or form != self._form:
            self._form, self._graph = form, Graph()
            source = self._graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            progressive, sink = self._graph.add("setfield", "prog"), self._graph.add("buffersink")
            self._graph.link_nodes(source, progressive, sink).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


class Scaler:
    """Converts the frames of one video; all come out in one size."""

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        short_side: int | None = None,
        interpolation: Interpolation = "bilinear",
        threads: int = 1,
    ) -> None:
        from av.video.reformatter import Interpolation as Flags
        from av.video.reformatter import VideoReformatter

        self._ask = size, short_side
        self._flags = Flags[interpolation.upper()]
        self._threads = threads
        self._resize, self._convert = VideoReformatter(), VideoReformatter()
        self._weave = _Weave()
        self._orientation: Orientation = UPRIGHT
        self.size: tuple[int, int] | None = None  # width, height of what comes out

    def fix(self, width: int, height: int, how: Orientation = UPRIGHT) -> tuple[int, int]:
        """Settle the size that comes out, from the first frame's own; returns it."""
        if how[0] % 2:
            width, height = height, width
        self._orientation = how
        self.size = fitted_size(width, height, *self._ask)
        return self.size

    def __call__(self, frame: "VideoFrame") -> Pixels:
        """(H, W, 3) uint8; may be a view of FFmpeg's buffer, so copy what is kept."""
        if self.size is None:
            self.fix(frame.width, frame.height, orientation(frame))
        assert self.size is not None
        width, height = self.size if self._orientation[0] % 2 == 0 else self.size[::-1]
        if frame.interlaced_frame:
            frame = self._weave(frame)
        if (width, height) != (frame.width, frame.height):
            # Planes first: swscale resizes into them in half the time, with full chroma.
            frame = self._resize.reformat(
                frame,
                width=width,
                height=height,
                format="gbrp",
                interpolation=self._flags,
                threads=self._threads,
            )
        frame = self._convert.reformat(
            frame, format="rgb24", interpolation=self._flags, threads=self._threads
        )
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return turned(rows[:height, : 3 * width].reshape(height, width, 3), self._orientation)
