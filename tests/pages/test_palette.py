"""The colours of the map are told apart by everyone, and seen on their ground."""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

# What is seen with no cones of one kind: Machado, Oliveira and Fernandes, "A physiologically-based
# model for simulation of color vision deficiency", 2009, at full severity, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}  # fmt: skip
SHEET = {"light": "#ffffff", "dark": "#1b1e24"}  # --sheet of page.css
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], LUMINANCE, [0.0193, 0.1192, 0.9505]])


def read(name: str) -> str:
    return (resources.files("frameflow.pages") / "templates" / name).read_text("utf-8")


def hues(scheme: str) -> list[str]:
    found = re.search(rf"{scheme}: \[(.*?)\]", read("explore.js"))
    assert found
    return re.findall(r"#[0-9a-f]{6}", found[1])


def linear(hue: str) -> np.ndarray:
    share = np.array([int(hue[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_hues_differ_in_every_vision(scheme: str, vision: str) -> None:
    seen = [lab(np.array(VISION[vision]) @ linear(hue)) for hue in hues(scheme)]
    assert len(seen) == 8
    assert min(np.linalg.norm(one - two) for one, two in combinations(seen, 2)) > 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_are_seen_on_the_sheet(scheme: str) -> None:
    ground = float(LUMINANCE @ linear(SHEET[scheme]))
    assert f"--sheet: {SHEET[scheme]}" in read("page.css")
    for hue in hues(scheme):
        high, low = sorted([float(LUMINANCE @ linear(hue)), ground], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3, "WCAG 2.1 for graphics"
