"""A picture of a timeline: a lane for each label, its probability and its segments over time."""

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from frameflow.data.timestamps import print_time
from frameflow.errors import UsageError
from frameflow.inference.timeline.canvas import Canvas, PixelCanvas, SvgCanvas
from frameflow.inference.timeline.files import save_text
from frameflow.inference.timeline.segments import Segment, SegmentRule, smoothed
from frameflow.pages.timeline import COLOURS
from frameflow.video._font import shorten, text_width
from frameflow.video.draw import percent
from frameflow.video.write import save_image

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline

PICTURES = (".svg", ".png")

_PAPER, _LANE, _INK, _QUIET, _TRUE = "#ffffff", "#f1f3f6", "#1d2330", "#5d6675", "#1d2330"
_WIDTH, _RIGHT, _TOP, _FOOT = 1200, 20, 58, 34
_HIGH, _GAP, _TEXT = 34, 6, 14  # of a lane, px
_NAMES = 260  # the most px that the names of labels take
_WIDER = 1.2  # a viewer of SVG has a font of its own, that may be so much wider
_MOST = 24  # lanes
_ALL = 10  # labels of a model that all have a lane
_POINTS = 800  # of a lane: more are no longer seen
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_TICKS = 12


class Stretch(Protocol):
    """A segment or a span."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def label(self) -> str: ...


def check_picture(path: Path) -> None:
    """Before long work: whether a picture can have this ending.

    Raises:
        UsageError: it cannot.
    """
    if path.suffix.lower() not in PICTURES:
        raise UsageError(f"{path} must end in one of {', '.join(PICTURES)}.")


def write_picture(
    path: str | os.PathLike[str],
    timeline: "Timeline",
    segments: Sequence[Segment],
    *,
    rule: SegmentRule | None = None,
    truth: Sequence[Stretch] = (),
) -> None:
    """Write the picture as SVG, or as PNG at twice the size.

    Args:
        path: ending in .svg or .png.
        timeline: what the windows say; drawn smoothed.
        segments: what was found in it.
        rule: by which it was; the default one where None.
        truth: what truly happens, drawn below what was found.

    Raises:
        UsageError: another ending.
        FrameFlowError: the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    plan = _Plan.of(timeline, segments, truth)
    if path.suffix.lower() == ".svg":
        said = f"{timeline.video}: {counted(segments)}"
        svg = SvgCanvas(_WIDTH, plan.height, paper=_PAPER, title=said)
        _draw(svg, plan, timeline, segments, rule or SegmentRule(), truth)
        save_text(path, svg.finish())
    else:
        pixels = PixelCanvas(_WIDTH, plan.height, paper=_PAPER)
        _draw(pixels, plan, timeline, segments, rule or SegmentRule(), truth)
        save_image(path, pixels.finish())


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where things are.

    Attributes:
        lanes: the label of each lane.
        others: how many labels with segments have no lane.
        left: where time begins, px.
        length: seconds.
    """

    lanes: list[str]
    others: int
    left: float
    length: float

    @classmethod
    def of(
        cls, timeline: "Timeline", segments: Sequence[Stretch], truth: Sequence[Stretch]
    ) -> "_Plan":
        lanes, others = _lanes(timeline, segments, truth)
        names = [text_width(name, _TEXT) for name in lanes]
        left = 34 + min(_NAMES, _WIDER * max(names, default=0))
        return cls(lanes, others, left, max(timeline.duration, 1e-3))

    @property
    def height(self) -> int:
        return self.bottom + _FOOT

    @property
    def bottom(self) -> int:
        """Where the lanes end."""
        return _TOP + len(self.lanes) * (_HIGH + _GAP)

    def across(self, moment: float) -> float:
        share = min(max(moment / self.length, 0.0), 1.0)
        return self.left + share * (_WIDTH - _RIGHT - self.left)


def _lanes(
    timeline: "Timeline", segments: Sequence[Stretch], truth: Sequence[Stretch]
) -> tuple[list[str], int]:
    """All labels of a small model; else those there or found, in the order of their first time."""
    seen = [*segments, *truth]
    if len(timeline.labels) <= _ALL:
        extra = sorted({one.label for one in truth} - set(timeline.labels))
        return [*timeline.labels, *extra][:_MOST], max(0, len(timeline.labels) + len(extra) - _MOST)
    times: dict[str, float] = {}
    for one in seen:
        times[one.label] = times.get(one.label, 0.0) + one.end - one.start
    if not times and len(timeline.probabilities):
        likely = timeline.probabilities.mean(axis=0).argsort()[::-1][:3]
        return [timeline.labels[i] for i in likely], 0
    most = set(sorted(times, key=lambda label: -times[label])[:_MOST])
    order = dict.fromkeys(one.label for one in sorted(seen, key=lambda one: one.start))
    return [label for label in order if label in most], len(times) - len(most)


def _draw(
    canvas: Canvas,
    plan: _Plan,
    timeline: "Timeline",
    segments: Sequence[Segment],
    rule: SegmentRule,
    truth: Sequence[Stretch],
) -> None:
    room = _WIDTH - _RIGHT - 24
    name = Path(timeline.video).name
    canvas.text(24, 20, shorten(name, 17, room), size=17, colour=_INK)
    said = f"{counted(segments)} in {clock(timeline.duration)}; windows of "
    said += f"{timeline.plan.length:.3g} s, one every {timeline.plan.stride:.3g} s"
    if truth:
        said += "; dark bars: the truth"
    if plan.others:
        said += f"; {plan.others} more labels have no lane"
    canvas.text(24, 42, shorten(said, 13, room), size=13, colour=_QUIET)
    shares = smoothed(timeline, rule)
    columns = {label: index for index, label in enumerate(timeline.labels)}
    step = _tick_step(plan.length)
    ticks = np.arange(0, plan.length + 1e-9, step)
    for place, label in enumerate(plan.lanes):
        top = _TOP + place * (_HIGH + _GAP)
        colour = COLOURS[place % len(COLOURS)]
        canvas.box(plan.left, top, _WIDTH - _RIGHT - plan.left, _HIGH, _LANE)
        for tick in ticks:
            canvas.box(plan.across(tick), top, 1, _HIGH, "#dde1e7")
        if label in columns and len(shares):
            _ridge(canvas, plan, timeline, shares[:, columns[label]], top, colour)
        for one in segments:
            if one.label == label:
                _bar(canvas, plan, one, top, colour)
        for true in truth:
            if true.label == label:
                x, width = _extent(plan, true)
                note = f"true: {label}, {_stretch(true)}"
                canvas.box(x, top + _HIGH - 5, width, 5, _TRUE, note=note)
        canvas.text(
            plan.left - 10,
            top + _HIGH / 2,
            shorten(label, _TEXT, int(_NAMES / _WIDER)),
            size=_TEXT,
            colour=_INK,
            anchor="end",
        )
    for tick in ticks:
        at = plan.across(tick)
        if at < _WIDTH - _RIGHT - 20 or tick == 0:
            canvas.text(at, plan.bottom + 12, clock(tick, step), size=13, colour=_QUIET,
                        anchor="middle")  # fmt: skip


def _bar(canvas: Canvas, plan: _Plan, one: Segment, top: float, colour: str) -> None:
    x, width = _extent(plan, one)
    note = f"{one.label}, {_stretch(one)}, {percent(one.probability)}"
    canvas.box(x, top, width, _HIGH, colour, opacity=0.16, note=note)
    canvas.box(x, top, width, 6, colour, note=note)


def _extent(plan: _Plan, one: Stretch) -> tuple[float, float]:
    """Where a stretch begins and how wide it is; one of hours of video is still seen."""
    x = plan.across(one.start)
    return x, max(1.5, plan.across(one.end) - x)


def _ridge(
    canvas: Canvas, plan: _Plan, timeline: "Timeline", shares: np.ndarray, top: float, colour: str
) -> None:
    """The probability over time as a hill: below its line the lane is filled."""
    parts = min(_POINTS, len(shares))
    moments = [float(part.mean()) for part in np.array_split(timeline.moments, parts)]
    values = [float(part.mean()) for part in np.array_split(shares, parts)]
    moments, values = [0.0, *moments, plan.length], [values[0], *values, values[-1]]
    base = top + _HIGH
    line = [(plan.across(moment), base - value * _HIGH) for moment, value in zip(moments, values)]
    canvas.area([(line[0][0], base), *line, (line[-1][0], base)], colour, opacity=0.45)


def counted(segments: Sequence[Stretch]) -> str:
    """How many segments of how many labels, in words."""
    labels = len({one.label for one in segments})
    return (
        f"{len(segments)} segment{'s' if len(segments) != 1 else ''} of {labels} "
        f"label{'s' if labels != 1 else ''}"
    )


def _stretch(one: Stretch) -> str:
    return f"{print_time(one.start)} to {print_time(one.end)}"


def _tick_step(length: float) -> float:
    place = bisect_left(_STEPS, length / _TICKS)
    return _STEPS[place] if place < len(_STEPS) else 86_400 * np.ceil(length / _TICKS / 86_400)


def clock(seconds: float, step: float = 1.0) -> str:
    """A moment as short as it can be said: ``5``, ``1:05``, ``2:01:05``; tenths where steps are.

    Example:
        >>> clock(65), clock(7265), clock(0.5, 0.1)
        ('1:05', '2:01:05', '0.5 s')
    """
    if step < 1:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"
