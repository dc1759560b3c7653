"""Histograms count every value once; sheets hold every clip that can be read."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frameflow.data.manifest import Manifest, Sample
from frameflow.pages.histogram import histogram
from frameflow.pages.thumbnails import make_sheets
from frameflow.video.write import write_video

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))


@settings(deadline=None, max_examples=60)
@given(st.lists(NUMBERS | st.integers(0, 30), min_size=1, max_size=60))
def test_every_value_stands_in_one_bar(values: list[float]) -> None:
    svg = histogram(values, title="Length <of> clips", unit="s")
    ET.fromstring(svg)
    counts = [int(n) for n in re.findall(r": (\d+)</title></rect>", svg)]
    assert sum(counts) == len(values)
    assert "nan" not in svg
    assert "inf" not in svg


def test_a_value_far_out_does_not_flatten_the_others() -> None:
    values = [*np.linspace(1, 3, 400), 900.0]
    svg = histogram(values, title="Length")
    assert svg.count("<rect") > 8
    assert "or more: " in svg


def test_whole_numbers_have_bars_of_their_own() -> None:
    svg = histogram([1, 1, 2, 5], title="Clips")
    assert re.findall(r"([\d.]+ to [\d.]+): (\d)", svg) == [
        ("0.5 to 1.5", "2"), ("1.5 to 2.5", "1"), ("4.5 to 5.5", "1"),
    ]  # fmt: skip


def test_sheets_hold_each_clip_in_its_own_line(tmp_path) -> None:
    greys = [40, 90, 140, 190, 240]
    for grey in greys:
        frames = np.full((6, 24, 48, 3), grey, dtype=np.uint8)
        write_video(tmp_path / f"{grey}.mp4", frames, rate=12)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    names = ["40", "broken", "90", "140", "190", "240"]
    manifest = Manifest([Sample(f"{name}.mp4", "a") for name in names], tmp_path)
    sheets = make_sheets(manifest, range(6), [(48, 24)] * 5)
    assert sorted(sheets.places) == [0, 2, 3, 4, 5], "the broken one has no picture"
    assert sheets.width == 2 * sheets.height
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L"))
        for uri in sheets.uris
    ]
    assert pictures[0].shape == (5 * sheets.height, sheets.frames * sheets.width)
    for row, grey in zip([0, 2, 3, 4, 5], greys):
        sheet, line = sheets.places[row]
        part = pictures[sheet][line * sheets.height : (line + 1) * sheets.height]
        assert abs(part.mean() - grey) < 8
