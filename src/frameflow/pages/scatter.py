"""Dots over a range, and a surface over two, as inline SVG; see `plots`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from frameflow.pages.plots import nice_ticks

_WIDTH, _HEIGHT = 480, 280
_MANY = 60  # dots: beyond these they are smaller
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 34, 44


@dataclass(frozen=True, slots=True)
class Dot:
    """One dot: where it is, what its tooltip says, the CSS class that colours it, and how much."""

    x: float
    y: float
    said: str
    kind: str = "accent"
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale.

    Attributes:
        name: under or beside it.
        low: its least value.
        high: its greatest.
        log: equal steps are factors.
        names: of the places 0, 1, 2 ... where the values are none.
    """

    name: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.log:
            return math.log(value / self.low) / (math.log(self.high / self.low) or 1)
        return (value - self.low) / ((self.high - self.low) or 1)

    def ticks(self) -> list[tuple[float, str]]:
        """(value, words) inside the scale."""
        if self.names:
            return [(float(place), name) for place, name in enumerate(self.names)]
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            step = max(1, math.ceil((last - first + 1) / 6))
            found = [10.0**power for power in range(first, last + 1, step)]
            return [(value, f"{value:g}") for value in found or [self.low, self.high]]
        inside = [t for t in nice_ticks(self.low, self.high) if self.low <= t <= self.high]
        return [(tick, f"{tick:g}") for tick in inside]


def scatter(
    dots: Sequence[Dot], x: Axis, y: Axis, *, title: str, line: Sequence[tuple[float, float]] = ()
) -> str:
    """Dots on two scales, and a line through others (the best so far)."""
    parts = [*_frame(x, y, title)]
    if len(line) > 1:
        path = " ".join(f"{_across(x, a):.1f},{_up(y, b):.1f}" for a, b in line)
        parts.append(f'<polyline class="line second" points="{path}"/>')
    radius = 4 if len(dots) <= _MANY else 3
    for dot in sorted(dots, key=lambda dot: not dot.faint):
        faint = ' fill-opacity="0.45"' if dot.faint else ""
        parts.append(
            f'<circle class="dot {dot.kind}" cx="{_across(x, dot.x):.1f}" '
            f'cy="{_up(y, dot.y):.1f}" r="{radius}"{faint}><title>{escape(dot.said)}</title>'
            f"</circle>"
        )
    return "".join([*parts, "</svg>"])


def surface(
    values: np.ndarray, dots: Sequence[Dot], x: Axis, y: Axis, *, title: str, unit: str
) -> str:
    """A value over two scales as shades, with the dots that it was fitted to.

    Args:
        values: ``(rows, columns)``, the first row at the low end of ``y``.
        dots: where it is known.
        x: from the left to the right.
        y: from below to above.
        title: what is drawn.
        unit: what the shades mean.
    """
    low, high = float(values.min()), float(values.max())
    rows, columns = values.shape
    # Edges are rounded, not widths: no seam is left between shades.
    across = np.linspace(_LEFT, _WIDTH - _RIGHT, columns + 1).round(1)
    up = np.linspace(_HEIGHT - _BOTTOM, _TOP, rows + 1).round(1)
    said = f"{title}: {unit} from {low:.3f} (faint) to {high:.3f} (strong)"
    parts = [*_frame(x, y, said, shown=title)]
    for row in range(rows):
        for column in range(columns):
            share = (values[row, column] - low) / ((high - low) or 1)
            parts.append(
                f'<rect fill="var(--accent)" fill-opacity="{0.04 + 0.8 * share:.2f}" stroke="none" '
                f'x="{across[column]:.1f}" y="{up[row + 1]:.1f}" '
                f'width="{across[column + 1] - across[column]:.1f}" '
                f'height="{up[row] - up[row + 1]:.1f}" shape-rendering="crispEdges"/>'
            )
    for dot in dots:
        parts.append(
            f'<circle fill="var(--sheet)" stroke="var(--ink)" cx="{_across(x, dot.x):.1f}" '
            f'cy="{_up(y, dot.y):.1f}" r="4">'
            f"<title>{escape(dot.said)}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def _across(axis: Axis, value: float) -> float:
    return _LEFT + axis.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _up(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.share(value) * (_HEIGHT - _TOP - _BOTTOM)


def _frame(x: Axis, y: Axis, said: str, *, shown: str = "") -> list[str]:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-size="13" role="img" aria-label="{escape(said)}">',
        f'<text x="0" y="14" class="title">{escape(shown or said)}</text>',
        f'<text class="quiet" x="{(_LEFT + _WIDTH - _RIGHT) / 2:.1f}" y="{_HEIGHT - 6}" '
        f'text-anchor="middle">{escape(x.name)}</text>',
    ]
    for value, words in y.ticks():
        up = _up(y, value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>'
            f'<text class="quiet" x="{_LEFT - 7}" y="{up + 4:.1f}" text-anchor="end">'
            f"{escape(words)}</text>"
        )
    for value, words in x.ticks():
        parts.append(
            f'<text class="quiet" x="{_across(x, value):.1f}" y="{_HEIGHT - _BOTTOM + 18}" '
            f'text-anchor="middle">{escape(words)}</text>'
        )
    return parts
