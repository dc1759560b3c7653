"""Frames of real clips are at the times at which the videos show them."""

from pathlib import Path

import numpy as np
import pytest

from frameflow.video.decode import read_frames, read_frames_at
from frameflow.video.extract_frames import FrameChoice, extract_frames
from frameflow.video.probe import frame_times, probe


@pytest.mark.parametrize("name", ["v_Basketball_g01_c01.avi", "abseiling_k400.mp4", "test.avi"])
def test_a_folder_shows_what_its_video_shows(name: str, real_data: Path, tmp_path: Path) -> None:
    video = real_data / "clips" / name
    extract_frames({"f": video}, tmp_path, FrameChoice(per_second=2, format="png", size=64))
    folder, info = tmp_path / "f", probe(video)
    times = frame_times(folder)
    assert len(times) == int(frame_times(video)[-1] * 2 + 1e-6) + 1
    assert np.all(np.abs(times - np.arange(len(times)) / 2) <= 1 / info.rate)
    shown = read_frames_at(video, times, short_side=64)
    assert np.array_equal(read_frames(folder, range(len(times))), shown)
    assert probe(folder).rate == pytest.approx(2, rel=0.05)
