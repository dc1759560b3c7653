"""What a video is, and a short clear reason where it cannot be read."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.errors import VideoError
from frameflow.video._truncation import declared_bytes
from frameflow.video.decode import iter_frames, read_frames
from frameflow.video.probe import VideoInfo, frame_times, probe

Video = Callable[[str], Path]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mpeg4.avi", {"frames": 30, "codec": "mpeg4", "rate": 25.0, "duration": 1.2}),
        ("h264_bframes.mp4", {"frames": 150, "codec": "h264", "duration": 6.0}),
        ("vp9.webm", {"frames": 30, "codec": "vp9", "rate": 25.0, "variable_rate": False}),
        ("hevc.mp4", {"codec": "hevc", "pixel_format": "yuv420p"}),
        ("av1.mp4", {"frames": 30, "codec": "av1"}),
        ("ten_bit.mp4", {"pixel_format": "yuv420p10le"}),
        ("odd_sizes.mkv", {"width": 97, "height": 63}),
        ("with_audio.mp4", {"has_audio": True, "frames": 30}),
        ("h264.ts", {"has_audio": False, "frames": 150, "rate": 25.0, "counted": False}),
        ("one_frame.mp4", {"frames": 1, "duration": 0.04, "variable_rate": False}),
        ("animated.gif", {"frames": 30, "codec": "gif", "rate": 25.0}),
        # a packet need not be a frame: these are decoded to be counted
        ("vp8.webm", {"frames": 30, "codec": "vp8", "counted": True, "duration": 1.2}),
        ("mpeg2.mpg", {"frames": 30, "codec": "mpeg2video", "counted": True}),
        # frames that an edit list hides, or that come before the first keyframe, are none
        ("edit_list.mp4", {"frames": 117, "rate": 25.0}),
        ("cut_mid_gop.ts", {"counted": True}),
        # sizes are those of the frames as shown
        ("rotated_90.mp4", {"width": 64, "height": 96, "rotation": 270}),
        ("rotated_180.mp4", {"width": 96, "height": 64, "rotation": 180}),
        ("rotated_270.mp4", {"width": 64, "height": 96, "rotation": 90}),
        ("mirrored.mp4", {"width": 96, "height": 64, "rotation": 0}),
        # ten frames of 1/25 s, then twenty of 3/25 s
        ("variable_rate.mp4", {"variable_rate": True, "frames": 30, "rate": 29 / 2.68}),
        ("variable_rate.mkv", {"variable_rate": True, "frames": 30, "rate": 29 / 2.68}),
        ("late_start.mkv", {"duration": 1.2, "variable_rate": False}),
    ],
)
def test_what_a_video_is(kind: str, expected: dict[str, Any], video: Video) -> None:
    info = probe(video(kind))
    for name, value in expected.items():
        close = pytest.approx(value, rel=1e-3) if isinstance(value, float) else value
        assert getattr(info, name) == close, name
    assert info.path == video(kind)
    assert info.kind == "file"
    assert not info.truncated


def test_the_number_of_frames_is_that_of_decoding(any_video: Path) -> None:
    info = probe(any_video)
    counted = probe(any_video, count=True)
    assert counted.counted
    assert counted.frames == info.frames
    times = frame_times(any_video)
    assert len(times) == info.frames
    assert times[0] == 0
    assert np.all(np.diff(times) > 0)
    assert info.duration > times[-1]


def test_rates_of_milliseconds_are_not_called_variable(tmp_path: Path) -> None:
    # Matroska rounds 29.97 frames a second to steps of 33 and 34 ms.
    import av

    path = tmp_path / "ntsc.mkv"
    with av.open(str(path), "w") as container:
        from fractions import Fraction

        stream = container.add_stream("mpeg4", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            for packet in stream.encode(av.VideoFrame(64, 48, "yuv420p")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    info = probe(path)
    assert not info.variable_rate
    assert info.rate == pytest.approx(30000 / 1001, rel=1e-4)
    assert info.frames == 40


def test_a_folder_of_frames(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(1, 13):
        Image.new("RGB", (30, 20)).save(tmp_path / f"img_{number}.jpg")
    info = probe(tmp_path)
    assert info == VideoInfo(
        path=tmp_path,
        kind="frames",
        frames=12,
        duration=12 / 25,
        rate=25.0,
        variable_rate=False,
        width=30,
        height=20,
        rotation=0,
        codec="jpeg",
        pixel_format="rgb",
        has_audio=False,
        counted=False,
    )


def cut(path: Path, share: float, into: Path) -> Path:
    data = path.read_bytes()
    copy = into / f"cut{path.suffix}"
    copy.write_bytes(data[: int(len(data) * share)])
    return copy


class TestReasons:
    """Every way of reading says the same: one short phrase, no jargon, no path in it."""

    @pytest.fixture(params=["probe", "read_frames", "iter_frames", "frame_times"])
    def reason(self, request: pytest.FixtureRequest) -> Callable[[Path], str]:
        read: Callable[[Path], object] = {
            "probe": probe,
            "read_frames": lambda path: read_frames(path, [0]),
            "iter_frames": lambda path: next(iter_frames(path)),
            "frame_times": frame_times,
        }[request.param]

        def ask(path: Path) -> str:
            with pytest.raises(VideoError) as caught:
                read(path)
            assert str(caught.value) == f"{path}: {caught.value.reason}"
            assert len(caught.value.reason) < 80
            return caught.value.reason

        return ask

    def test_missing(self, reason: Callable[[Path], str], tmp_path: Path) -> None:
        assert reason(tmp_path / "none.mp4") == "does not exist"
        (tmp_path / "file").write_text("x")
        assert reason(tmp_path / "file" / "none.mp4") == "does not exist"

    def test_empty(self, reason: Callable[[Path], str], tmp_path: Path) -> None:
        path = tmp_path / "zero.mp4"
        path.write_bytes(b"")
        assert reason(path) == "is empty (0 bytes)"

    @pytest.mark.parametrize("name", ["text.mp4", "text.avi", "text.gif"])
    @pytest.mark.parametrize("content", [b"Not a video.\n" * 100, b"x", bytes(5000)])
    def test_no_video(
        self, reason: Callable[[Path], str], tmp_path: Path, name: str, content: bytes
    ) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        assert reason(path) == "is not a video that FFmpeg can read"

    @pytest.mark.parametrize("container", ["mp4", "wav", "mkv"])
    def test_audio_only(
        self, reason: Callable[[Path], str], tmp_path: Path, container: str
    ) -> None:
        import av

        path = tmp_path / f"sound.{container}"
        with av.open(str(path), "w") as output:
            codec = "pcm_s16le" if container == "wav" else "aac"
            stream = output.add_stream(codec, rate=16000)
            silence = np.zeros((1, 16000), np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.rate = 16000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                output.mux(packet)
        assert reason(path) == "has no video stream (audio only)"

    def test_cover_art_is_no_video(
        self, reason: Callable[[Path], str], tmp_path: Path, ffmpeg_command: Callable[..., bytes]
    ) -> None:
        sound, cover, song = (tmp_path / name for name in ("a.m4a", "cover.png", "song.m4a"))
        ffmpeg_command("-f", "lavfi", "-i", "sine=duration=0.5", sound)
        ffmpeg_command("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", cover)
        ffmpeg_command(
            *("-i", sound, "-i", cover, "-map", "0", "-map", "1", "-c", "copy"),
            *("-disposition:v:0", "attached_pic", song),
        )
        assert reason(song) == "has no video stream (audio only)"

    def test_a_folder_of_other_things(self, reason: Callable[[Path], str], tmp_path: Path) -> None:
        assert reason(tmp_path) == "is a folder without numbered frame images"
        (tmp_path / "notes.txt").write_text("x")
        assert reason(tmp_path) == "is a folder without numbered frame images"

    def test_no_permission(
        self,
        reason: Callable[[Path], str],
        video: Video,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path = tmp_path / "closed.avi"
        path.write_bytes(video("mpeg4.avi").read_bytes())
        path.chmod(0)
        if os.access(path, os.R_OK):  # root may read everything: the system says no by proxy
            import builtins

            real = builtins.open

            def refuse(file: Any, *args: Any, **options: Any) -> Any:
                if file == path:
                    raise PermissionError(13, "Permission denied", str(file))
                return real(file, *args, **options)

            monkeypatch.setattr(builtins, "open", refuse)
        assert reason(path) == "may not be read (permission denied)"

    def test_truncated_before_the_first_frame(
        self, reason: Callable[[Path], str], video: Video, tmp_path: Path
    ) -> None:
        path = cut(video("h264_no_bframes.mkv"), 0.1, tmp_path)
        whole = video("h264_no_bframes.mkv").stat().st_size
        assert reason(path) == f"is truncated: {path.stat().st_size} of {whole} bytes are there"

    def test_truncated_before_the_index_at_the_end(
        self, reason: Callable[[Path], str], video: Video, tmp_path: Path
    ) -> None:
        path = cut(video("with_audio.mp4"), 0.5, tmp_path)
        assert reason(path).startswith(f"is truncated: {path.stat().st_size} of ")

    def test_a_recording_that_was_never_finished(
        self, reason: Callable[[Path], str], video: Video, tmp_path: Path
    ) -> None:
        data = video("with_audio.mp4").read_bytes()
        path = tmp_path / "unfinished.mp4"
        path.write_bytes(data[: data.index(b"moov") - 4])
        assert reason(path) == "is truncated: its index, which is written last, is missing"


def test_nothing_that_decodes(video: Video, tmp_path: Path) -> None:
    import av

    data = bytearray(video("one_frame.mp4").read_bytes())
    with av.open(str(video("one_frame.mp4"))) as container:
        (packet,) = (p for p in container.demux(video=0) if p.size)
    at = bytes(data).index(bytes(packet))
    data[at : at + packet.size] = bytes(packet.size)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(data)
    reads: list[Callable[[], object]] = [
        lambda: probe(path),
        lambda: read_frames(path, [0], short_side=32),
        lambda: next(iter_frames(path)),
    ]
    for read in reads:
        with pytest.raises(VideoError, match="has no frame that can be decoded"):
            read()


@pytest.mark.parametrize(
    ("kind", "share"), [("mpeg4.avi", 0.6), ("lossless.mkv", 0.6), ("faststart.mp4", 0.6)]
)
def test_a_truncated_video_says_so_and_has_the_frames_that_are_left(
    kind: str, share: float, video: Video, tmp_path: Path
) -> None:
    path = cut(video(kind), share, tmp_path)
    info = probe(path)
    assert info.truncated
    whole = read_frames(video(kind), range(probe(video(kind)).frames))
    assert 5 < info.frames < len(whole)
    frames = read_frames(path, range(info.frames))
    same = info.frames - 3  # the last ones may be cut through
    assert np.array_equal(frames[:same], whole[:same])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b"not a container at all", None),
        (b"RIFF" + struct.pack("<I", 1000) + b"AVI " + bytes(8), 1008),
        (b"RIFF" + struct.pack("<I", 0) + b"AVI " + bytes(8), None),  # unfinished
        (b"RIFF" + struct.pack("<I", 1000) + b"WAVE" + bytes(8), None),
        (struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 500, b"mdat"), 508),
        (struct.pack(">I4s", 8, b"ftyp") + struct.pack(">I4s", 0, b"mdat") + b"to the end", None),
        (struct.pack(">I4sQ", 1, b"mdat", 1 << 33) + bytes(8), 1 << 33),
        (struct.pack(">I4s", 8, b"ftyp") + b"\xff" * 16, 8),  # something behind the last box
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x84", 14),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff", None),  # of unknown size: live
        (b"\x1a\x45\xdf\xa3", None),
    ],
)
def test_the_size_a_file_declares(content: bytes, expected: int | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert declared_bytes(path) == expected


def test_whole_files_are_not_called_truncated(any_video: Path) -> None:
    declared = declared_bytes(any_video)
    assert declared is None or declared <= any_video.stat().st_size
