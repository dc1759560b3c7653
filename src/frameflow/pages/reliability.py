"""The reliability diagram: how often answers of a stated probability are right."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_SIDE, _LEFT, _TOP, _BOTTOM, _RIGHT = 300, 44, 34, 46, 14


def reliability_diagram(bins: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Accuracy over confidence, one dot a bin, with the interval of each.

    Args:
        bins: ``confidence``, ``accuracy``, ``count``, ``low`` and ``high`` (of the accuracy).
        title: what is drawn.

    Returns:
        One ``<svg>``. A dot below the diagonal is an overconfident bin.
    """
    width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13" '
        f'role="img" aria-label="{escape(title)}: {escape(_said(bins))}">',
        f'<text x="0" y="14" class="title">{escape(title)}</text>',
        f'<rect class="paper" x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, y = _across(tick), _up(tick)
        parts.append(
            f'<path class="grid" d="M{x:.1f} {_TOP}v{_SIDE}M{_LEFT} {y:.1f}h{_SIDE}"/>'
            f'<text class="quiet" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
            f'<text class="quiet" x="{x:.1f}" y="{_TOP + _SIDE + 18}" text-anchor="middle">'
            f"{tick:g}</text>"
        )
    parts.append(f'<path class="mark" d="M{_across(0)} {_up(0)}L{_across(1)} {_up(1)}"/>')
    said = f'class="quiet" y="{_TOP + _SIDE + 38}"'
    parts.append(
        f'<text {said} x="{_LEFT + _SIDE / 2}" text-anchor="middle">probability it states</text>'
        f'<text class="quiet" x="{_LEFT + 8}" y="{_TOP + 17}">share that is right</text>'
    )
    for one in bins:
        x = _across(one["confidence"])
        parts.append(
            f'<g><title>{escape(_words(one))}</title><path class="whisker" '
            f'd="M{x:.1f} {_up(one["low"]):.1f}V{_up(one["high"]):.1f}"/>'
            f'<circle class="dot accent" cx="{x:.1f}" cy="{_up(one["accuracy"]):.1f}" r="4.5"/></g>'
        )
    return "".join([*parts, "</svg>"])


def _across(share: float) -> float:
    return _LEFT + share * _SIDE


def _up(share: float) -> float:
    return _TOP + (1 - share) * _SIDE


def _words(one: Mapping[str, Any]) -> str:
    return (
        f"states {one['confidence']:.2f}, right {one['accuracy']:.2f} "
        f"({one['low']:.2f} to {one['high']:.2f}), {one['count']} samples"
    )


def _said(bins: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(_words(one) for one in bins)
