"""What streams look at, on clips made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from frameflow.config import Stream
from frameflow.errors import UsageError
from frameflow.models.streams import difference, stack, stream_images
from frameflow.video.clip import Clip
from frameflow.video.transform import grey

pixels = arrays(np.uint8, (2, 3, 4, 3))


def _clip(frames: np.ndarray, runs: dict | None = None) -> Clip:
    count = len(frames)
    return Clip(frames, np.ones(count, bool), np.arange(count), np.arange(count) / 25, runs or {})


@given(frames=pixels, later=pixels, gain=st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0, 0.37]))
def test_difference_is_rounded_clipped_and_symmetric(
    frames: np.ndarray, later: np.ndarray, gain: float
) -> None:
    got = difference(frames, later, gain)
    change = np.rint((later.astype(np.float64) - frames) * gain)
    np.testing.assert_array_equal(got, np.clip(128 + change, 0, 255).astype(np.uint8))
    back = difference(later, frames, gain).astype(int)
    inside = np.abs(change) <= 127
    np.testing.assert_array_equal((got.astype(int) + back)[inside], 256)


def test_still_frames_are_mid_grey() -> None:
    frames = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (difference(frames, frames, 3.0) == 128).all()


def test_difference_refuses_other_shapes() -> None:
    with pytest.raises(UsageError, match="of one shape"):
        difference(np.zeros((2, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8))


@given(pixels)
def test_a_stack_of_a_still_clip_is_grey_thrice(frames: np.ndarray) -> None:
    still = stack(frames, frames, frames)
    assert still.shape == frames.shape
    assert (still == grey(frames)[..., None]).all()


def test_a_stack_shows_each_moment_in_its_colour() -> None:
    moments = [np.full((1, 2, 2, 3), level, np.uint8) for level in (10, 20, 30)]
    assert (stack(*moments) == [10, 20, 30]).all()
    with pytest.raises(UsageError, match="of one shape"):
        stack(moments[0], moments[1], moments[2][:, 1:])


def test_each_kind_looks_at_its_own_frames() -> None:
    levels = [np.full((3, 2, 2, 3), level, np.uint8) for level in (10, 20, 40)]
    clip = _clip(levels[0], {(2, 2): (levels[0], levels[1]), (3, 3): tuple(levels)})
    assert stream_images(Stream(), clip) is clip.frames
    changed = stream_images(Stream(kind="difference", gap=2, gain=2), clip)
    assert (changed == 148).all()
    assert (stream_images(Stream(kind="stack", gap=3), clip) == [10, 20, 40]).all()
    for kind, gap in (("difference", 3), ("stack", 2), ("flow", 1)):
        with pytest.raises(UsageError, match=rf"gap \({gap}\) must be one of the requested"):
            stream_images(Stream(kind=kind, gap=gap), clip)


@pytest.mark.parametrize("kind", ["rgb", "difference", "stack"])
def test_times_and_a_mirror_choose_from_the_same_images(kind: str) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8) for _ in range(3)]
    clip = _clip(frames[0], {(1, 2): (frames[0], frames[1]), (1, 3): tuple(frames)})
    stream = Stream(kind=kind)
    whole, times = stream_images(stream, clip), np.array([3, 1])
    assert (stream_images(stream, clip, times) == whole[times]).all()
    assert (stream_images(stream, clip, times, flip=True) == whole[times, :, ::-1]).all()


def test_a_flow_stream_shows_what_moves_and_mirrors_its_direction() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    later = before.copy()
    later[:, 24:40, 28:44] = before[:, 24:40, 24:40]
    clip = _clip(before, {(1, 2): (before, later)})
    images = stream_images(Stream(kind="flow", gain=2), clip)
    assert images.shape == before.shape
    right, down, speed = images[:, 28:36, 28:36].reshape(-1, 3).mean(axis=0)
    assert right > 140
    assert abs(down - 128) < 6
    assert speed > 140
    mirrored = stream_images(Stream(kind="flow", gain=2), clip, np.array([1]), flip=True)
    assert mirrored.shape == (1, 64, 64, 3)
    assert mirrored[:, 28:36, 28:36, 0].mean() < 116  # to the left
    assert mirrored[:, 28:36, 28:36, 2].mean() > 140
