"""Files that lie, that are too much, or that are none: each gets a clear answer."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import crafted
import numpy as np
import pytest
from films import Films

from frameflow.errors import VideoError
from frameflow.inference.timeline.shots import ShotRequest
from frameflow.serving.limits import FORMATS, Limits, Refused, size_text, time_text
from frameflow.serving.reader import SafeReader
from frameflow.serving.sniff import kind_of
from frameflow.serving.worker import guard_of
from frameflow.video._guard import set_guard
from frameflow.video.clip import ClipRequest
from frameflow.video.probe import probe

IMAGE = crafted.png(16, 16)
LARGE = crafted.png(5000, 4000)
LYING = crafted.png(16, 16, stated=(100_000, 100_000))
CLIP = ClipRequest(size=32)


def refusal(reader: SafeReader, path: Path) -> tuple[int, str]:
    """How probing and reading are refused: alike, and with a cure."""
    with pytest.raises(Refused) as probing:
        reader.probe(path)
    with pytest.raises(Refused) as reading:
        reader.read(path, [CLIP])
    for refused in (probing.value, reading.value):
        assert refused.cure
        assert str(path) not in str(refused)
    assert probing.value.code == reading.value.code
    return probing.value.status, probing.value.code


# No video at all -------------------------------------------------------------------------------

OTHERS = {
    "empty": b"",
    "text": b"just a text, of some length, with a line\nand another one\n",
    "latin-1": "läuft\n".encode("latin-1") + b"x" * 99,
    "html": b"<!doctype html><title>no</title>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "json": b'{"video": "no"}',
    "png": IMAGE,
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(200),
    "webp": b"RIFF\x1a\x00\x00\x00WEBPVP8L" + bytes(20),
    "avif": b"\x00\x00\x00\x1cftypavif" + bytes(40),
    "zip": b"PK\x03\x04" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "pdf": b"%PDF-1.7\n" + bytes(100),
    "program": b"\x7fELF" + bytes(100),
    "zeros": bytes(5000),
    "noise": np.random.default_rng(0).bytes(5000),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_video_is_415(what: str, reader: SafeReader, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"  # its name says nothing
    path.write_bytes(OTHERS[what])
    assert refusal(reader, path) == (415, "not_a_video")


@pytest.mark.parametrize("kind", ["sound.m4a", "sound.mp3", "sound.mkv", "sound.wav"])
def test_sound_alone_has_no_video(kind: str, films: Films, reader: SafeReader) -> None:
    assert refusal(reader, films[kind]) == (422, "no_video")


def test_a_folder_and_a_file_that_is_gone(reader: SafeReader, tmp_path: Path) -> None:
    assert refusal(reader, tmp_path) == (415, "not_a_video")
    assert refusal(reader, tmp_path / "gone") == (404, "unknown_video")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_pipe_is_not_waited_for(reader: SafeReader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(reader, tmp_path / "pipe") == (415, "not_a_video")


VIDEOS = [
    *("h264.mp4", "h264.mov", "h264.mkv", "h264.ts", "mpeg4.avi", "vp9.webm", "vp8.webm"),
    *("gif.gif", "mpeg2.mpg", "flv1.flv", "wmv2.wmv", "theora.ogv", "mjpeg.avi", "hevc.mp4"),
]


@pytest.mark.parametrize("kind", VIDEOS)
def test_every_usual_container_is_read(kind: str, films: Films, reader: SafeReader) -> None:
    assert kind_of(films[kind].read_bytes()[:4096]) == "video"
    assert reader.probe(films[kind]).frames == probe(films[kind]).frames
    assert reader.read(films[kind], [CLIP])[0][0].mask.any()


@pytest.mark.parametrize("kind", ["h264.mp4", "h264.mkv", "mpeg4.avi", "gif.gif"])
def test_a_broken_video_is_422(kind: str, films: Films, reader: SafeReader, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(films[kind].read_bytes()[:60])
    assert refusal(reader, path) == (422, "unreadable")


# More than may be ------------------------------------------------------------------------------


HUGE: dict[str, Callable[[Films], bytes]] = {
    "mkv": lambda _: crafted.matroska([LYING] * 2, width=100_000, height=100_000),
    "avi": lambda films: crafted.avi_of(films["raw.avi"].read_bytes(), 100_000, 100_000),
    "gif": lambda _: crafted.gif_of(65_535, 65_535),
    "gif that FFmpeg would take": lambda _: crafted.gif_of(16_000, 16_000),
    "small outside": lambda _: crafted.matroska([LARGE] * 2, width=16, height=16),
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_frames_are_refused_before_there_is_memory_for_them(
    what: str, films: Films, reader: SafeReader, tmp_path: Path
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(HUGE[what](films))
    assert refusal(reader, path) == (413, "too_many_pixels")
    (worker,) = reader._live
    assert worker.grown < 32 << 20


@pytest.mark.parametrize("what", ["mp4", "avi", "mkv"])
def test_a_header_that_lies_about_the_size_is_not_believed(
    what: str, films: Films, reader: SafeReader, tmp_path: Path
) -> None:
    path = tmp_path / "clip"
    lying = {
        "mp4": lambda: crafted.mp4_of(films["h264.mp4"].read_bytes(), 65_535, 65_535),
        "avi": lambda: crafted.avi_of(films["mpeg4.avi"].read_bytes(), 100_000, 100_000),
        "mkv": lambda: crafted.matroska([IMAGE] * 3, width=100_000, height=100_000),
    }
    path.write_bytes(lying[what]())
    info = reader.probe(path)
    assert (info.width, info.height) == ((16, 16) if what == "mkv" else (96, 64))


def test_frames_that_grow_later_do_not_decode(
    make_reader: Callable[..., SafeReader], tmp_path: Path
) -> None:
    reader, path = make_reader(pixels_of_frame=2000), tmp_path / "clip"
    grown = crafted.png(64, 64)
    path.write_bytes(crafted.matroska([IMAGE] * 30 + [grown] + [IMAGE] * 9, width=16, height=16))
    assert reader.probe(path).frames == 40
    shots = list(reader.shots(path, ShotRequest((CLIP,), grid=1.0)))
    assert len(shots) == 40  # the frame before stands in
    (worker,) = reader._live
    assert worker.grown < 32 << 20


def test_ten_hours_are_too_long_whatever_the_header_says(
    reader: SafeReader, make_reader: Callable[..., SafeReader], tmp_path: Path
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(
        crafted.matroska([IMAGE] * 601, width=16, height=16, seconds_apart=60, stated_seconds=7)
    )
    assert refusal(reader, path) == (413, "too_long")
    with pytest.raises(Refused, match="3 hours"):
        reader.probe(path)
    with pytest.raises(Refused, match="3 hours"):
        next(reader.shots(path, ShotRequest((CLIP,), grid=0.01)))
    patient = make_reader(seconds_of_video=40_000)
    assert patient.probe(path).duration == pytest.approx(36_060)
    assert sum(1 for _ in patient.shots(path, ShotRequest((CLIP,), grid=0.01))) == 361


@pytest.mark.parametrize("stated", [36_000.0, 0.1])
@pytest.mark.parametrize("what", ["mp4", "mkv"])
def test_a_length_that_is_not_there_harms_nobody(
    what: str, stated: float, films: Films, reader: SafeReader, tmp_path: Path
) -> None:
    path = tmp_path / "clip"
    made = (
        crafted.mp4_lasting(films["h264.mp4"].read_bytes(), stated)
        if what == "mp4"
        else crafted.matroska([IMAGE] * 2, width=16, height=16, stated_seconds=stated)
    )
    path.write_bytes(made)
    assert reader.probe(path).duration == pytest.approx(2.0)
    assert reader.read(path, [CLIP])[0][0].mask.any()


def test_too_many_frames(films: Films, make_reader: Callable[..., SafeReader]) -> None:
    reader = make_reader(frames=20)
    assert refusal(reader, films["h264.mp4"]) == (413, "too_long")  # told by packets
    assert refusal(reader, films["mpeg2.mpg"]) == (413, "too_long")  # told by decoding
    assert reader.probe(films["gif.gif"]).frames == 8


@pytest.mark.parametrize("tracks", [33, 2000])
def test_too_many_streams(tracks: int, reader: SafeReader, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(crafted.matroska([IMAGE] * 2, width=16, height=16, tracks=tracks))
    assert refusal(reader, path) == (413, "too_many_streams")


# Lists of other files and addresses ------------------------------------------------------------


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server that nobody must ask, and what it was asked."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


LISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "m3u8 of a file": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{file}\n#EXT-X-ENDLIST\n",
    "m3u8 with a key": "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI={url}/key\n#EXTINF:5,\n{file}\n",
    "ffconcat": "ffconcat version 1.0\nfile {file}\n",
    "ffconcat of an address": "ffconcat version 1.0\nfile {url}/a.mp4\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
           "a=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
            '<BaseURL>{url}/</BaseURL><AdaptationSet><Representation id="a" bandwidth="1">'
            "<BaseURL>a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}/a.png"/></svg>',
}  # fmt: skip


def listed(what: str, url: str, film: Path, path: Path) -> Path:
    path.write_text(LISTS[what].format(url=url, file=film))
    return path


@pytest.mark.parametrize("what", LISTS)
def test_lists_make_the_server_ask_nobody(
    what: str, asked: tuple[str, list[str]], films: Films, reader: SafeReader, tmp_path: Path
) -> None:
    path = listed(what, asked[0], films["h264.mp4"], tmp_path / "clip.m3u8")
    assert refusal(reader, path) == (415, "not_a_video")
    set_guard(guard_of(Limits()))  # as a worker would, if it did not see a text
    try:
        with pytest.raises(VideoError):
            probe(path)
    finally:
        set_guard(None)
    assert asked[1] == []


def test_without_a_guard_they_would_be_followed(
    asked: tuple[str, list[str]], films: Films, tmp_path: Path
) -> None:
    path = listed("m3u8 of a file", asked[0], films["h264.ts"], tmp_path / "clip.m3u8")
    local = path.read_text().replace(str(films["h264.ts"]), films["h264.ts"].name)
    (films.folder / "list.m3u8").write_text(local)
    assert probe(films.folder / "list.m3u8").frames == 12
    set_guard(guard_of(Limits()))
    try:
        with pytest.raises(VideoError):
            probe(films.folder / "list.m3u8")
    finally:
        set_guard(None)


def test_no_format_is_a_list_of_others() -> None:
    follow = {"hls", "dash", "concat", "concatf", "sdp", "rtsp", "image2", "image2pipe", "lavfi"}
    follow |= {"tee", "ism", "webm_dash_manifest", "vobsub", "imf", "mpjpeg", "rtp", "sap"}
    assert not follow & set(FORMATS)


# Words -----------------------------------------------------------------------------------------


def test_words() -> None:
    assert [size_text(n) for n in (5, 2048, 3 << 19, 1 << 30)] == [
        "5 bytes", "2 KB", "1.5 MB", "1 GB",
    ]  # fmt: skip
    assert [time_text(n) for n in (0.5, 60, 5400, 10_800)] == [
        "0.5 seconds", "1 minute", "1.5 hours", "3 hours",
    ]  # fmt: skip
