"""What is written is read back."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from frameflow.errors import FrameFlowError, UsageError
from frameflow.video import write
from frameflow.video.synthetic import render_clip
from frameflow.video.write import contact_sheet, save_image, thumbnail, write_gif, write_video


def _ramp(count: int, height: int, width: int) -> np.ndarray:
    """Frames from dark to bright, so that their order can be told."""
    levels = np.linspace(20, 235, count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def _read(path: Path) -> tuple[np.ndarray, float, str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate), stream.codec_context.codec.name


@pytest.mark.parametrize(
    ("height", "width", "read"),
    [
        (48, 64, (48, 64)),
        (47, 65, (48, 66)),  # odd sides are padded to even ones
        (1, 1, (2, 2)),
    ],
)
def test_a_video_is_read_back_as_it_was(
    tmp_path: Path, height: int, width: int, read: tuple[int, int]
) -> None:
    frames = _ramp(12, height, width)
    write_video(tmp_path / "a.mp4", frames, rate=30)
    back, rate, codec = _read(tmp_path / "a.mp4")
    assert codec == "h264"
    assert rate == pytest.approx(30)
    assert back.shape == (12, *read, 3)
    assert np.abs(back[:, :height, :width].astype(int) - frames).max() <= 4
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


@pytest.mark.parametrize("rate", [12.5, 24000 / 1001, 29.97, 60])
def test_rates_that_are_no_whole_numbers_survive(tmp_path: Path, rate: float) -> None:
    write_video(tmp_path / "a.mp4", _ramp(8, 16, 16), rate=rate)
    assert _read(tmp_path / "a.mp4")[1] == pytest.approx(rate, rel=1e-4)


def test_frames_may_come_one_by_one(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", (frame for frame in _ramp(5, 16, 24)))
    assert len(_read(tmp_path / "a.mp4")[0]) == 5


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    """Or the demo would draw other clips each time, and score otherwise."""
    frames = render_clip("wave", seed=0, frames=32)
    written = set()
    for _ in range(4):
        write_video(tmp_path / "a.mp4", frames, rate=16)
        written.add((tmp_path / "a.mp4").read_bytes())
    assert len(written) == 1


def test_without_an_encoder_for_h264_another_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_ENCODERS", ("no_such_encoder", "mpeg4"))
    frames = _ramp(6, 32, 32)
    write_video(tmp_path / "a.mp4", frames)
    back, _, codec = _read(tmp_path / "a.mp4")
    assert codec == "mpeg4"
    assert np.abs(back.astype(int) - frames).max() <= 8


def test_a_failed_video_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, _ramp(3, 16, 16))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"frame \(8, 8, 3\) must be like the first"):
        write_video(path, [np.zeros((16, 16, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["absent/a.mp4", "a.unknown"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FrameFlowError, match="cannot be written: ") as error:
        write_video(tmp_path / name, _ramp(60, 16, 16))
    assert str(tmp_path / name) in str(error.value)
    assert "partial" not in str(error.value)


def test_a_gif_plays_in_order_loops_and_is_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = np.broadcast_to(rng.integers(0, 256, (120, 400, 3)), (10, 120, 400, 3))
    frames = frames.astype(np.uint8)
    for i, frame in enumerate(frames):
        frame[40:80, 20 + 30 * i : 60 + 30 * i] = (255, 0, 0)
    write_gif(tmp_path / "a.gif", frames, rate=10, width=200)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 10
        assert image.size == (200, 60)
        assert image.info["loop"] == 0
        assert image.info["duration"] == 100
        places = []
        for i in range(10):
            image.seek(i)
            pixels = np.asarray(image.convert("RGB")).astype(int)
            red = (pixels[..., 0] > 180) & (pixels[..., 1] < 80) & (pixels[..., 2] < 80)
            places.append(np.nonzero(red[20:40].all(axis=0))[0].mean())
    assert np.allclose(np.diff(places), 15, atol=1)


def test_noise_of_a_camera_costs_a_gif_little_and_slow_changes_still_show(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(20, 230, (60, 80, 3))
    noisy = (still + rng.integers(-4, 5, (12, 60, 80, 3))).astype(np.uint8)
    write_gif(tmp_path / "one.gif", noisy[:1])
    write_gif(tmp_path / "noisy.gif", noisy)
    sizes = [(tmp_path / name).stat().st_size for name in ("one.gif", "noisy.gif")]
    assert sizes[1] < 2 * sizes[0]
    write_gif(tmp_path / "slow.gif", _ramp(40, 16, 16))  # 5 levels brighter with each frame
    with Image.open(tmp_path / "slow.gif") as image:
        image.seek(image.n_frames - 1)
        assert np.asarray(image.convert("L")).mean() > 215


def test_a_gif_never_asks_for_frames_shorter_than_viewers_show(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", _ramp(4, 16, 16), rate=500)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["duration"] == 20


def test_equal_frames_make_a_gif_too(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", np.zeros((3, 8, 8, 3), np.uint8), rate=10)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (8, 8)


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [
        (6, 3, (2 * 30 + 2, 3 * 40 + 4)),
        (5, 3, (2 * 30 + 2, 3 * 40 + 4)),  # one place stays empty
        (2, 8, (30, 2 * 40 + 2)),  # no more columns than frames
        (12, None, (4 * 30 + 6, 3 * 40 + 4)),  # about as wide as high
    ],
)
def test_a_contact_sheet_reads_like_text(
    count: int, columns: int | None, shape: tuple[int, int]
) -> None:
    frames = _ramp(count, 30, 40)
    sheet = contact_sheet(frames, columns=columns)
    assert sheet.shape == (*shape, 3)
    per_row = (shape[1] + 2) // 42
    for i in range(count):
        y, x = 32 * (i // per_row), 42 * (i % per_row)
        assert (sheet[y : y + 30, x : x + 40] == frames[i]).all()
    assert count != 5 or (sheet[32:, 84:] == 255).all()


def test_a_contact_sheet_can_be_made_smaller() -> None:
    assert contact_sheet(_ramp(4, 90, 160), columns=2, width=80, gap=0).shape == (90, 160, 3)


@pytest.mark.parametrize("shape", [(180, 320, 3), (2, 180, 320, 3), (900, 30, 3), (4, 4, 3)])
def test_a_thumbnail_is_a_small_jpeg(shape: tuple[int, ...]) -> None:
    data = thumbnail(np.full(shape, 90, np.uint8), size=(64, 36))
    count = shape[0] if len(shape) == 4 else 1
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert image.size == (64 * count + 2 * (count - 1), 36)
        assert np.abs(np.asarray(image)[:, :60].astype(int) - 90).max() <= 2
    assert len(data) < 4000


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp"])
def test_an_image_is_read_back(tmp_path: Path, name: str) -> None:
    picture = _ramp(1, 20, 30)[0]
    save_image(tmp_path / name, picture)
    with Image.open(tmp_path / name) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - picture).max() <= 2


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "frames (0) must be > 0"),
        (np.zeros((2, 8, 8, 3), np.float32), "frames (float32) must be uint8"),
        (np.zeros((2, 8, 8), np.uint8), "must have the shape (T, height, width, 3)"),
        (np.zeros((2, 0, 8, 3), np.uint8), "must have the shape (T, height, width, 3)"),
    ],
)
def test_wrong_frames_are_refused(tmp_path: Path, frames: np.ndarray, message: str) -> None:
    for refuse in (
        lambda: write_video(tmp_path / "a.mp4", frames),
        lambda: write_gif(tmp_path / "a.gif", frames),
        lambda: contact_sheet(frames),
    ):
        with pytest.raises(UsageError) as error:
            refuse()
        assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_wrong_options_are_repeated(tmp_path: Path) -> None:
    frames = _ramp(2, 8, 8)
    with pytest.raises(UsageError, match=r"rate \(0\) must be > 0"):
        write_video(tmp_path / "a.mp4", frames, rate=0)
    with pytest.raises(UsageError, match=r"quality \(99\) must be"):
        write_video(tmp_path / "a.mp4", frames, quality=99)
    with pytest.raises(UsageError, match=r"colours \(1\) must be"):
        write_gif(tmp_path / "a.gif", frames, colours=1)
    with pytest.raises(UsageError, match=r"columns \(0\) must be"):
        contact_sheet(frames, columns=0)
    with pytest.raises(UsageError, match="must end in one of"):
        save_image(tmp_path / "a.bmp", frames[0])
