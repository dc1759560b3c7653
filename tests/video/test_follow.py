"""A square that goes over a background of blocks, filmed by a camera that may pan."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from frameflow.config import Sampling, Stream
from frameflow.data.manifest import Region
from frameflow.errors import UsageError
from frameflow.models.streams import stream_images
from frameflow.video.clip import ClipRequest, read_clips
from frameflow.video.follow import track_motion
from frameflow.video.transform import grey
from frameflow.video.write import write_video

WIDTH, HEIGHT, SIDE, COUNT = 160, 96, 18, 24
STILL = np.zeros((COUNT, 2))


@lru_cache
def _background(seed: int = 0) -> np.ndarray:
    """Coloured blocks, blurred a little, with room for the camera to pan; no red."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 200, (30, 40, 3)).repeat(12, 0).repeat(12, 1)
    blocks[..., 0] //= 3
    return ndimage.gaussian_filter(blocks.astype(np.float32), (1, 1, 0))


def _film(path: np.ndarray, camera: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N, H, W, 3): a red square with its middle at ``path`` px; the camera has gone ``camera``."""
    wide, frames = _background(seed), []
    for (x, y), (right, down) in zip(path, camera):
        (y0, part_y), (x0, part_x) = (divmod(start, 1) for start in (100 + down, 150 + right))
        part = wide[int(y0) : int(y0) + HEIGHT + 1, int(x0) : int(x0) + WIDTH + 1]
        part = (1 - part_y) * part[:-1] + part_y * part[1:]
        frame = ((1 - part_x) * part[:, :-1] + part_x * part[:, 1:]).astype(np.uint8)
        left, top = round(x - SIDE / 2), round(y - SIDE / 2)
        frame[max(0, top) : max(0, top + SIDE), max(0, left) : max(0, left + SIDE)] = (250, 30, 30)
        frames.append(frame)
    return np.stack(frames)


def _line(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    return np.linspace(start, end, COUNT)


def _sway(right: float, down: float) -> np.ndarray:
    """A camera that goes there and some of the way back, by parts of a pixel."""
    swing = np.sin(np.linspace(0, 2.2, COUNT))[:, None]
    return swing * (right, down)


PLACES = st.tuples(st.floats(30, WIDTH - 30), st.floats(24, HEIGHT - 24))
PANS = st.tuples(st.floats(-40, 40), st.floats(-12, 12))


# The same fifteen each time: a camera that pans as fast as something walks can lose it, as from
# (30, 24) to (102, 24) under a pan by (-32, 0).
@settings(max_examples=15, deadline=None, derandomize=True)
@given(PLACES, PLACES, PANS, st.integers(0, 9))
def test_the_centre_is_on_what_moves_whether_the_camera_is_still_or_pans(
    start: tuple[float, float], end: tuple[float, float], pan: tuple[float, float], seed: int
) -> None:
    path = _line(start, end)
    for camera in (STILL, _sway(*pan)):
        own = path + camera  # the way over the background
        if np.linalg.norm(own[-1] - own[0]) < 40:
            continue
        track = track_motion(grey(_film(path, camera, seed)), np.arange(COUNT))
        off = np.abs(track.centres * (WIDTH, HEIGHT) - path)
        assert off.max() < 0.3 * HEIGHT
        assert off.mean() < 0.08 * HEIGHT


@settings(max_examples=15, deadline=None)
@given(PLACES, PLACES, PANS, st.integers(0, 9))
def test_the_camera_is_found_to_parts_of_a_pixel(
    start: tuple[float, float], end: tuple[float, float], pan: tuple[float, float], seed: int
) -> None:
    camera = _sway(*pan)
    track = track_motion(grey(_film(_line(start, end), camera, seed)), np.arange(COUNT))
    steps = np.diff(track.camera * (WIDTH, HEIGHT), axis=0)
    error = np.abs(steps + np.diff(camera, axis=0))
    assert np.median(error) < 0.05
    assert (error > 0.3).sum() <= 2


def test_where_nothing_moves_the_centre_is_followed() -> None:
    nowhere = np.full((COUNT, 2), -99.0)
    for camera in (STILL, _sway(30, 8)):
        track = track_motion(grey(_film(nowhere, camera)), np.arange(COUNT))
        assert (track.centres == 0.5).all()
    flat = track_motion(np.full((5, 40, 60), 17, np.uint8), np.arange(5))
    assert (flat.centres == 0.5).all()
    assert (flat.camera == 0).all()
    tiny = track_motion(
        np.random.default_rng(0).integers(0, 255, (3, 2, 60), np.uint8), np.arange(3)
    )
    assert (tiny.centres == 0.5).all()


def test_a_black_last_frame_changes_nothing_before_it() -> None:
    path, camera = _line((40, 40), (120, 60)), _sway(10, 3)
    frames = grey(_film(path, camera))
    usual = track_motion(frames[:-1], np.arange(COUNT - 1))
    frames[-1] = 3
    track = track_motion(frames, np.arange(COUNT))
    np.testing.assert_allclose(track.centres[:-1], usual.centres, atol=0.02)
    np.testing.assert_array_equal(track.camera[:-1], usual.camera)
    np.testing.assert_array_equal(track.camera[-1], track.camera[-2])


def test_a_passer_by_for_some_frames_does_not_take_the_square_away() -> None:
    path = _line((40, 48), (75, 48))
    film = _film(path, STILL)
    for row in range(10, 15):
        film[row, 10:40, 110 + 9 * (row - 10) :][:, :14] = 255
    track = track_motion(grey(film), np.arange(COUNT))
    assert np.abs(track.centres[:, 0] * WIDTH - path[:, 0]).max() < 25


def test_a_cut_is_no_motion_of_the_camera() -> None:
    one = _film(_line((40, 40), (70, 60)), _sway(8, 0), 0)[:12]
    two = _film(_line((120, 50), (90, 40)), _sway(8, 0), 5)[:12]
    track = track_motion(grey(np.concatenate([one, two])), np.arange(24))
    assert (track.camera[12] == track.camera[11]).all()
    assert np.abs(np.diff(track.camera[:, 0] * WIDTH)).max() < 2
    assert track.centres[2, 0] < 0.45 < 0.55 < track.centres[21, 0]


def test_frames_of_a_long_span_need_not_be_close() -> None:
    path = _line((30, 40), (130, 60))
    frames, sparse = grey(_film(path, STILL)), np.arange(0, COUNT, 3)
    track = track_motion(frames[sparse], 10 * sparse)
    assert np.abs(track.centres * (WIDTH, HEIGHT) - path[sparse]).max() < 0.25 * HEIGHT


def test_wrong_frames_are_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(2, height, width\), not uint8 \(3, 9, 9\)"):
        track_motion(np.zeros((3, 9, 9), np.uint8), np.arange(2))
    with pytest.raises(UsageError, match="must increase"):
        track_motion(np.zeros((2, 9, 9), np.uint8), np.array([1, 1]))


# What is read of a video -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, np.ndarray], Path]:
    """Write frames as a folder of images, which keeps every level."""

    def frames_folder(name: str, frames: np.ndarray) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / f"{number:03d}.png", compress_level=1)
        return folder

    return frames_folder


def _red(frames: np.ndarray) -> np.ndarray:
    """How much of the square each frame shows, 1 for all of it where a px of the film is one."""
    return (frames[..., 0].astype(int) - frames[..., 1] > 120).sum(axis=(1, 2)) / SIDE**2


@pytest.mark.parametrize("pan", [(0, 0), (36, 8)])
def test_the_clip_shows_the_square_all_the_time(write: Callable, pan: tuple[int, int]) -> None:
    path = _line((24, 30), (136, 66))
    folder = write("film", _film(path, _sway(*pan)))
    request = ClipRequest(Sampling(frames=8), size=58, fit="follow", follow=0.6)
    (clip,) = read_clips(folder, request)
    assert clip.frames.shape == (8, 58, 58, 3)
    assert _red(clip.frames).min() > 0.7
    (centre,) = read_clips(folder, ClipRequest(Sampling(frames=8), size=58))
    assert _red(centre.frames).min() < 0.15  # which the middle of the frame does not
    (large,) = read_clips(folder, ClipRequest(Sampling(frames=8), 116, "follow", follow=0.6))
    assert _red(large.frames).min() > 0.7 * 4


@pytest.mark.parametrize(("kind", "gap"), [("difference", 2), ("stack", 1), ("flow", 2)])
def test_what_stands_still_stays_still_though_the_camera_pans(
    write: Callable, kind: str, gap: int
) -> None:
    path, camera = _line((24, 30), (136, 66)), _line((0, 0), (46, 9))
    folder = write("pan", _film(path, camera))
    stream = Stream(kind=kind, gap=gap)
    residue = {}
    for fit in ("follow", "crop"):
        request = ClipRequest(
            Sampling(frames=6), size=76, fit=fit, gaps=(gap,), stacks=(gap,), follow=0.8
        )
        (clip,) = read_clips(folder, request)
        images = stream_images(stream, clip).astype(int)
        still = np.ptp(images, axis=3) if kind == "stack" else np.abs(images - 128).max(axis=3)
        for shown in (clip.frames, *clip.pair(gap), *clip.stack(gap)):
            reddish = shown[..., 0].astype(int) - shown[..., 1] > 60
            still[ndimage.binary_dilation(reddish, np.ones((1, 13, 13)))] = 0
        residue[fit] = np.percentile(still, 95)
    assert residue["follow"] < 10
    if kind != "flow":  # which finds the camera's motion itself
        assert residue["crop"] > 3 * residue["follow"]


def test_all_frames_of_a_run_look_at_one_place(write: Callable) -> None:
    folder = write("still", _film(_line((24, 30), (136, 66)), STILL))
    request = ClipRequest(Sampling(frames=6), 76, "follow", gaps=(3,))
    (clip,) = read_clips(folder, request)
    before, later = clip.pair(3)
    moved = (np.abs(later.astype(int) - before) > 2).any(axis=3)
    red = np.maximum(*(shown[..., 0].astype(int) - shown[..., 1] for shown in (before, later)))
    near = ndimage.binary_dilation(red > 60, np.ones((1, 7, 7)))
    assert not (moved & ~near).any()
    assert moved.any()
    assert before[:-1].tobytes() == clip.frames[:-1].tobytes()  # all but that shifted back


def test_the_square_stays_in_the_region(write: Callable) -> None:
    film = _film(_line((24, 30), (136, 66)), STILL)
    film[:, :, 100:] //= 8
    folder = write("region", film)
    region = Region(0.0, 0.125, 0.625, 0.75)  # 100 x 72 px
    request = ClipRequest(Sampling(frames=8), 36, "follow", follow=0.5)
    (clip,) = read_clips(folder, request, region=region)
    assert clip.frames.mean(axis=(1, 2, 3)).min() > 40
    assert _red(clip.frames)[:4].min() > 0.5


def test_nothing_after_the_ending_frame_is_looked_at(write: Callable) -> None:
    film = _film(_line((24, 30), (136, 66)), STILL)
    request = ClipRequest(Sampling(frames=6, stride=2), 60, "follow", gaps=(2,))
    (clip,) = read_clips(write("whole", film), request, frame=14)
    (same,) = read_clips(write("cut", film[:15]), request, frame=14)
    assert (clip.pack() == same.pack()).all()


@pytest.mark.parametrize("size", [(40, 24), (9, 200), (3, 5)])
def test_any_frame_can_be_followed_in(write: Callable, size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, *size[::-1], 3), dtype=np.uint8)
    folder = write("any", frames)
    for follow in (0.3, 1.0):
        request = ClipRequest(
            Sampling(strategy="first", frames=4), 20, "follow", gaps=(1,), follow=follow
        )
        (clip,) = read_clips(folder, request)
        assert clip.frames.shape == (4, 20, 20, 3)
        assert clip.frames[:3].std() > 10
        assert (clip.frames[3] == 0).all()


def test_all_views_are_followed_in_two_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.video import clip as clip_module

    path = tmp_path / "film.mp4"
    write_video(path, _film(_line((24, 30), (136, 66)), STILL), rate=25, quality=4)
    passes, stream = [], clip_module.stream_frames
    monkeypatch.setattr(
        clip_module, "stream_frames", lambda *given: passes.append(given) or stream(*given)
    )
    request = ClipRequest(Sampling(frames=4), 60, "follow", views=3, gaps=(1,), stacks=(2,))
    clips = read_clips(path, request)
    assert len(clips) == 3
    assert len(passes) == 2
    assert all(_red(clip.frames).min() > 0.4 for clip in clips)
