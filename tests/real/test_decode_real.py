"""Real files of the containers and codecs users have, against the ffmpeg command."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from frameflow.video.decode import iter_frames, read_frames
from frameflow.video.probe import probe

CLIPS = (
    "S001C001P001R001A001_rgb.avi",
    "abseiling_k400.mp4",
    "demo.mp4",
    "paddle_example.avi",
    "test.avi",
    "v_Basketball_g01_c01.avi",
)


def ffmpeg_frames(path: Path, width: int, height: int) -> NDArray[np.uint8]:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    command += ["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def check(path: Path) -> None:
    info = probe(path)
    expected = ffmpeg_frames(path, info.width, info.height)
    assert info.frames == len(expected)
    for index, _, frame in iter_frames(path):
        assert np.array_equal(frame, expected[index]), index
    generator = np.random.default_rng(5)
    for many in (1, 4, 16):
        indices = generator.integers(0, info.frames, many)
        assert np.array_equal(read_frames(path, indices, info=info), expected[indices])


@pytest.mark.parametrize("name", CLIPS)
def test_frames_of_real_clips_equal_those_of_ffmpeg(real_data: Path, name: str) -> None:
    path = real_data / "clips" / name
    if not path.is_file():
        pytest.skip(f"no real clip: {path} is absent")
    check(path)


def test_frames_of_short_clips_equal_those_of_ffmpeg(real_data: Path) -> None:
    paths = sorted(real_data.glob("tennis7/*/*.mp4"))[::25]
    if not paths:
        pytest.skip(f"no real clips: {real_data / 'tennis7'} is absent")
    for path in paths:
        check(path)


def test_a_real_frame_folder(real_data: Path) -> None:
    folder = real_data / "seals" / "s28-20"
    if not folder.is_dir():
        pytest.skip(f"no real frames: {folder} is absent")
    from PIL import Image

    info = probe(folder)
    files = sorted(folder.iterdir())
    assert info.frames == len(files)
    frames = read_frames(folder, [info.frames - 1, 0])
    for frame, file in zip(frames, (files[-1], files[0])):
        assert np.array_equal(frame, np.asarray(Image.open(file)))
