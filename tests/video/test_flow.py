"""Optical flow of pictures that move by known amounts, and the camera's share of it."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from frameflow.errors import FrameFlowError, UsageError
from frameflow.video.flow import camera_motion, flow_picture, optical_flow, without_camera

SIZE = 96
SIX = st.lists(st.floats(-4, 4), min_size=6, max_size=6)


def _texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 2)
    grey = np.interp(noise, (noise.min(), noise.max()), (0, 255)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _scene(pan: tuple[int, int], square: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two frames: the background goes by ``pan`` px (right, down), a square by ``square``."""
    wide, patch = _texture(0, SIZE + 40, SIZE + 40), _texture(1, 24, 24)
    frames = []
    for moment in (0, 1):
        x, y = 20 - moment * pan[0], 20 - moment * pan[1]
        frame = wide[y : y + SIZE, x : x + SIZE].copy()
        left, top = 36 + moment * square[0], 40 + moment * square[1]
        frame[top : top + 24, left : left + 24] = patch
        frames.append(frame[None])
    return frames[0], frames[1]


# The middle of the square in the first frame, and the background away from square and rim.
INSIDE = (0, slice(46, 58), slice(42, 54))
BACKGROUND = np.ones((1, SIZE, SIZE), bool)
BACKGROUND[:, 30:76, 26:76] = False
BACKGROUND[:, :12] = BACKGROUND[:, -12:] = BACKGROUND[:, :, :12] = BACKGROUND[:, :, -12:] = False


def test_flow_says_where_each_pixel_goes() -> None:
    flow = optical_flow(*_scene(pan=(0, 0), square=(5, -3)))
    assert flow.shape == (1, SIZE, SIZE, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[INSIDE], axis=(0, 1)), [5, -3], atol=0.3)
    assert np.abs(flow[BACKGROUND]).max() < 0.5


@pytest.mark.parametrize("pan", [(4, 0), (-3, 2), (0, -6)])
def test_what_a_camera_pans_over_is_still_and_what_moves_keeps_its_own_motion(
    pan: tuple[int, int],
) -> None:
    frames = _scene(pan, square=(5, -3))
    assert np.linalg.norm(np.median(optical_flow(*frames)[BACKGROUND], axis=0) - pan) < 0.3
    flow = without_camera(optical_flow(*frames))
    assert np.abs(flow[BACKGROUND]).mean() < 0.1
    assert np.percentile(np.abs(flow[BACKGROUND]), 99) < 0.5
    own = np.subtract((5, -3), pan)
    np.testing.assert_allclose(np.median(flow[INSIDE], axis=(0, 1)), own, atol=0.4)


def _affine(six: list[float], height: int, width: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    flow = np.array(six).reshape(2, 3) @ np.stack([np.ones_like(x), x, y]).reshape(3, -1)
    return flow.T.reshape(1, height, width, 2).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(SIX, st.integers(40, 160), st.integers(40, 160), st.integers(0, 99))
def test_a_camera_that_zooms_and_rolls_is_found_though_a_quarter_moves_by_itself(
    six: list[float], height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    camera = _affine(six, height, width)
    flow = camera + rng.normal(scale=0.05, size=camera.shape).astype(np.float32)
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    flow[0, top : top + height // 2, left : left + width // 2] += rng.uniform(6, 12)
    np.testing.assert_allclose(camera_motion(flow)[0], np.reshape(six, (2, 3)), atol=0.1)
    expected = flow - camera
    np.testing.assert_allclose(without_camera(flow), expected, atol=0.25)


def test_each_flow_has_its_own_camera() -> None:
    flows = np.concatenate([_affine([k, 0, 1, -k, 2, 0], 40, 60) for k in range(3)])
    assert np.abs(without_camera(flows)).max() < 1e-3
    np.testing.assert_array_equal(without_camera(flows)[1:2], without_camera(flows[1:2]))


def test_still_frames_are_mid_grey() -> None:
    before, _ = _scene((0, 0), (0, 0))
    assert (flow_picture(without_camera(optical_flow(before, before))) == 128).all()


def test_the_picture_shows_right_as_red_down_as_green_and_speed_as_blue() -> None:
    flow = np.array([[[[3, 0], [0, -4], [3, 4], [-99, 99]]]], np.float32)
    assert flow_picture(flow)[0, 0].tolist() == [
        [128 + 24, 128, 128 + 24],
        [128, 128 - 32, 128 + 32],
        [128 + 24, 128 + 32, 128 + 40],
        [0, 255, 255],
    ]
    assert flow_picture(flow, 0.5)[0, 0, 0].tolist() == [140, 128, 140]


def test_a_picture_that_goes_black_has_a_flow() -> None:
    before, _ = _scene((0, 0), (0, 0))
    assert np.isfinite(without_camera(optical_flow(before, np.zeros_like(before)))).all()


def test_frames_too_small_or_unlike_are_refused() -> None:
    small = np.zeros((1, 11, 40, 3), np.uint8)
    with pytest.raises(UsageError, match="12 x 12 px or more, not 40 x 11"):
        optical_flow(small, small)
    with pytest.raises(UsageError, match="of one shape"):
        optical_flow(np.zeros((2, 20, 20, 3), np.uint8), np.zeros((1, 20, 20, 3), np.uint8))


def test_without_opencv_the_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    frames = np.zeros((1, 20, 20, 3), np.uint8)
    with pytest.raises(FrameFlowError, match=r"pip install 'frameflow-video\[flow\]'"):
        optical_flow(frames, frames)
