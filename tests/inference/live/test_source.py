"""What a user names, and what is said where it cannot be."""

import http.server
import io
import sys
import threading
from pathlib import Path

import pytest

from frameflow.errors import UsageError, VideoError
from frameflow.inference.live.source import find_source, open_source, without_password


def test_kinds(film: Path) -> None:
    assert find_source(film).kind == "file"
    assert find_source(f"file://{film}").address == str(film)
    assert find_source("http://host/video").kind == "network"
    assert find_source(io.BytesIO(b"")).kind == "pipe"
    assert [find_source(s).again for s in ("udp://host:1", str(film))] == [True, False]


def test_rtsp_goes_over_tcp_unless_told() -> None:
    assert find_source("rtsp://host/a").options["rtsp_transport"] == "tcp"
    told = find_source("rtsp://host/a", options={"rtsp_transport": "udp"})
    assert told.options["rtsp_transport"] == "udp"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:pa:ss@10.0.0.1:554/h264?x=@y", "rtsp://10.0.0.1:554/h264?x=@y"),
        ("http://user@host/", "http://host/"),
        ("http://user:p@ss@host/", "http://host/"),
        ("udp://host:1", "udp://host:1"),
    ],
)
def test_passwords_are_never_shown(address: str, shown: str) -> None:
    assert without_password(address) == shown
    assert find_source(address).name == shown
    assert find_source(address).address == address


def test_a_device_of_ffmpeg_is_no_file() -> None:
    source = find_source("testsrc=size=64x48:rate=10", format="lavfi")
    assert (source.kind, source.again) == ("camera", True)
    with open_source(source, timeout=5.0) as (container, stream):
        frame = next(container.decode(stream))
    assert (frame.width, frame.height) == (64, 48)


def test_a_password_is_not_in_an_error() -> None:
    with (
        pytest.raises(VideoError) as error,
        open_source(find_source("tcp://admin:secret@127.0.0.1:1"), timeout=2.0),
    ):
        pass
    assert "secret" not in str(error.value)
    assert "connection refused" in str(error.value)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "wants a user and a password"),
        (403, "wants a user and a password"),
        (404, "the server answered 404"),
        (500, "refused by the server"),
    ],
)
def test_what_a_server_refuses(status: int, said: str) -> None:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        source = find_source(f"http://127.0.0.1:{server.server_port}/camera")
        with pytest.raises(VideoError, match=said), open_source(source, timeout=5.0):
            pass
        server.shutdown()


def test_a_terminal_is_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UsageError, match="Nothing is piped in"):
        find_source("-")


@pytest.mark.skipif(sys.platform != "linux", reason="the names of cameras are Linux's")
def test_no_such_camera() -> None:
    with pytest.raises(VideoError, match=r"camera 987: there is no such camera \(/dev/video987\)"):
        find_source(987)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing.mp4", "does not exist; a camera is a number, a stream has a ://"),
        ("..", "is a folder"),
        (" ", "empty"),
    ],
)
def test_what_is_no_source(source: str, said: str) -> None:
    with pytest.raises((VideoError, UsageError), match=said):
        find_source(source)


def test_unknown_formats_name_near_ones() -> None:
    with pytest.raises(UsageError, match=r"'mpegtss'\. Did you mean 'mpegts'"):
        find_source("-", format="mpegtss")
