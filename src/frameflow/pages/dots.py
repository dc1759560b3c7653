"""Distributions beside each other, a dot for each value, as inline SVG; see `plots`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from frameflow.pages.plots import nice_ticks


@dataclass(frozen=True, slots=True)
class Column:
    """One distribution.

    Attributes:
        name: under the dots.
        points: a tooltip and a value from 0 to 1 for each.
        mean: drawn as a line.
        kind: the CSS class that colours it.
        bounds: an interval drawn behind the dots, or None.
    """

    name: str
    points: Sequence[tuple[str, float]]
    mean: float
    kind: str
    bounds: tuple[float, float] | None


def dots(columns: Sequence[Column], *, title: str) -> str:
    """Columns of dots on one scale; equal values lie beside each other."""
    width, height, left, right, top, bottom = 480, 320, 44, 8, 34, 34
    values = [value for column in columns for _, value in column.points]
    values += [end for column in columns for end in column.bounds or ()]
    ticks = nice_ticks(min(values), max(values))
    low, high = max(0.0, ticks[0]), min(1.0, ticks[-1])
    low, high = (low, high) if high > low else (0.0, 1.0)
    room = (width - left - right) / len(columns)

    def up(value: float) -> float:
        return height - bottom - (value - low) / (high - low) * (height - top - bottom)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13" '
        f'role="img" aria-label="{escape(title)}">',
        f'<text x="0" y="14" class="title">{escape(title)}</text>',
    ]
    for tick in ticks:
        if low <= tick <= high:
            y = up(tick)
            parts.append(
                f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="quiet" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">'
                f"{tick:g}</text>"
            )
    for place, column in enumerate(columns):
        middle = left + (place + 0.5) * room
        parts.append(_column(column, middle, room, up))
        parts.append(
            f'<text class="ink" x="{middle:.1f}" y="{height - 10}" text-anchor="middle">'
            f"{escape(column.name)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _column(column: Column, middle: float, room: float, up: Callable[[float], float]) -> str:
    parts = []
    half = min(room * 0.32, 70)
    if column.bounds is not None:
        y, end = up(column.bounds[1]), up(column.bounds[0])
        parts.append(
            f'<rect class="span {column.kind}" x="{middle - half:.1f}" y="{y:.1f}" '
            f'width="{2 * half:.1f}" height="{max(end - y, 2):.1f}" rx="4"/>'
        )
    y = up(column.mean)
    parts.append(
        f'<line class="axis" x1="{middle - half:.1f}" x2="{middle + half:.1f}" y1="{y:.1f}" '
        f'y2="{y:.1f}"/><text class="quiet" x="{middle + half + 5:.1f}" y="{y + 4:.1f}">'
        f"{column.mean:.3f}</text>"
    )
    taken: list[tuple[float, float]] = []
    for said, value in sorted(column.points, key=lambda point: point[1]):
        y, x = up(value), middle
        for step in range(1, 40):  # beside those that lie there already: right, left, right ...
            if all(abs(x - other) > 10 or abs(y - height) > 10 for other, height in taken):
                break
            x = middle + (step + 1) // 2 * (11 if step % 2 else -11)
        taken.append((x, y))
        parts.append(
            f"<g><title>{escape(said)}</title>"
            f'<circle class="dot {column.kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/></g>'
        )
    return "".join(parts)
