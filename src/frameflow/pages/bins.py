"""Accuracy in bins of a measure, with intervals."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT, _BOTTOM = 340, 38, 20, 34, 168, 44


def binned_accuracy(
    bins: Sequence[Mapping[str, Any]], *, title: str, overall: float | None = None
) -> str:
    """A dot and its interval for each bin, side by side; the value stands beside the dot.

    Args:
        bins: ``low``, ``high`` (of the measure), ``samples``, ``accuracy`` and ``interval``.
        title: the measure and its unit.
        overall: the accuracy of all, dashed.

    Returns:
        One ``<svg>``.
    """
    height = _TOP + _HEIGHT + _BOTTOM
    said = "; ".join(_words(one) for one in bins)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-size="12" '
        f'role="img" aria-label="Accuracy by {escape(title.lower())}: {escape(said)}">',
        f'<text x="0" y="14" class="title">{escape(title)}</text>',
    ]
    for tick in (0, 0.5, 1):
        y = _up(tick)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            f'<text class="quiet" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    if overall is not None:
        parts.append(f'<path class="mark" d="M{_LEFT} {_up(overall):.1f}H{_WIDTH - _RIGHT}"/>')
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(bins), 1)
    for index, one in enumerate(bins):
        x, y = _LEFT + (index + 0.5) * step, _up(one["accuracy"])
        low, high = (_up(bound) for bound in one["interval"])
        foot = _TOP + _HEIGHT
        parts.append(
            f"<g><title>{escape(_words(one))}</title>"
            f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}"/>'
            f'<circle class="dot accent" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text class="halo" x="{x + 8:.1f}" y="{y + 4:.1f}">{one["accuracy"]:.2f}</text>'
            f'<text class="quiet" x="{x:.1f}" y="{foot + 18}" text-anchor="middle">'
            f"{escape(_range(one))}</text>"
            f'<text class="quiet" x="{x:.1f}" y="{foot + 34}" text-anchor="middle">'
            f"n {one['samples']}</text></g>"
        )
    return "".join([*parts, "</svg>"])


def _up(share: float) -> float:
    return _TOP + (1 - share) * _HEIGHT


def _range(one: Mapping[str, Any]) -> str:
    low, high = _short(one["low"]), _short(one["high"])
    return low if low == high else f"{low}–{high}"


def _short(value: float) -> str:
    """Two digits, no more than one behind the point."""
    return f"{value:.1f}".removesuffix(".0") if abs(value) < 10 else f"{value:.0f}"


def _words(one: Mapping[str, Any]) -> str:
    low, high = one["interval"]
    return (
        f"{_range(one)}: {one['accuracy']:.2f} ({low:.2f} to {high:.2f}), {one['samples']} samples"
    )
