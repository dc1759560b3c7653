"""Intervals and dots stand where their numbers are."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.pages.dots import Column, dots
from frameflow.pages.forest import Bar, forest

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.floats(-100, 100, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(numbers, st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=6))
def test_each_dot_lies_in_its_interval_and_all_in_the_frame(
    made: list[tuple[float, float, float]],
) -> None:
    bars = [Bar(f"<{i}>", v, (v - a, v + b), i % 2 == 0, "x") for i, (v, a, b) in enumerate(made)]
    root = ET.fromstring(forest(bars, title="Top-1 & more"))
    spans = [r for r in root.iter(f"{SVG}rect") if "span" in r.get("class", "")]
    circles = list(root.iter(f"{SVG}circle"))
    assert len(spans) == len(circles) == len(made)
    zero = next(x for x in root.iter(f"{SVG}line") if x.get("class") == "mark")
    for span, dot, (value, _, _) in zip(spans, circles, made):
        start, x = float(span.get("x", 0)), float(dot.get("cx", 0))
        assert start - 0.11 <= x <= start + float(span.get("width", 0)) + 2.11
        assert start >= 0
        assert start + float(span.get("width", 0)) <= 482
        if abs(value) > 1:
            assert (x > float(zero.get("x1", 0))) == (value > 0)
    kinds = [str(dot.get("class")) for dot in circles]
    assert kinds == ["dot accent" if i % 2 == 0 else "dot second" for i in range(len(made))]


@pytest.mark.parametrize("value", [None, 0.0, 3.0])
def test_a_bar_without_an_interval(value: float | None) -> None:
    root = ET.fromstring(forest([Bar("a", value, None, False, "-")], title="t"))
    assert len(list(root.iter(f"{SVG}circle"))) == (value is not None)
    assert not [r for r in root.iter(f"{SVG}rect") if "span" in r.get("class", "")]


def test_a_long_name_is_cut_and_whole_in_the_tooltip() -> None:
    text = forest([Bar("k" * 200, 1.0, (0.0, 2.0), True, "+1.0 (+0.0 to +2.0)")], title="t")
    root = ET.fromstring(text)
    (title,) = [e.text or "" for e in root.iter(f"{SVG}title")]
    assert title.startswith("k" * 200)
    assert max(len(e.text or "") for e in root.iter(f"{SVG}text")) < 80


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_dots_rise_with_their_values_and_do_not_hide_each_other(values: list[float]) -> None:
    points = [(f"<{value}>", value) for value in values]
    text = dots(
        [Column("a & b", points, sum(values) / len(values), "accent", (0.2, 0.4))], title="t"
    )
    root = ET.fromstring(text)
    places = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in root.iter(f"{SVG}circle")]
    assert len(set(places)) == len(values)
    heights = [y for _, y in places]
    assert heights == sorted(heights, reverse=True), "drawn from the lowest up"
    assert not re.search(r"nan|inf", text)
