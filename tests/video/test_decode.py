"""Frames equal those of the ffmpeg command, in any order, size and container."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameflow.errors import UsageError, VideoError
from frameflow.video.decode import iter_frames, read_frames, read_frames_at
from frameflow.video.probe import frame_times, probe

Frames = NDArray[np.uint8]
Video = Callable[[str], Path]
Reference = Callable[..., Frames]

# Tells the ffmpeg command where H.264 and MPEG-4 place their chroma, which it else does not heed.
LEFT = "in_h_chr_pos=0:in_v_chr_pos=128"

# Their chroma is interpolated even in their own size; that of all others is repeated.
INTERPOLATED = ("ten_bit.mp4", "odd_sizes.mkv")


def test_frames_equal_those_of_the_ffmpeg_command(
    any_video: Path, ffmpeg_frames: Reference
) -> None:
    info = probe(any_video)
    options = ("-vf", f"scale=flags=bilinear:{LEFT}") if any_video.name in INTERPOLATED else ()
    expected = ffmpeg_frames(any_video, info.width, info.height, *options)
    assert len(expected) == info.frames
    streamed = [(i, s, frame) for i, s, frame in iter_frames(any_video)]
    assert [i for i, _, _ in streamed] == list(range(info.frames))
    assert all(np.array_equal(f, expected[i]) for i, _, f in streamed)
    assert [s for _, s, _ in streamed] == frame_times(any_video).tolist()
    # Scattered frames take shorter ways through the file, to the same pixels.
    generator = np.random.default_rng(7)
    for many in (1, 2, 5, 16):
        indices = generator.integers(0, info.frames, many)
        assert np.array_equal(read_frames(any_video, indices), expected[indices])
    indices = generator.integers(0, info.frames, 6)
    assert np.array_equal(read_frames(any_video, indices, info=info, threads=2), expected[indices])


@given(indices=st.lists(st.integers(0, 149), max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("kind", ["h264_bframes.mp4", "h264_open_gop.mkv", "hevc.mp4", "h264.ts"])
def test_scattered_frames_are_those_of_the_whole(
    kind: str, indices: list[int], video: Video, whole: Callable[[Path], Frames]
) -> None:
    path = video(kind)
    frames = read_frames(path, indices)
    assert frames.shape == (len(indices), 64, 96, 3)
    assert np.array_equal(frames, whole(path)[indices])


@pytest.fixture(scope="session")
def whole() -> Callable[[Path], Frames]:
    """All frames of a video, decoded one after the other, kept between examples."""
    kept: dict[Path, Frames] = {}

    def read(path: Path) -> Frames:
        if path not in kept:
            kept[path] = np.stack([frame for _, _, frame in iter_frames(path)])
        return kept[path]

    return read


@pytest.mark.parametrize("kind", ["h264_bframes.mp4", "hevc.mp4", "h264_open_gop.mkv", "h264.ts"])
def test_large_files_are_seeked_to_the_same_frames(
    kind: str,
    video: Video,
    whole: Callable[[Path], Frames],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = video(kind)
    expected = whole(path)
    monkeypatch.setattr("frameflow.video._packets.KEPT_BYTES", 0)
    monkeypatch.setattr("frameflow.video._packets.READ_ON", 3)
    generator = np.random.default_rng(3)
    for many in (1, 2, 4, 9):
        indices = generator.integers(0, len(expected), many)
        assert np.array_equal(read_frames(path, indices), expected[indices])
    assert probe(path).frames == len(expected)


def test_only_the_groups_of_pictures_that_hold_wanted_frames_are_decoded(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.video import _pyav

    fed = []
    real = _pyav._decoded

    def spy(stream, packet):  # type: ignore[no-untyped-def]
        fed.append(packet)
        return real(stream, packet)

    monkeypatch.setattr(_pyav, "_decoded", spy)
    read_frames(video("h264_bframes.mp4"), [1, 140])
    assert len(fed) < 40  # of 150


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize(
    ("kind", "size", "short_side", "expected_size"),
    [
        ("h264_bframes.mp4", (40, 30), None, (40, 30)),
        ("h264_bframes.mp4", None, 32, (48, 32)),
        ("h264_bframes.mp4", None, 100, (150, 100)),
        ("odd_sizes.mkv", None, 32, (49, 32)),
        ("ten_bit.mp4", (50, 20), None, (50, 20)),
        ("full_range.mp4", None, 32, (48, 32)),
        ("animated.gif", None, 32, (48, 32)),
    ],
)
def test_resized_frames_are_those_of_the_scale_filter(
    kind: str,
    size: tuple[int, int] | None,
    short_side: int | None,
    expected_size: tuple[int, int],
    interpolation: str,
    video: Video,
    ffmpeg_frames: Reference,
) -> None:
    path = video(kind)
    frames = read_frames(
        path,
        [0, 11, 4],
        size=size,
        short_side=short_side,
        interpolation=interpolation,  # type: ignore[arg-type]
    )
    width, height = expected_size
    assert frames.shape == (3, height, width, 3)
    chroma = "" if kind == "animated.gif" else f":{LEFT}"
    scale = f"scale={width}:{height}:flags={interpolation}{chroma},format=gbrp"
    expected = ffmpeg_frames(path, width, height, "-vf", scale)
    assert np.array_equal(frames, expected[[0, 11, 4]])


def test_a_rotated_video_is_resized_by_its_sides_as_shown(video: Video) -> None:
    frames = read_frames(video("rotated_90.mp4"), [3], short_side=32)
    assert frames.shape == (1, 48, 32, 3)
    upright = read_frames(video("h264_no_bframes.mkv"), [3], short_side=32)
    assert np.array_equal(frames[0], np.rot90(upright[0]))


def test_frames_by_time(video: Video) -> None:
    path = video("variable_rate.mp4")  # ten frames of 1/25 s, then frames of 3/25 s
    times = frame_times(path)
    assert times == pytest.approx([min(i, 10) / 25 + max(i - 10, 0) * 3 / 25 for i in range(30)])
    asked = [0.0, 0.039, 0.04, 0.5, 0.51, 0.52, times[-1] + 0.001]
    expected = read_frames(path, [0, 0, 1, 10, 10, 11, 29])
    frames = read_frames_at(path, asked)
    assert np.array_equal(frames, expected)


def test_times_count_from_the_first_frame(video: Video) -> None:
    assert frame_times(video("late_start.mkv"))[0] == 0
    assert probe(video("late_start.mkv")).duration == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize("seconds", [[-0.1], [1.5], [float("nan")]])
def test_times_outside_of_the_video_are_refused(video: Video, seconds: list[float]) -> None:
    with pytest.raises(UsageError, match=r"must be from 0 to the end at 1\.200"):
        read_frames_at(video("mpeg4.avi"), seconds)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", ["mpeg4.avi", "mpeg4_bframes.avi", "vp8.webm", "mpeg2.mpg"])
def test_indices_outside_of_the_video_are_refused(video: Video, kind: str, known: bool) -> None:
    info = probe(video(kind)) if known else None
    with pytest.raises(UsageError, match=r"\(30, 99\) must be below 30"):
        read_frames(video(kind), [3, 30, 99], info=info)
    with pytest.raises(UsageError, match=r"\(-1\) must be 0 or more"):
        read_frames(video(kind), [-1, 3], info=info)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": (0, 10)}, r"size \(\(0, 10\)\) must be"),
        ({"short_side": 0}, r"short_side \(0\) must be at least 1"),
        ({"short_side": 8, "size": (8, 8)}, "not both"),
        ({"interpolation": "cubic"}, r"interpolation \('cubic'\) must be one of 'bilinear'"),
        ({"threads": 0}, r"threads \(0\) must be at least 1"),
    ],
)
def test_wrong_options_are_refused(video: Video, options: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_frames(video("mpeg4.avi"), [0], **options)


def test_indices_are_whole_numbers(video: Video) -> None:
    with pytest.raises(UsageError, match="whole numbers"):
        read_frames(video("mpeg4.avi"), [0.5])  # type: ignore[list-item]


def test_the_callers_frames_are_his_own(video: Video) -> None:
    kept = [frame for _, _, frame in iter_frames(video("mpeg4.avi"))]
    for frame in kept:
        frame[:] = 0  # writable, and no view of what comes next
    assert read_frames(video("mpeg4.avi"), [0]).max() > 0


class TestDamaged:
    """A broken frame in the middle costs that frame, never the clip or the order."""

    @pytest.fixture
    def broken(self, video: Video, tmp_path: Path) -> tuple[Path, int]:
        """A copy of a video one frame of which is overwritten, and the index of that frame."""
        import av

        path = video("lossless.mkv")
        with av.open(str(path)) as container:
            packets = [p for p in container.demux(video=0) if p.size]
        data = bytearray(path.read_bytes())
        at = bytes(data).index(bytes(packets[12]))
        data[at : at + packets[12].size] = b"\xff" * packets[12].size
        copy = tmp_path / "broken.mkv"
        copy.write_bytes(data)
        return copy, 12

    def test_the_frame_before_stands_in(
        self, broken: tuple[Path, int], video: Video, caplog: pytest.LogCaptureFixture
    ) -> None:
        path, lost = broken
        whole = read_frames(video("lossless.mkv"), range(30))
        expected = whole.copy()
        expected[lost] = whole[lost - 1]
        assert probe(path).frames == 30
        assert probe(path, count=True).frames == 29
        assert np.array_equal(read_frames(path, range(30)), expected)
        (said,) = caplog.messages
        assert said == f"{path}: 1 of 30 frames do not decode (12); those before stand in."
        assert np.array_equal(read_frames(path, [lost]), expected[[lost]])
        assert np.array_equal(read_frames(path, [20, lost, 2]), expected[[20, lost, 2]])

    def test_h264_goes_on_after_garbage(self, video: Video, tmp_path: Path) -> None:
        data = bytearray(video("h264_bframes.mp4").read_bytes())
        middle = len(data) // 2
        data[middle : middle + 500] = bytes(500)
        path = tmp_path / "broken.mp4"
        path.write_bytes(data)
        assert read_frames(path, range(150)).shape == (150, 64, 96, 3)
        good = read_frames(video("h264_bframes.mp4"), [0, 149])
        assert np.array_equal(read_frames(path, [0, 149]), good)

    def test_a_truncated_file_gives_the_frames_it_has(self, video: Video, tmp_path: Path) -> None:
        whole = video("h264.ts").read_bytes()
        path = tmp_path / "cut.ts"
        path.write_bytes(whole[: len(whole) // 2])
        info = probe(path)
        assert 40 < info.frames < 110
        frames = read_frames(path, range(info.frames))
        same = info.frames - 5  # the last ones may be cut through
        assert np.array_equal(frames[:same], read_frames(video("h264.ts"), range(same)))

    def test_nothing_of_ffmpeg_reaches_stderr(
        self, broken: tuple[Path, int], capfd: pytest.CaptureFixture[str]
    ) -> None:
        read_frames(broken[0], range(30), threads=2)
        assert capfd.readouterr() == ("", "")


class TestFrameFolder:
    def test_frames_come_in_the_order_of_their_numbers(
        self, frame_folder: Callable[..., Path], video: Video
    ) -> None:
        frames = read_frames(video("mpeg4.avi"), range(12))
        folder = frame_folder(frames, "frame_{}.png")  # frame_10 comes after frame_9
        assert np.array_equal(read_frames(folder, range(12)), frames)
        assert np.array_equal(read_frames(folder, [11, 2, 2]), frames[[11, 2, 2]])
        assert [i for i, _, _ in iter_frames(folder)] == list(range(12))
        assert frame_times(folder).tolist() == [i / 25 for i in range(12)]
        assert np.array_equal(read_frames_at(folder, [0.05]), frames[[1]])

    def test_images_are_resized_like_frames_of_a_file(
        self, frame_folder: Callable[..., Path], video: Video
    ) -> None:
        frames = read_frames(video("mpeg4.avi"), [0, 5])
        small = read_frames(frame_folder(frames), [0, 1], short_side=32)
        assert small.shape == (2, 32, 48, 3)
        of_file = read_frames(video("mpeg4.avi"), [0, 5], short_side=32)
        assert np.abs(small.astype(int) - of_file).mean() < 8  # RGB before resizing or after it

    def test_an_unreadable_image_shows_the_one_before(
        self, frame_folder: Callable[..., Path], video: Video
    ) -> None:
        frames = read_frames(video("mpeg4.avi"), range(5))
        folder = frame_folder(frames)
        (folder / "00001.png").write_bytes(b"")
        (folder / "00004.png").write_text("no image")
        assert np.array_equal(read_frames(folder, range(5)), frames[[1, 1, 2, 2, 4]])
        assert np.array_equal(read_frames(folder, [3]), frames[[2]])
        assert probe(folder).width == 96

    def test_images_of_other_sizes_take_the_size_of_the_first(
        self, frame_folder: Callable[..., Path]
    ) -> None:
        from PIL import Image

        folder = frame_folder(np.zeros((2, 20, 30, 3), np.uint8))
        Image.new("RGB", (60, 40), "white").save(folder / "00002.png")
        assert read_frames(folder, [0, 1])[1].mean() == 255

    @pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P", "1", "CMYK"])
    def test_images_of_other_modes_become_rgb(
        self, mode: str, frame_folder: Callable[..., Path]
    ) -> None:
        from PIL import Image

        folder = frame_folder(np.zeros((1, 8, 8, 3), np.uint8), "{}.tif")
        if mode == "I;16":
            image = Image.fromarray(np.full((8, 8), 128 * 256, np.uint16))
        else:
            image = Image.new("RGB", (8, 8), (128, 128, 128)).convert(mode)
        image.save(folder / "1.tif")
        frame = read_frames(folder, [0])[0]
        assert frame.shape == (8, 8, 3)
        if mode not in ("1", "P"):
            assert np.abs(frame.astype(int) - 128).max() <= 2

    def test_orientation_of_photos_is_applied(self, frame_folder: Callable[..., Path]) -> None:
        from PIL import Image

        folder = frame_folder(np.zeros((1, 8, 12, 3), np.uint8), "{}.jpg")
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        Image.new("RGB", (12, 8)).save(folder / "1.jpg", exif=exif)
        info = probe(folder)
        assert (info.width, info.height) == (8, 12)
        assert read_frames(folder, [0]).shape == (1, 12, 8, 3)

    def test_indices_outside_are_refused(self, frame_folder: Callable[..., Path]) -> None:
        folder = frame_folder(np.zeros((2, 8, 8, 3), np.uint8))
        with pytest.raises(UsageError, match=r"\(2\) must be below 2"):
            read_frames(folder, [0, 2])

    def test_no_readable_image_is_an_error(self, frame_folder: Callable[..., Path]) -> None:
        folder = frame_folder(np.zeros((2, 8, 8, 3), np.uint8))
        for file in folder.iterdir():
            file.write_bytes(b"none")
        for read in (probe, lambda f: read_frames(f, [0])):
            with pytest.raises(VideoError, match="has no image that can be read"):
                read(folder)


def test_an_8k_frame(tmp_path: Path) -> None:
    import av

    path = tmp_path / "8k.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuvj420p"
        frame = av.VideoFrame(7680, 4320, "yuvj420p")
        for plane, value in zip(frame.planes, (200, 128, 128)):
            plane.update(bytes([value]) * plane.buffer_size)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    info = probe(path)
    assert (info.width, info.height, info.frames) == (7680, 4320, 1)
    small = read_frames(path, [0], short_side=224)
    assert small.shape == (1, 224, 398, 3)
    assert np.abs(small.astype(int) - 200).max() <= 2


def test_threads_read_at_once(video: Video) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = video("h264_bframes.mp4")
    expected = read_frames(path, range(0, 150, 10))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: read_frames(path, range(0, 150, 10)), range(24)))
    assert all(np.array_equal(result, expected) for result in results)


def test_a_seek_that_misses_its_keyframe_is_noticed(
    video: Video, whole: Callable[[Path], Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.video import _packets

    path = video("h264_bframes.mp4")
    expected = whole(path)
    monkeypatch.setattr(_packets, "KEPT_BYTES", 0)
    real = _packets.read_packets

    def late(container, stream, packets, spans):  # type: ignore[no-untyped-def]
        class Late:
            """A container whose seeks land 30 frames too late."""

            def seek(self, stamp: int, *, stream: object) -> None:
                container.seek(stamp + 30 * int(packets.stamps[-1]) // 150, stream=stream)

            def demux(self, stream: object) -> object:
                return container.demux(stream)

        return real(Late(), stream, packets, spans)

    monkeypatch.setattr("frameflow.video._pyav.read_packets", late)
    assert np.array_equal(read_frames(path, [50, 80]), expected[[50, 80]])
