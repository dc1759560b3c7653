"""The times of extracted frames are those of their video."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.video.frame_table import (
    TABLE,
    rate_of,
    read_frame_table,
    table_seconds,
    write_frame_table,
)
from frameflow.video.probe import frame_times, probe


def make_images(folder: Path, count: int) -> list[str]:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:06d}.png" for number in range(count)]
    for name in names:
        Image.new("RGB", (8, 6)).save(folder / name)
    return names


@settings(deadline=None, max_examples=40)  # each example writes a file
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True).map(sorted),
    st.sampled_from([12.5, 25.0, 30000 / 1001, 50.0]),
)
def test_a_table_reads_back(
    tmp_path_factory: pytest.TempPathFactory, frames: list[int], rate: float
) -> None:
    folder = tmp_path_factory.mktemp("table")
    names, seconds = [f"{frame:06d}.jpg" for frame in frames], [frame / rate for frame in frames]
    write_frame_table(folder, names, frames, seconds)
    rows = read_frame_table(folder)
    assert rows is not None
    assert [row[:2] for row in rows] == list(zip(names, frames))
    assert np.allclose([row[2] for row in rows], seconds, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file,frame\n000000.png,0\n",
        "file,frame,seconds\n",
        "file,frame,seconds\n000000.png,0,zero\n",
        "file,frame,seconds\n000000.png,0,1.0\n000001.png,1,0.5\n",
        "file,frame,seconds\n000000.png,0,0.0\n000001.png,1,nan\n",
        "file,frame,seconds\n000000.png,0,-1\n",
    ],
)
def test_what_is_no_table_is_not_believed(text: str, tmp_path: Path) -> None:
    make_images(tmp_path, 2)
    (tmp_path / TABLE).write_text(text, encoding="utf-8")
    assert read_frame_table(tmp_path) is None
    assert probe(tmp_path).rate == 25


def test_a_table_of_other_images_is_not_believed(tmp_path: Path) -> None:
    names = make_images(tmp_path, 3)
    write_frame_table(tmp_path, names[:2], [0, 1], [0.0, 0.5])
    assert table_seconds(tmp_path, names) is None
    assert probe(tmp_path).duration == 3 / 25


def test_a_folder_with_a_table_has_its_rate_and_times(tmp_path: Path) -> None:
    names = make_images(tmp_path, 4)
    write_frame_table(tmp_path, names, [0, 5, 10, 15], [0.0, 0.5, 1.0, 1.5])
    info = probe(tmp_path)
    assert (info.rate, info.duration, info.variable_rate) == (2.0, 2.0, False)
    assert frame_times(tmp_path).tolist() == [0.0, 0.5, 1.0, 1.5]
    write_frame_table(tmp_path, names, [3, 5, 10, 15], [0.3, 0.5, 1.0, 1.5])
    info = probe(tmp_path)
    assert info.variable_rate, "the times, not the rate, say where a span lies"
    assert info.rate == pytest.approx(2.5)


def test_one_image_has_no_rate(tmp_path: Path) -> None:
    write_frame_table(tmp_path, make_images(tmp_path, 1), [7], [0.28])
    assert rate_of(np.array([0.28])) is None
    info = probe(tmp_path)
    assert (info.rate, info.frames) == (25, 1)
