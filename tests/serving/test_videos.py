"""Videos sent once: ids, ranges, previews, samples."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.serving.previews import content_type, is_playable


@pytest.fixture(scope="module")
def strange_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that no browser plays: MPEG-4 part 2 in AVI."""
    import av

    path = tmp_path_factory.mktemp("strange") / "a.avi"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(24):
            picture = np.full((48, 64, 3), 10 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())
    return path


def test_an_upload_says_what_it_is(server: Any) -> None:
    said = server.send(server.clips[0], "../../etc/passwd\n.mp4")
    assert (said["width"], said["height"], said["frames"]) == (60, 48, 36)
    assert (said["seconds"], said["rate"], said["codec"]) == (3.0, 12.0, "h264")
    assert said["playable"] is True
    assert "/" not in said["name"]
    assert "\n" not in said["name"]
    assert len(said["id"]) >= 22


def test_it_plays_in_ranges(server: Any) -> None:
    video, content = server.send(server.clips[0])["id"], server.clips[0].read_bytes()
    whole = server.http.get(f"/v1/videos/{video}/file")
    assert (whole.status_code, whole.content) == (200, content)
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
    assert whole.headers["content-security-policy"].startswith("sandbox")
    part = server.http.get(f"/v1/videos/{video}/file", headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, content[10:100])
    assert part.headers["content-range"] == f"bytes 10-99/{len(content)}"
    beyond = server.http.get(f"/v1/videos/{video}/file", headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416


def test_deleted_is_gone(server: Any) -> None:
    video = server.send(server.clips[0])["id"]
    count = server.service.uploads.count
    assert server.http.delete(f"/v1/videos/{video}").status_code == 204
    assert server.service.uploads.count == count - 1
    for method, path in (("GET", "/file"), ("GET", "/preview"), ("DELETE", "")):
        answer = server.http.request(method, f"/v1/videos/{video}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_video")


def test_what_is_no_video_gets_no_id(server: Any) -> None:
    count = server.service.uploads.count
    for content, status in ((b"GIF89a" + b"\0" * 60, 422), (b"\x89PNG\r\n\x1a\n" * 9, 415)):
        answer = server.http.post("/v1/videos", files={"file": ("a.mp4", content)})
        assert answer.status_code == status, answer.text
    assert server.http.post("/v1/videos", data={"a": "b"}).status_code == 422
    assert server.service.uploads.count == count


def test_a_preview_plays_where_the_video_does_not(server: Any, strange_clip: Path) -> None:
    from frameflow.video.probe import probe

    video = server.send(strange_clip, "a.avi")
    assert (video["codec"], video["playable"]) == ("mpeg4", False)
    kept = server.http.get(f"/v1/videos/{video['id']}/file")
    assert kept.headers["content-type"] == "application/octet-stream"
    end = time.monotonic() + 60
    while (answer := server.http.get(f"/v1/videos/{video['id']}/preview")).status_code == 202:
        assert answer.json()["state"] == "running"
        assert 0 <= answer.json()["progress"] <= 1
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    path = strange_clip.parent / "preview.mp4"
    path.write_bytes(answer.content)
    info = probe(path)
    assert (info.codec, info.pixel_format, info.frames) == ("h264", "yuv420p", 24)
    part = server.http.get(f"/v1/videos/{video['id']}/preview", headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, answer.content[:8])


def test_a_preview_that_cannot_be_made_says_why(
    make_server: Callable[..., Any], strange_clip: Path
) -> None:
    from frameflow.serving.limits import Limits

    server = make_server(limits=Limits(preview_seconds=1.0))
    video = server.send(strange_clip)["id"]
    end = time.monotonic() + 60
    while (answer := server.http.get(f"/v1/videos/{video}/preview")).status_code == 202:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_long")


def test_a_sample_becomes_a_video(server: Any) -> None:
    samples = server.http.get("/v1/models").json()["samples"]
    said = server.http.post(f"/v1/samples/{samples[1]['id']}")
    assert said.status_code == 201
    video = said.json()
    assert (video["name"], video["frames"]) == ("01.mp4", 36)
    assert server.http.get(f"/v1/videos/{video['id']}/file").content == server.clips[1].read_bytes()
    server.http.delete(f"/v1/videos/{video['id']}")
    assert server.clips[1].exists()


def test_unused_uploads_expire(make_server: Callable[..., Any]) -> None:
    server = make_server(ttl=0.2)
    video = server.send(server.clips[0])["id"]
    time.sleep(0.3)
    assert server.http.get(f"/v1/videos/{video}/file").status_code == 404
    server.service.uploads.sweep()
    assert server.service.uploads.count == 0


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "application/octet-stream"),
        (b"RIFF....AVI ", "application/octet-stream"),
        (b"<!doctype html><script>", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_bytes(head: bytes, kind: str) -> None:
    assert content_type(head) == kind


@pytest.mark.parametrize(
    ("kind", "codec", "pixels", "plays"),
    [
        ("video/mp4", "h264", "yuv420p", True),
        ("video/mp4", "h264", "yuv444p", False),
        ("video/mp4", "hevc", "yuv420p", False),
        ("video/mp4", "mpeg4", "yuv420p", False),
        ("video/webm", "vp9", "yuv420p", True),
        ("application/octet-stream", "h264", "yuv420p", False),
    ],
)
def test_what_every_browser_plays(kind: str, codec: str, pixels: str, plays: bool) -> None:
    assert is_playable(kind, codec, pixels) is plays
