"""Plots put things where they belong."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.pages.plots import Line, curves, interval_bar, nice_ticks

SVG = "{http://www.w3.org/2000/svg}"


@given(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.floats(1e-6, 1e6, allow_nan=False),
)
def test_ticks_span_the_values_and_are_few(low: float, width: float) -> None:
    high = low + width
    ticks = nice_ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


def test_ticks_of_a_single_value() -> None:
    assert nice_ticks(0.0, 0.0)[0] < 0 < nice_ticks(0.0, 0.0)[-1]


def test_curves_skip_what_is_missing_and_rise_upwards() -> None:
    root = ET.fromstring(curves([Line("a", [0.0, None, 1.0])], title="Top-1", limits=(0, 1)))
    (line,) = root.iter(f"{SVG}polyline")
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in str(line.get("points")).split())
    assert x1 > x0
    assert y1 < y0  # y grows downwards in SVG
    assert root.get("aria-label") == "Top-1"


def test_one_epoch_is_a_dot() -> None:
    text = curves([Line("a", [0.5])], title="Loss")
    assert "<circle" in text
    assert "polyline" not in text
    ET.fromstring(text)


def test_the_interval_lies_around_its_figure() -> None:
    text = interval_bar(0.5, (0.25, 0.75), chance=0.1)
    (span,) = re.findall(r'class="span accent" x="([\d.]+)".*?width="([\d.]+)"', text)
    (dot,) = re.findall(r'class="dot accent" cx="([\d.]+)"', text)
    assert float(dot) == pytest.approx(float(span[0]) + float(span[1]) / 2, abs=0.2)
    assert "span" not in interval_bar(0.5, None, chance=None)
    ET.fromstring(text)
