"""Reliability diagrams and binned accuracies put dots where they belong."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from frameflow.pages.bins import binned_accuracy
from frameflow.pages.reliability import reliability_diagram

SVG = "{http://www.w3.org/2000/svg}"


def a_bin(confidence: float, accuracy: float) -> dict[str, Any]:
    low, high = max(0.0, accuracy - 0.1), min(1.0, accuracy + 0.1)
    return {"confidence": confidence, "accuracy": accuracy, "count": 9, "low": low, "high": high}


def test_a_bin_on_the_diagonal_lies_on_it() -> None:
    root = ET.fromstring(reliability_diagram([a_bin(0.5, 0.5), a_bin(0.9, 0.4)], title="After"))
    on, below = list(root.iter(f"{SVG}circle"))
    frame = next(r for r in root.iter(f"{SVG}rect") if r.get("class") == "paper")
    left, top, side = (float(frame.get(name, 0)) for name in ("x", "y", "width"))
    assert float(on.get("cx", 0)) - left == pytest.approx(top + side - float(on.get("cy", 0)))
    assert float(below.get("cx", 0)) - left > top + side - float(below.get("cy", 0))
    assert "states 0.90, right 0.40 (0.30 to 0.50), 9 samples" in str(root.get("aria-label"))


def test_a_diagram_without_bins_is_still_one() -> None:
    assert not list(ET.fromstring(reliability_diagram([], title="<b>")).iter(f"{SVG}circle"))


def test_bins_say_their_range_their_value_and_how_many() -> None:
    bins = [
        {"low": 0.42, "high": 3.1, "samples": 17, "accuracy": 0.5, "interval": [0.2, 0.8]},
        {"low": 12.4, "high": 12.4, "samples": 5, "accuracy": 1.0, "interval": [0.6, 1.0]},
    ]
    root = ET.fromstring(binned_accuracy(bins, title="Motion, %", overall=0.6))
    words = [text.text for text in root.iter(f"{SVG}text")]
    for word in ("Motion, %", "0.4–3.1", "12", "n 17", "n 5", "0.50", "1.00"):
        assert word in words
    low, high = (float(dot.get("cy", 0)) for dot in root.iter(f"{SVG}circle"))
    assert high < low  # y grows downwards in SVG
