"""Differences with their intervals, one below the other, as inline SVG; see `plots`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from frameflow.pages.plots import nice_ticks

_ROW = 48
_LETTER = 0.56  # mean width of a letter, in font sizes


@dataclass(frozen=True, slots=True)
class Bar:
    """One difference.

    Attributes:
        name: what differs.
        value: the difference; None where there is none, and ``said`` tells why.
        bounds: its interval, or None.
        sure: more than chance: drawn in full colour.
        said: the value in words, at the right.
    """

    name: str
    value: float | None
    bounds: tuple[float, float] | None
    sure: bool
    said: str


def forest(bars: Sequence[Bar], *, title: str, left: str = "worse", right: str = "better") -> str:
    """A forest plot around 0.

    Args:
        bars: at least one.
        title: what is drawn and its unit; also the accessible name.
        left: what a difference below 0 means.
        right: what one above 0 means.
    """
    width, edge, top = 480, 12, 44
    height = top + _ROW * len(bars) + 30
    ends = [end for bar in bars for end in (bar.bounds or ()) if bar.value is not None]
    ends += [bar.value for bar in bars if bar.value is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    spare = (high - low) * 0.04 or 1.0
    low, high = low - spare, high + spare
    ticks = [tick for tick in nice_ticks(low, high) if low <= tick <= high]

    def across(value: float) -> float:
        return edge + (value - low) / (high - low) * (width - 2 * edge)

    foot = height - 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13" '
        f'role="img" aria-label="{escape(title)}">',
        f'<text x="0" y="14" class="title">{escape(title)}</text>',
        _text(0, 33, f"← {left}", "quiet"),
        _text(width, 33, f"{right} →", "quiet", "end"),
    ]
    for tick in ticks:
        x = across(tick)
        kind = "mark" if tick == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{foot}"/>'
            + _text(x, height - 8, f"{tick:+g}" if tick else "0", "quiet", "middle")
        )
    for place, bar in enumerate(bars):
        parts.append(_bar(bar, across, top + place * _ROW, width))
    return "".join([*parts, "</svg>"])


def _bar(bar: Bar, across: Callable[[float], float], top: float, width: float) -> str:
    kind = "accent" if bar.sure else "second"
    room = int((width - len(bar.said) * 13 * _LETTER - 16) / (13 * _LETTER))
    name = bar.name if len(bar.name) <= room else bar.name[: max(room - 1, 1)] + "…"
    y = top + 36
    parts = [
        f"<g><title>{escape(f'{bar.name}: {bar.said}')}</title>",
        _paper(0, top + 5, len(name)),
        _text(0, top + 19, name, "ink"),
        _paper(width - len(bar.said) * 13 * _LETTER, top + 5, len(bar.said)),
        _text(width, top + 19, bar.said, "quiet", "end"),
    ]
    if bar.bounds is not None and bar.value is not None:
        start, end = map(across, bar.bounds)
        parts.append(
            f'<rect class="span {kind}" x="{start:.1f}" y="{y - 5}" '
            f'width="{max(end - start, 2):.1f}" height="10" rx="5"/>'
        )
    if bar.value is not None:
        parts.append(f'<circle class="dot {kind}" cx="{across(bar.value):.1f}" cy="{y}" r="6"/>')
    return "".join([*parts, "</g>"])


def _paper(x: float, y: float, letters: int) -> str:
    """Behind a text, so that no line of the grid runs through it."""
    return (
        f'<rect class="back" x="{x - 3:.1f}" y="{y:.1f}" width="{letters * 13 * _LETTER + 6:.1f}" '
        f'height="18"/>'
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
