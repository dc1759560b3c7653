"""Whole videos in order, each frame once, whatever is damaged."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frameflow.errors import VideoError
from frameflow.video._forward import forward_frames
from frameflow.video._scale import Scaler
from frameflow.video.decode import read_frames
from frameflow.video.probe import frame_times, probe


def forward(
    path: Path, choose: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[int, float, np.ndarray]]:
    info, scaler = probe(path, count=False), Scaler()
    found = forward_frames(info, choose)
    return [(index, seconds, np.array(scaler(frame))) for index, seconds, frame in found]


def every(times: np.ndarray) -> np.ndarray:
    return np.arange(len(times))


def test_every_frame_of_every_kind_of_file(any_video: Path) -> None:
    found = forward(any_video, every)
    count = probe(any_video).frames
    assert [index for index, _, _ in found] == list(range(count))
    pixels = read_frames(any_video, range(count))
    assert all(np.array_equal(frame, pixels[index]) for index, _, frame in found)
    seconds = np.array([seconds for _, seconds, _ in found])
    info = probe(any_video)
    assert (np.diff(seconds) > 0).all()
    if not info.counted or info.variable_rate:
        assert np.allclose(seconds, frame_times(any_video), atol=0.002)


@pytest.mark.parametrize("step", [2, 7, 40])
@pytest.mark.parametrize(
    "kind", ["h264_bframes.mp4", "h264_open_gop.mkv", "h264.ts", "hevc.mp4", "vp9.webm"]
)
def test_wanted_frames_only(video: Callable[[str], Path], kind: str, step: int) -> None:
    path = video(kind)
    found = forward(path, lambda times: np.arange(3, len(times), step))
    wanted = list(range(3, probe(path).frames, step))
    assert [index for index, _, _ in found] == wanted
    pixels = read_frames(path, wanted)
    assert all(np.array_equal(frame, pixels[row]) for row, (_, _, frame) in enumerate(found))


def damaged(path: Path, out: Path, first: float, last: float) -> Path:
    """A part of the file overwritten, as shares of its length."""
    content = bytearray(path.read_bytes())
    begin, end = (int(share * len(content)) for share in (first, last))
    content[begin:end] = np.random.default_rng(0).bytes(end - begin)
    out.write_bytes(content)
    return out


@pytest.mark.parametrize("kind", ["faststart.mp4", "h264.ts", "h264_open_gop.mkv"])
def test_a_damaged_part_is_passed_over_and_told(
    video: Callable[[str], Path], kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = video(kind)
    path = damaged(whole, tmp_path / kind, 0.45, 0.6)
    with caplog.at_level(logging.WARNING, logger="frameflow"):
        found = forward(path, lambda times: np.arange(0, len(times), 2))
    indices = [index for index, _, _ in found]
    assert indices == sorted(set(indices)), "in order, each once"
    known = read_frames(whole, range(probe(whole).frames))
    good = sum((frame == known[i]).all() for i, _, frame in found if i < len(known))
    assert good > len(found) / 3, "what lies before and behind is as it was"
    assert "do not decode" in caplog.text or len(found) < 75


def test_frames_that_end_early(video: Callable[[str], Path], tmp_path: Path) -> None:
    path = damaged(video("faststart.mp4"), tmp_path / "end.mp4", 0.5, 1.0)
    indices = [index for index, _, _ in forward(path, every)]
    assert indices == list(range(len(indices)))
    assert 20 < len(indices) <= 150


def test_nothing_decodes(video: Callable[[str], Path], tmp_path: Path) -> None:
    whole = video("faststart.mp4")
    info = probe(whole)
    content = bytearray(whole.read_bytes())
    begin = content.index(b"mdat") + 4
    content[begin:] = bytes(len(content) - begin)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match="no frame that can be decoded"):
        list(forward_frames(replace(info, path=path), every))
