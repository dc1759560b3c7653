"""The picture of a timeline shows what was found, where it was found."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frameflow.data.spans import Span
from frameflow.errors import FrameFlowError, UsageError
from frameflow.inference.timeline.picture import clock, write_picture
from frameflow.inference.timeline.segments import RAW, Segment, find_segments
from frameflow.pages.timeline import COLOURS

Make = Callable[..., Any]
SVG = "{http://www.w3.org/2000/svg}"


def notes(path: Path) -> list[str]:
    """What a pointer over the boxes reads."""
    root = ElementTree.parse(path).getroot()
    return [title.text or "" for box in root.iter(f"{SVG}rect") for title in box]


def test_each_segment_is_where_it_is(make_timeline: Make, tmp_path: Path) -> None:
    given = make_timeline([[1, 0]] * 4 + [[0, 1]] * 5)
    found = find_segments(given, RAW)
    assert [s.label for s in found] == ["a", "b"]
    for ending in (".svg", ".png"):
        write_picture(tmp_path / f"p{ending}", given, found, rule=RAW)
    boxes = list(ElementTree.parse(tmp_path / "p.svg").getroot().iter(f"{SVG}rect"))
    bars = [box for box in boxes if len(box) and box.get("fill-opacity") is None]
    assert [box.get("fill") for box in bars] == list(COLOURS[:2])
    left, right = (float(bars[0].attrib["x"]), float(bars[1].attrib["x"]))
    wide = [float(bar.attrib["width"]) for bar in bars]
    assert left + wide[0] == pytest.approx(right, abs=0.1), "one begins where the other ends"
    assert wide[0] / sum(wide) == pytest.approx(found[0].end / given.duration, abs=0.01)
    pixels = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    for bar in bars:  # the same picture, twice as fine
        x = float(bar.attrib["x"]) + float(bar.attrib["width"]) / 2
        y = float(bar.attrib["y"]) + float(bar.attrib["height"]) / 2
        red, green, blue = pixels[round(2 * y), round(2 * x)]
        assert f"#{red:02x}{green:02x}{blue:02x}" == bar.get("fill")


def test_what_is_found_and_what_is_true_can_be_read(make_timeline: Make, tmp_path: Path) -> None:
    labels = ("<läuft> & winkt", "b")
    given = make_timeline([[0.9, 0.1]] * 3, labels=labels)
    found = [Segment(0, 1.5, labels[0], 0.9, 0.95)]
    path = tmp_path / "p.svg"
    write_picture(path, given, found, truth=[Span("", 1, 2, "unknown")])
    assert "<läuft> & winkt, 00:00:00.000 to 00:00:01.500, 90 %" in notes(path)
    assert "true: unknown, 00:00:01.000 to 00:00:02.000" in notes(path)
    root = ElementTree.parse(path).getroot()
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"<läuft> & winkt", "b", "unknown", "match.mp4"} <= set(texts)
    assert root.get("aria-label") == "match.mp4: 1 segment of 1 label"


def test_of_many_labels_those_found_have_a_lane(make_timeline: Make, tmp_path: Path) -> None:
    labels = tuple(f"label {n}" for n in range(60))
    given = make_timeline(np.eye(60), labels=labels)
    found = [Segment(n, n + 1.0, labels[n], 0.9, 0.9) for n in range(40)]
    path = tmp_path / "p.svg"
    write_picture(path, given, found)
    texts = [text.text or "" for text in ElementTree.parse(path).getroot().iter(f"{SVG}text")]
    assert sum(text.startswith("label ") for text in texts) == 24
    assert any("16 more labels have no lane" in text for text in texts)
    write_picture(path, given, [])
    texts = [text.text or "" for text in ElementTree.parse(path).getroot().iter(f"{SVG}text")]
    assert sum(text.startswith("label ") for text in texts) == 3, "the likeliest ones"


@pytest.mark.parametrize("hours", [0.00005, 0.01, 2, 100])
def test_any_length(make_timeline: Make, tmp_path: Path, hours: float) -> None:
    stride = hours * 3600 / 50
    given = make_timeline(np.full((50, 2), 0.5), stride=stride, length=2 * stride)
    write_picture(tmp_path / "p.png", given, [Segment(0, stride, "a", 1, 1)])
    write_picture(tmp_path / "p.svg", given, [])
    root = ElementTree.parse(tmp_path / "p.svg").getroot()
    ticks = [t.text for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "middle"]
    assert 2 <= len(ticks) <= 13
    assert len(set(ticks)) == len(ticks)


def test_no_window(make_timeline: Make, tmp_path: Path) -> None:
    write_picture(tmp_path / "p.png", make_timeline(np.zeros((0, 2))), [])
    write_picture(tmp_path / "p.svg", make_timeline(np.zeros((0, 30)), labels=("x",) * 30), [])


def test_what_cannot_be_written(make_timeline: Make, tmp_path: Path) -> None:
    given = make_timeline([[1.0, 0.0]])
    with pytest.raises(UsageError, match=r"p.jpg must end in one of .svg, .png"):
        write_picture(tmp_path / "p.jpg", given, [])
    for ending in (".svg", ".png"):
        with pytest.raises(FrameFlowError, match="cannot be written"):
            write_picture(tmp_path / "gone" / f"p{ending}", given, [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("seconds", "step", "said"),
    [(0, 1, "0:00"), (59.6, 1, "1:00"), (3600, 60, "1:00:00"), (0.25, 0.1, "0.2 s")],
)
def test_clock(seconds: float, step: float, said: str) -> None:
    assert clock(seconds, step) == said
