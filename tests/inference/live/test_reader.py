"""Streams that come, stall, go and come back, read over real connections."""

import http.server
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Push = Callable[..., "subprocess.Popen[bytes]"]
Watch = Callable[..., Any]  # a reader, what it took and what it told


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """``serve(data, ...)``: a server that sends the n-th caller the n-th data, and no more."""
    servers: list[socket.socket] = []
    calls: list[socket.socket] = []

    def start(*sent: bytes, close: bool = False) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            for data in sent:
                try:
                    call, _ = server.accept()
                    calls.append(call)
                    call.sendall(data)
                except OSError:
                    return
                if close:
                    call.close()

        threading.Thread(target=run, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for one in (*servers, *calls):
        one.close()


@pytest.fixture(scope="session")
def stream(film: Path, ffmpeg: str) -> bytes:
    """The film as MPEG-TS."""
    command = [ffmpeg, "-v", "error", "-i", film, "-c:v", "libx264", "-tune", "zerolatency"]
    return subprocess.run([*command, "-f", "mpegts", "-"], capture_output=True, check=True).stdout


def test_a_file_is_read_at_its_own_rate_and_ends(short: Path, watch: Watch) -> None:
    found = watch(short).to_the_end()
    assert found.names == ["connected", "ended"]
    connected = found.events[0][1]
    assert connected == {"width": 60, "height": 48, "rate": 24.0, "codec": "h264"}
    assert len(found.frames) == 30
    assert np.allclose([s for s, _ in found.frames], np.arange(30) / 24)
    assert [i for i, (_, anew) in enumerate(found.frames) if anew] == [0]
    behind = np.array(found.arrived) - found.arrived[0] - np.arange(30) / 24
    assert behind.min() > -0.01  # never earlier than it would be filmed
    assert found.reader.error is None


def test_what_stalls_in_the_middle_is_opened_again(
    stream: bytes, serve: Callable[..., int], watch: Watch
) -> None:
    port = serve(stream[: len(stream) // 2], stream[: len(stream) // 3], b"")
    found = watch(f"tcp://127.0.0.1:{port}", stall=0.7)
    found.until(lambda: found.names.count("stalled") == 2)
    assert found.names[:5] == ["connected", "stalled", "reconnecting", "connected", "stalled"]
    assert "sent no video for 0.7 s" in found.events[2][1]["reason"]
    assert found.reader.reconnects == 1
    seconds = [s for s, _ in found.frames]
    assert seconds == sorted(seconds)
    assert sum(anew for _, anew in found.frames) == 2


def test_who_answers_and_sends_nothing_is_given_up(serve: Callable[..., int], watch: Watch) -> None:
    port = serve(b"")
    found = watch(f"tcp://127.0.0.1:{port}", stall=0.5).to_the_end()
    assert found.names == ["ended"]
    assert "sent no video for 0.5 s" in str(found.reader.error)


def test_a_server_that_goes_and_comes_back(film: Path, port: int, push: Push, watch: Watch) -> None:
    address = f"tcp://127.0.0.1:{port}"
    listen = ("-f", "mpegts", f"{address}?listen=1")
    first = push(film, *listen, speed=8, loop=-1)
    found = watch(address, reconnect=True, stall=5.0)  # it may not listen yet
    found.until(lambda: len(found.frames) > 10)
    first.kill()
    found.until(lambda: "reconnecting" in found.names[found.names.index("connected") :])
    push(film, *listen, speed=8, loop=-1)
    found.until(lambda: found.reader.reconnects == 1)
    waits = [details["wait"] for event, details in found.events if event == "reconnecting"]
    assert all(wait in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2) for wait in waits)
    count = len(found.frames)
    found.until(lambda: len(found.frames) > count + 10)
    seconds = [s for s, _ in found.frames]
    assert seconds == sorted(seconds)


def test_no_reconnect_ends_with_the_stream(
    stream: bytes, serve: Callable[..., int], watch: Watch
) -> None:
    port = serve(stream, close=True)
    found = watch(f"tcp://127.0.0.1:{port}", reconnect=False).to_the_end()
    assert found.names == ["connected", "ended"]
    assert found.reader.error is None
    assert len(found.frames) == 72


def test_rtsp(film: Path, port: int, push: Push, watch: Watch) -> None:
    address = f"rtsp://127.0.0.1:{port}/live"
    found = watch(address, options={"rtsp_flags": "listen"}, stall=8.0)
    pushing: list[subprocess.Popen[bytes]] = []

    def frames() -> bool:  # FFmpeg ends where nobody listens yet
        if not pushing or pushing[-1].poll() is not None:
            pushing.append(
                push(film, "-f", "rtsp", "-rtsp_transport", "tcp", address, speed=4, loop=-1)
            )
        return len(found.frames) > 20

    found.until(frames)
    assert found.names == ["connected"]
    assert found.events[0][1]["width"] == 60


@pytest.mark.slow
def test_udp(film: Path, port: int, push: Push, watch: Watch) -> None:
    address = f"udp://127.0.0.1:{port}"
    push(film, "-f", "mpegts", address, speed=2, loop=-1)
    found = watch(address)
    found.until(lambda: len(found.frames) > 20)


@pytest.mark.slow
def test_sound_alone_is_a_stall(film: Path, port: int, push: Push, watch: Watch) -> None:
    sound = ["-readrate", "1", "-f", "lavfi", "-i", "sine", "-map", "0:v", "-map", "1:a"]
    address = f"tcp://127.0.0.1:{port}"
    output = ("-c:a", "aac", "-f", "mpegts", "-flush_packets", "1", f"{address}?listen=1")
    push(film, *output, beside=sound)
    found = watch(address, reconnect=True, stall=2.0)
    found.until(lambda: "stalled" in found.names)
    assert len(found.frames) > 60


def test_a_recording_on_a_web_server_ends(short: Path, watch: Watch) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(short.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        missing = watch(f"{address}/none.mp4").to_the_end()
        found = watch(f"{address}/{short.name}").to_the_end()
        server.shutdown()
    assert "the server answered 404" in str(missing.reader.error)
    assert (found.names, len(found.frames)) == (["connected", "ended"], 30)
    assert found.arrived[-1] - found.arrived[0] > 1.2


def test_garbage(serve: Callable[..., int], watch: Watch) -> None:
    noise = np.random.default_rng(0).bytes(300_000)
    found = watch(f"tcp://127.0.0.1:{serve(noise, close=True)}").to_the_end()
    assert "nothing that FFmpeg reads as video" in str(found.reader.error)


def test_nobody_there(port: int, watch: Watch) -> None:
    found = watch(f"rtsp://127.0.0.1:{port}/camera").to_the_end()
    assert "connection refused" in str(found.reader.error)


def test_a_pipe_of_raw_pictures(film: Path, push: Push, watch: Watch) -> None:
    process = push(
        film, "-f", "rawvideo", "-pix_fmt", "rgb24", "-", speed=8, stdout=subprocess.PIPE
    )
    options = {"video_size": "60x48", "pixel_format": "rgb24", "framerate": "24"}
    found = watch(process.stdout, format="rawvideo", options=options).to_the_end()
    assert found.names == ["connected", "ended"]
    assert len(found.frames) == 72
    assert np.allclose([s for s, _ in found.frames], np.arange(72) / 24)


def test_a_pipe_that_pauses_is_waited_for(stream: bytes, watch: Watch) -> None:
    end, begin = os.pipe()
    with os.fdopen(begin, "wb", buffering=0) as writing, os.fdopen(end, "rb", 0) as reading:
        found = watch(reading, stall=0.3)
        threading.Thread(target=writing.write, args=(stream[: len(stream) // 2],)).start()
        found.until(lambda: found.names[-1:] == ["stalled"] and found.frames)
        threading.Thread(target=writing.write, args=(stream[len(stream) // 2 :],)).start()
        found.until(lambda: "resumed" in found.names[found.names.index("connected") :])
    found.to_the_end()
    assert found.names[-1] == "ended"
    assert found.reader.error is None
