"""Predictions along a video: lines and bands lie where the numbers say."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.pages.timeline import COLOURS, timeline

LABELS = ["no seal", "seal <&>"]


def drawn(truth: list[int], shares: list[float], times: list[float] | None = None) -> str:
    probabilities = np.array([[1 - share, share] for share in shares])
    at = times or list(range(1, len(truth) + 1))
    return timeline(at, probabilities, LABELS, truth, title="s28 <20>")


def rects(svg: str) -> list[tuple[float, float, str, str]]:
    """(x, width, title, fill) of the stretches of the bands."""
    root = ElementTree.fromstring(svg)
    found = []
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        title = rect.find("{http://www.w3.org/2000/svg}title")
        if title is not None and title.text:
            found.append(
                (float(rect.attrib["x"]), float(rect.attrib["width"]), title.text,
                 rect.attrib["style"])
            )  # fmt: skip
    return found


def test_bands_say_what_was_true_said_and_wrong() -> None:
    svg = drawn([0, 0, 1, 1], [0.1, 0.9, 0.8, 0.9])
    assert [text for *_, text, _ in rects(svg)] == [
        "no seal, frame 1 to 2", "seal <&>, frame 3 to 4",
        "no seal, frame 1 to 1", "seal <&>, frame 2 to 4",
        "1 of 4 frames wrong, frame 2 to 2",
    ]  # fmt: skip
    (one, two, _, _, wrong) = rects(svg)
    assert one[0] + one[1] == pytest.approx(two[0], abs=0.11)
    assert wrong[1] == pytest.approx(one[1] / 2, abs=0.11)
    assert wrong[3] == "fill:var(--wrong)"
    assert 'aria-label="s28 &lt;20&gt;: 1 of 4 frames wrong"' in svg
    assert len(set(re.findall(r"stroke:(#\w+)", svg))) == 2


def test_frames_that_were_not_labelled_leave_a_gap() -> None:
    svg = drawn([0, 0, 0], [0.1, 0.1, 0.1], times=[1, 2, 9])
    assert [text for *_, text, _ in rects(svg)][:2] == [
        "no seal, frame 1 to 2", "no seal, frame 9 to 9",
    ]  # fmt: skip
    assert not [text for *_, text, _ in rects(drawn([-1, -1], [0.2, 0.9])) if "wrong" in text]


def test_of_many_classes_those_that_occur_have_colours() -> None:
    labels = [f"class {i}" for i in range(30)]
    shares = np.full((5, 30), 0.01)
    shares[:, 20] = 0.7
    svg = timeline(range(5), shares, labels, [25] * 5, title="v")
    assert svg.count("<polyline") == len(COLOURS)
    assert "class 20" in svg
    assert "class 25" in svg
    assert "other classes" in svg


def test_a_long_video_stays_small() -> None:
    rng = np.random.default_rng(0)
    svg = timeline(
        range(20_000), rng.dirichlet([1, 1], 20_000), LABELS, [0] * 20_000, title="v",
        predicted=[0] * 20_000,
    )  # fmt: skip
    assert len(svg) < 40_000


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-1, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_nothing_leaves_the_picture(rows: list[tuple[int, float]]) -> None:
    svg = drawn([label for label, _ in rows], [share for _, share in rows])
    ElementTree.fromstring(svg)
    assert "nan" not in svg
    for x, width, *_ in rects(svg):
        assert x + 0.1 >= 84
        assert x + width <= 948.2
    height = float(re.search(r'height="(\d+)"', svg)[1])  # type: ignore[index]
    for points in re.findall(r'points="([^"]+)"', svg):
        for x, y in (map(float, point.split(",")) for point in points.split()):
            assert 84 <= x <= 948.1
            assert 0 <= y <= height
