"""What harms no server, over real connections."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from films import Films
from fuzzing import KINDS
from mutations import mutated

from frameflow.serving.limits import Limits

MakeServer = Callable[..., Any]
Until = Callable[..., None]

TYPE = b"multipart/form-data; boundary=B"
HEAD = b"POST /v1/videos HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + TYPE + b"\r\n"
PART = b'--B\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'


def connected(server: Any) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def answer_of(line: socket.socket) -> str:
    """All that the server says before it hangs up, or its first words."""
    said = b""
    while b"}" not in said:
        try:
            piece = line.recv(65536)
        except ConnectionError:
            break
        if not piece:
            break
        said += piece
    return said.decode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


@pytest.fixture(scope="module")
def strict(make_server: MakeServer) -> Any:
    """A server of little patience and small limits."""
    limits = Limits(stall_seconds=1.0, bytes=200_000, decode_seconds=10.0, pixels_of_frame=50_000)
    return make_server(limits=limits, workers=1)


def test_a_body_that_stalls_is_given_up(strict: Any, until: Until) -> None:
    with connected(strict) as line:
        line.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + PART + b"x" * 10)
        said = answer_of(line)
    assert said.startswith("HTTP/1.1 408")
    assert '"stalled"' in said
    until(lambda: strict.service.uploads.count == 0)


def test_a_body_that_trickles_is_given_up(strict: Any, until: Until) -> None:
    with connected(strict) as line:
        line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(PART))
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.05):
                try:
                    line.sendall(chunk(b"x"))
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        said = answer_of(line)
        stop.set()
        thread.join()
    assert '"too_slow"' in said
    until(lambda: strict.service.uploads.count == 0)


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "chunked"])
def test_an_upload_over_the_limit_is_413(stated: bool, strict: Any, until: Until) -> None:
    size = 4 << 20
    with connected(strict) as line:
        if stated:
            line.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size)  # and not a byte of it
        else:
            line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(PART))
            for _ in range(16):
                line.sendall(chunk(bytes(65536)))
        said = answer_of(line)
    assert said.startswith("HTTP/1.1 413")
    assert '"too_large"' in said
    assert '"cure"' in said
    until(lambda: strict.service.uploads.count == 0)


def test_large_frames_are_413(strict: Any, films: Films) -> None:
    answer = strict.http.post("/v1/videos", files={"file": films["wide.mp4"].read_bytes()})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_many_pixels"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "hanging"])
def test_a_process_that_ends_or_hangs_stops_nobody_else(
    ended: bool, make_server: MakeServer, films: Films, until: Until
) -> None:
    server = make_server(workers=2)
    reader = server.service.reader
    until(lambda: len(reader._idle) == 2)
    data, answers = films["h264.mp4"].read_bytes(), []

    def post() -> httpx.Response:
        return server.http.post("/v1/videos", files={"file": data})

    worker = reader._idle[-1]
    worker._limits = Limits(decode_seconds=1.0)
    os.kill(worker.pid, signal.SIGSTOP)  # what it is asked next it does not answer
    thread = threading.Thread(target=lambda: answers.append(post()))
    thread.start()
    until(lambda: worker.busy)
    assert post().status_code == 201
    if ended:
        os.kill(worker.pid, signal.SIGKILL)
    thread.join()
    # it had not begun, so another one was asked; or it may have hung over this very file
    assert answers[0].status_code == (201 if ended else 422)
    assert post().status_code == 201
    assert reader.restarts == 1


def test_a_full_disk_is_507(make_server: MakeServer) -> None:
    server = make_server(limits=Limits(spare_bytes=1 << 60), workers=1)
    answer = server.http.post("/v1/videos", files={"file": server.clips[0].read_bytes()})
    assert answer.status_code == 507
    assert answer.json()["error"]["code"] == "disk_full"
    assert server.service.uploads.count == 0
    assert server.http.get("/healthz").status_code == 200


HOSTILE_NAMES = [
    *("../../../etc/passwd", "C:\\x\\y.mp4", "\u202egpm.exe", "x" * 5000, "<b>.mp4", "a\tb")
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_never_become_paths(name: str, server: Any) -> None:
    answer = server.http.post("/v1/videos", files={"file": (name, server.clips[0].read_bytes())})
    if answer.status_code == 400:  # longer than any header may be
        assert len(name) > 4000
        return
    said = answer.json()
    assert not set(said["name"]) & set("/\\\u202e\t")
    assert len(said["name"]) <= 80
    made = {path.name for path in server.service.uploads.folder.rglob("*")}
    assert not [part for part in made if "passwd" in part or "x" * 50 in part or part == "y.mp4"]
    assert server.http.delete(f"/v1/videos/{said['id']}").status_code < 300


# Mutated videos ----------------------------------------------------------------------------------


def over_http(server: Any, films: list[bytes], numbers: range) -> dict[int, int]:
    """How many answers of each status mutated videos get; the server lives and keeps nothing."""
    found: dict[int, int] = {}
    for number in numbers:
        _, data = mutated(number, films)
        way = ("/v1/predict", "/v1/videos", "/v1/timeline")[number % 3]
        answer = server.http.post(way, files={"file": ("clip", data)})
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
        said = answer.json()
        assert answer.status_code < 500, said
        if answer.status_code >= 400:
            assert said["error"]["code"]
            assert said["error"]["message"]
        if "job" in said:
            ended = server.wait(said["job"])
            assert ended["state"] in ("done", "failed"), ended
            assert ended["state"] == "done" or ended["error"]["code"] != "internal"
            server.http.delete(f"/v1/jobs/{said['job']}")
        elif "id" in said:
            assert server.http.delete(f"/v1/videos/{said['id']}").status_code < 300
    assert server.http.get("/healthz").status_code == 200
    assert server.service.uploads.count == 0
    return found


@pytest.fixture(scope="module")
def originals(films: Films) -> list[bytes]:
    return [films[kind].read_bytes() for kind in KINDS]


def test_a_few_mutated_videos_over_http(server: Any, originals: list[bytes]) -> None:
    found = over_http(server, originals, range(5000, 5030))
    assert {200, 422} <= set(found)


@pytest.mark.slow
def test_mutated_videos_over_http(server: Any, originals: list[bytes]) -> None:
    print(over_http(server, originals, range(5000, 5200)))
