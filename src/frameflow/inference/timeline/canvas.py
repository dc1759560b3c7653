"""Two papers to draw the same picture on: SVG, and pixels."""

from collections.abc import Sequence
from html import escape
from typing import Literal, Protocol

import numpy as np

from frameflow.inference.timeline.elan import one_line
from frameflow.video._font import line_height, text_mask

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

_SHARP = 2  # pixels of the image for each of the picture's
_BASELINE = 0.36  # of the letters' size, from the middle of a line of text to where they stand


class Canvas(Protocol):
    """What a picture is drawn on, in px from the top left."""

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str,
        *,
        opacity: float = 1.0,
        note: str = "",
    ) -> None:
        """A filled rectangle; ``note`` is what a pointer over it reads."""

    def area(self, points: Sequence[Point], colour: str, *, opacity: float = 1.0) -> None:
        """A filled polygon."""

    def text(
        self, x: float, y: float, text: str, *, size: int, colour: str, anchor: Anchor = "start"
    ) -> None:
        """One line of text; ``y`` is its middle."""


class SvgCanvas:
    """Collects elements of an SVG picture."""

    def __init__(self, width: int, height: int, *, paper: str, title: str) -> None:
        said = escape(one_line(title))
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="{said}" '
            'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, '
            'sans-serif">',
            f"<title>{said}</title>",
        ]
        self.box(0, 0, width, height, paper)

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, *,
        opacity: float = 1.0, note: str = "",
    ) -> None:  # fmt: skip
        """See `Canvas.box`."""
        inside = f"<title>{escape(one_line(note))}</title></rect>" if note else "</rect>"
        self._parts.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
            f'fill="{colour}"{_faint(opacity)}>{inside}'
        )

    def area(self, points: Sequence[Point], colour: str, *, opacity: float = 1.0) -> None:
        """See `Canvas.area`."""
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polygon points="{line}" fill="{colour}"{_faint(opacity)}/>')

    def text(
        self, x: float, y: float, text: str, *, size: int, colour: str, anchor: Anchor = "start"
    ) -> None:
        """See `Canvas.text`."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y + _BASELINE * size:.1f}" font-size="{size}" '
            f'fill="{colour}" text-anchor="{anchor}">{escape(one_line(text))}</text>'
        )

    def finish(self) -> str:
        """The text of the file."""
        return "\n".join([*self._parts, "</svg>\n"])


class PixelCanvas:
    """Draws into an image, twice as fine as the numbers say."""

    def __init__(self, width: int, height: int, *, paper: str) -> None:
        from PIL import Image

        self._image = Image.new("RGB", (width * _SHARP, height * _SHARP), paper)

    def box(
        self, x: float, y: float, width: float, height: float, colour: str, *,
        opacity: float = 1.0, note: str = "",  # noqa: ARG002
    ) -> None:  # fmt: skip
        """See `Canvas.box`; an image has no notes."""
        left, top = round(x * _SHARP), round(y * _SHARP)
        right = max(left + 1, round((x + width) * _SHARP))
        self._fill([left, top, right, max(top + 1, round((y + height) * _SHARP))], colour, opacity)

    def _fill(self, box: list[int], colour: str, opacity: float) -> None:
        from PIL import Image

        left, top, right, bottom = box
        part = Image.new("L", (right - left, bottom - top), round(255 * opacity))
        self._image.paste(_rgb(colour), (left, top), part)

    def area(self, points: Sequence[Point], colour: str, *, opacity: float = 1.0) -> None:
        """See `Canvas.area`."""
        from PIL import Image, ImageDraw

        across, down = ([point[side] * _SHARP for point in points] for side in (0, 1))
        left, top = int(min(across)), int(min(down))
        size = (int(max(across)) - left + 2, int(max(down)) - top + 2)
        part = Image.new("L", size)
        shifted = [(x - left, y - top) for x, y in zip(across, down)]
        ImageDraw.Draw(part).polygon(shifted, fill=round(255 * opacity))
        self._image.paste(_rgb(colour), (left, top), part)

    def text(
        self, x: float, y: float, text: str, *, size: int, colour: str, anchor: Anchor = "start"
    ) -> None:
        """See `Canvas.text`."""
        from PIL import Image

        mask = text_mask(one_line(text), size * _SHARP)
        if not mask.size:
            return
        width = mask.shape[1]
        left = x * _SHARP - {"start": 0, "middle": width / 2, "end": width}[anchor]
        top = y * _SHARP - line_height(size * _SHARP) / 2
        self._image.paste(_rgb(colour), (round(left), round(top)), Image.fromarray(mask))

    def finish(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return np.array(self._image)


def _faint(opacity: float) -> str:
    return "" if opacity >= 1 else f' fill-opacity="{opacity:g}"'


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
