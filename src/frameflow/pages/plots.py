"""Plots as inline SVG: small, sharp at any size, coloured by the page's own CSS variables.

Each returns the text of one ``<svg>`` element that describes itself to a screen reader. All labels
are escaped. The page defines the classes ``accent``, ``wrong``, ``grid``, ``axis`` and ``quiet``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LETTER = 0.58  # mean width of a letter of the sans serif, in font sizes


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of a chart; None where there is no value.

    ``kind`` is the CSS class that colours it.
    """

    name: str
    values: Sequence[float | None]
    kind: str = "accent"


def curves(
    lines: Sequence[Line],
    *,
    title: str,
    steps: Sequence[float] | None = None,
    mark: tuple[float, str] | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """Lines over epochs.

    Args:
        lines: at most a few; all as long as ``steps``.
        title: what is drawn; also the accessible name.
        steps: the epochs; 1, 2, 3 ... where None.
        mark: an epoch to point out and a word for it.
        limits: of the values; from the data where None.
    """
    width, height, left, right, top, bottom = 480, 270, 44, 16, 40, 34
    count = max((len(line.values) for line in lines), default=0)
    steps = list(range(1, count + 1)) if steps is None else steps
    known = [v for line in lines for v in line.values if v is not None]
    low, high = limits or (min(known, default=0.0), max(known, default=1.0))
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = (steps[0], steps[-1]) if steps else (0, 1)

    def across(step: float) -> float:
        return left + (step - first) / ((last - first) or 1) * (width - left - right)

    def up(value: float) -> float:
        return height - bottom - (value - low) / ((high - low) or 1) * (height - top - bottom)

    parts = [
        _open(width, height, title),
        f'<text x="0" y="14" class="title">{escape(title)}</text>',
    ]
    for tick in ticks:
        y = up(tick)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(left - 7, y + 4, f"{tick:g}", "quiet", "end"))
    for step in sorted({first, *_whole(first, last), last}):
        parts.append(_text(across(step), height - bottom + 18, f"{step:g}", "quiet", "middle"))
    if mark is not None:
        x = across(mark[0])
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - bottom}"/>'
        )
        near = "start" if x < left + 30 else "end" if x > width - right - 30 else "middle"
        parts.append(_text(x, top - 6, mark[1], "quiet", near))
    place = float(width - right)
    for line in reversed(lines):
        parts.append(_text(place, 14, line.name, f"key {line.kind}", "end"))
        place -= len(line.name) * 13 * _LETTER + 14
        points = [(across(s), up(v)) for s, v in zip(steps, line.values) if v is not None]
        if len(points) == 1:
            x, y = points[0]
            parts.append(f'<circle class="dot {line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        elif points:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="line {line.kind}" points="{path}"/>')
    return "".join([*parts, "</svg>"])


def interval_bar(
    value: float,
    bounds: tuple[float, float] | None,
    *,
    chance: float | None,
    name: str = "Top-1",
    guess: str = "the most frequent class alone",
) -> str:
    """A figure from 0 to 1 with its interval, beside what guessing (``guess``) would reach."""
    width, height, left, right, line = 480, 62, 8, 8, 26

    def across(share: float) -> float:
        return left + share * (width - left - right)

    said = f"{value:.3f}" + (f", interval {bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "")
    parts = [
        _open(width, height, f"{name} on a scale from 0 to 1: {said}"),
        f'<line class="axis" x1="{left}" x2="{width - right}" y1="{line}" y2="{line}"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = across(tick)
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{line - 4}" y2="{line + 4}"/>'
        )
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        parts.append(_text(x, line + 28, f"{tick:g}", "quiet", anchor))
    if chance is not None:
        x = across(chance)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{line + 12}"/>')
        parts.append(f"<g><title>{escape(guess)}: {chance:.3f}</title>")
        parts.append(f'<rect x="{x - 5:.1f}" y="0" width="10" height="40" fill="transparent"/></g>')
    if bounds is not None:
        span = max(across(bounds[1]) - across(bounds[0]), 2)
        parts.append(
            f'<rect class="span accent" x="{across(bounds[0]):.1f}" y="{line - 7}" '
            f'width="{span:.1f}" height="14" rx="7"/>'
        )
    parts.append(f'<circle class="dot accent" cx="{across(value):.1f}" cy="{line}" r="8"/>')
    return "".join([*parts, "</svg>"])


def nice_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Round numbers that span ``low`` to ``high``.

    Example:
        >>> nice_ticks(0.13, 0.87)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / most
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * factor for factor in (1, 2, 2.5, 5, 10) if scale * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _whole(first: float, last: float) -> list[float]:
    """Whole epochs between the ends that do not crowd them."""
    ticks = nice_ticks(first, last)
    gap = (last - first) / 12
    return [t for t in ticks if t == int(t) and first + gap < t < last - gap]


def _open(width: float, height: float, said: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-size="13" role="img" aria-label="{escape(said)}">'
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
