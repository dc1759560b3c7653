"""What was said along the time of one video: the probability of each class over its frames.

Above the lines two bands show the true and the predicted class of each frame, and marks where the
two differ. All is inline SVG, as in `frameflow.pages.plots`.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np

from frameflow.pages.plots import nice_ticks

# Seen on light and on dark paper, and told apart by those who do not see red and green.
COLOURS = ("#2f7fc1", "#d97b1f", "#3f9a6a", "#b0569c", "#8d7a2b", "#6f6fd6")
_REST = "var(--second)"
_LETTER = 0.58 * 13
_WIDTH, _LEFT, _RIGHT = 960, 84, 12
_BAND, _PLOT = 16, 130
_POINTS = 600  # of a line: more are no longer seen


def timeline(
    times: Sequence[float],
    probabilities: np.ndarray,
    labels: Sequence[str],
    truth: Sequence[int],
    *,
    title: str,
    unit: str = "frame",
    predicted: Sequence[int] | None = None,
) -> str:
    """Probabilities over the time of a video, with bands of the true and the predicted class.

    Args:
        times: N moments in rising order: frame numbers, or seconds.
        probabilities: ``(N, K)``.
        labels: the K labels.
        truth: ``(N,)`` index of the true label; -1 where there is none.
        title: what is shown, for a screen reader.
        unit: of ``times``.
        predicted: ``(N,)`` index of the predicted label; the likeliest where None.

    Example:
        >>> drawn = timeline([1, 2], np.array([[0.9, 0.1], [0.3, 0.7]]), ["a", "b"], [0, 0],
        ...                  title="v")
        >>> drawn.count("<polyline"), "1 of 2 frames wrong" in drawn
        (2, True)
    """
    at = np.asarray(times, dtype=np.float64)
    true = np.asarray(truth, dtype=np.int64)
    said = np.asarray(
        probabilities.argmax(axis=1) if predicted is None else predicted, dtype=np.int64
    )
    shown = _shown(probabilities, true, said)
    colours = {index: COLOURS[place] for place, index in enumerate(shown)}
    step = float(np.median(np.diff(at))) if len(at) > 1 else 1.0
    first, last = at[0] - step / 2, at[-1] + step / 2

    def across(moment: float) -> float:
        return _LEFT + (moment - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    wrong = (true >= 0) & (true != said)
    keys, top = _key([(labels[i], colours[i]) for i in shown], len(shown) < len(labels))
    plot = top + 3 * (_BAND + 4) + 8
    height = plot + _PLOT + 40
    count = f"{int(wrong.sum())} of {int((true >= 0).sum())} {unit}s wrong"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-size="13" role="img" aria-label="{escape(f"{title}: {count}")}">',
        *keys,
    ]
    bands = (("true", true), ("predicted", said), ("wrong", np.where(wrong, 1, -1)))
    for row, (name, values) in enumerate(bands):
        y = top + row * (_BAND + 4)
        parts.append(_text(_LEFT - 8, y + 12.5, name, "end"))
        for start, end, index in _runs(at, values, step):
            x, width = across(start), across(end) - across(start)
            fill = "var(--wrong)" if name == "wrong" else colours.get(index, _REST)
            what = f"{count}" if name == "wrong" else labels[index]
            place = f"{unit} {start + step / 2:g} to {end - step / 2:g}"
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAND}" '
                f'style="fill:{fill}"><title>{escape(what)}, {place}</title></rect>'
            )
    parts += _axes(across, float(at[0]), float(at[-1]), plot, unit)
    for index in reversed(shown):
        line = " ".join(
            f"{across(moment):.1f},{plot + (1 - share) * _PLOT:.1f}"
            for moment, share in _thinned(at, probabilities[:, index])
        )
        parts.append(
            f'<polyline class="line" style="stroke:{colours[index]}" points="{line}">'
            f"<title>{escape(labels[index])}</title></polyline>"
        )
    return "".join([*parts, "</svg>"])


def _shown(probabilities: np.ndarray, truth: np.ndarray, said: np.ndarray) -> list[int]:
    """The classes that have a colour: those there and those said, then the likeliest."""
    there = np.bincount(truth[truth >= 0], minlength=probabilities.shape[1])
    guessed = np.bincount(said[said >= 0], minlength=probabilities.shape[1])
    order = sorted(
        range(probabilities.shape[1]),
        key=lambda i: (-there[i], -guessed[i], -float(probabilities[:, i].mean()), i),
    )
    return sorted(order[: len(COLOURS)])


def _key(entries: Sequence[tuple[str, str]], more: bool) -> tuple[list[str], int]:
    """The names of the colours, over several lines where they are long, and where these end."""
    parts, x, y = [], float(_LEFT), 12
    named = [*entries, *([("other classes", _REST)] if more else [])]
    for name, colour in named:
        short = name if len(name) <= 40 else name[:39] + "…"
        width = len(short) * _LETTER + 34
        if x + width > _WIDTH and x > _LEFT:
            x, y = float(_LEFT), y + 20
        parts.append(
            f'<rect x="{x:.1f}" y="{y - 10}" width="12" height="12" rx="2" style="fill:{colour}"/>'
        )
        parts.append(_text(x + 18, y, short, "start", kind=""))
        x += width
    return parts, y + 16


def _runs(at: np.ndarray, values: np.ndarray, step: float) -> Iterator[tuple[float, float, int]]:
    """Stretches of one value: begin, end, value; frames without a value or row leave a gap."""
    begin = 0
    for place in range(1, len(at) + 1):
        if (
            place < len(at)
            and values[place] == values[begin]
            and at[place] - at[place - 1] <= 1.5 * step
        ):
            continue
        if values[begin] >= 0:
            yield float(at[begin] - step / 2), float(at[place - 1] + step / 2), int(values[begin])
        begin = place


def _thinned(at: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
    """At most `_POINTS` points: the means of as many stretches."""
    parts = min(_POINTS, len(at))
    return [
        (float(moments.mean()), float(shares.mean()))
        for moments, shares in zip(np.array_split(at, parts), np.array_split(values, parts))
    ]


def _axes(
    across: Callable[[float], float], first: float, last: float, top: int, unit: str
) -> list[str]:
    parts = []
    for tick in (0, 0.5, 1):
        y = top + (1 - tick) * _PLOT
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, f"{tick:g}", "end"))
    for tick in nice_ticks(first, last, most=8):
        if first <= tick <= last:
            parts.append(_text(across(tick), top + _PLOT + 18, f"{tick:g}", "middle"))
    parts.append(_text(_WIDTH - _RIGHT, top + _PLOT + 34, f"{unit} →", "end"))
    return parts


def _text(x: float, y: float, text: str, anchor: str, kind: str = "quiet") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
