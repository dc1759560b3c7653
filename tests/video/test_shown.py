"""Which part of the whole frame a clip's frames show."""

from pathlib import Path

import numpy as np
import pytest

from frameflow.config import Fit, Sampling
from frameflow.data.manifest import Region
from frameflow.video.clip import Clip, ClipRequest, read_clips
from frameflow.video.write import write_video

WIDE, HIGH = 160, 96


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red says how far right a pixel is, blue how far down; a green square wanders."""
    x, y = np.meshgrid((np.arange(WIDE) + 0.5) / WIDE, (np.arange(HIGH) + 0.5) / HIGH)
    film = np.zeros((12, HIGH, WIDE, 3), np.uint8)
    film[..., 0], film[..., 2] = 40 + 200 * x, 40 + 200 * y
    for index, frame in enumerate(film):
        frame[30:60, 10 + 9 * index : 40 + 9 * index, 1] = 200
    path = tmp_path_factory.mktemp("ramp") / "ramp.mp4"
    write_video(path, film, rate=12, quality=2)
    return path


def check(clip: Clip, *, within: float = 0.03) -> None:
    """Each pixel's colours name the place that ``shown`` gives it."""
    assert clip.shown is not None
    assert clip.shown.shape == (len(clip.mask), 4)
    for frame, (left, top, wide, high) in zip(clip.frames, clip.shown, strict=True):
        height, width = frame.shape[:2]
        x, y = np.meshgrid(
            left + wide * (np.arange(width) + 0.5) / width,
            top + high * (np.arange(height) + 0.5) / height,
        )
        # In black bars and where the square's colour spills over nothing can be read.
        plain = (
            (frame[..., 1] < 60)
            & (frame[..., 0] > 30)
            & (np.abs(x - 0.5) < 0.48)
            & (np.abs(y - 0.5) < 0.48)
        )
        assert plain.mean() > 0.3
        red, blue = ((frame[..., channel] - 40.0) / 200 for channel in (0, 2))
        assert np.abs(red - x)[plain].mean() < within
        assert np.abs(blue - y)[plain].mean() < within


@pytest.mark.parametrize("region", [None, Region(0.25, 0.1, 0.5, 0.8)], ids=["whole", "region"])
@pytest.mark.parametrize("fit", ["crop", "letterbox", "squash", "crops", "follow"])
def test_pixels_are_where_the_clip_says(ramp: Path, fit: Fit, region: Region | None) -> None:
    request = ClipRequest(Sampling(frames=4), size=48, fit=fit, follow=0.7, gaps=(1,))
    clips = read_clips(ramp, request, region=region)
    assert len(clips) == (3 if fit == "crops" else 1)
    for clip in clips:
        check(clip)


def test_what_is_cut_before_it_is_enlarged_is_found_too(ramp: Path) -> None:
    request = ClipRequest(Sampling(frames=4), size=64, fit="letterbox")
    (clip,) = read_clips(ramp, request, region=Region(0.4, 0.2, 0.15, 0.5))
    check(clip)


def test_a_followed_square_moves(ramp: Path) -> None:
    request = ClipRequest(Sampling(frames=4), size=48, fit="follow", follow=0.6)
    (clip,) = read_clips(ramp, request)
    assert clip.shown is not None
    assert clip.shown[-1, 0] - clip.shown[0, 0] > 0.1  # to the right, as the square does
    assert np.ptp(clip.shown[:, 2:], axis=0).max() == 0


def test_a_clip_of_other_pixels_does_not_say(ramp: Path) -> None:
    (clip,) = read_clips(ramp, ClipRequest(Sampling(frames=4), size=48))
    assert clip.unpack(clip.pack()[:, ::2, ::2]).shown is None
