"""Histograms as inline SVG, in the manner of `frameflow.pages.plots`."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from frameflow.pages.plots import nice_ticks

_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 30, 40
_BINS = 20


def histogram(values: Sequence[float], *, title: str, unit: str = "") -> str:
    """How often values occur: one ``<svg>`` element whose bars have tooltips.

    Values beyond the 99.5th percentile share the last bar where they are far out, so that one
    very long clip does not flatten all others.

    Args:
        values: finite numbers, at least one.
        title: what is counted; also the accessible name.
        unit: written under the axis.
    """
    numbers = np.asarray(values, dtype=np.float64)
    edges, beyond = _edges(numbers)
    counts = np.histogram(np.minimum(numbers, edges[-1]), bins=edges)[0]
    top = max(nice_ticks(0.0, float(counts.max()), most=3)[-1], 1.0)
    low, high = float(edges[0]), float(edges[-1])

    def across(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def up(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / top * (_HEIGHT - _TOP - _BOTTOM)

    median = float(np.median(numbers))
    middle_said = f"{median:.4g}" if abs(median) >= 1 else f"{median:.2g}"
    said = (
        f"{title}: {len(numbers)} values from {numbers.min():.4g} to {numbers.max():.4g}"
        f"{' ' + unit if unit else ''}, median {middle_said}"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-size="12" role="img" aria-label="{escape(said)}">',
        f'<text x="0" y="13" class="title">{escape(title)}</text>',
    ]
    for tick in nice_ticks(0.0, top, most=3):
        if tick != int(tick):
            continue
        y = up(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:g}", "end"))
    for index, count in enumerate(counts):
        if not count:
            continue
        x, end = across(edges[index]), across(edges[index + 1])
        last = beyond and index == len(counts) - 1
        bounds = f"{edges[index]:.4g} " + ("or more" if last else f"to {edges[index + 1]:.4g}")
        parts.append(
            f'<rect class="fill {"second" if last else "accent"}" x="{x + 0.75:.1f}" '
            f'y="{up(count):.1f}" width="{max(end - x - 1.5, 1):.1f}" '
            f'height="{_HEIGHT - _BOTTOM - up(count):.1f}">'
            f"<title>{escape(f'{bounds} {unit}'.strip())}: {count}</title></rect>"
        )
    for tick in nice_ticks(low, high, most=4):
        if low - 1e-9 <= tick <= high + 1e-9:
            parts.append(_text(across(tick), _HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle"))
    middle = across(min(max(median, low), high))
    parts.append(
        f'<line class="mark" x1="{middle:.1f}" x2="{middle:.1f}" y1="{_TOP - 6}" '
        f'y2="{_HEIGHT - _BOTTOM}"><title>median {middle_said}</title></line>'
    )
    note = f"{unit + ', ' if unit else ''}median {middle_said}"
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - 6, note, "end"))
    return "".join([*parts, "</svg>"])


def _edges(numbers: np.ndarray) -> tuple[np.ndarray, bool]:
    """Edges of the bars, and whether the last one holds all that is beyond."""
    low, high = float(numbers.min()), float(numbers.max())
    near = float(np.percentile(numbers, 99.5))
    beyond = near > low and high > near + (near - low)
    high = near if beyond else high
    if bool((numbers == np.round(numbers)).all()) and high - low < _BINS:
        return np.arange(math.floor(low), math.floor(high) + 2) - 0.5, beyond
    ticks = nice_ticks(low, high, most=_BINS)
    return np.array(ticks), beyond


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="quiet" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
