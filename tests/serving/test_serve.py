"""`frameflow serve`: who may listen where, and that nothing is left when it ends."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from frameflow.errors import UsageError
from frameflow.serving.settings import Settings, is_loopback

COMMAND = [sys.executable, "-c", "from frameflow.cli import main; main()", "serve"]


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True),
        ("localhost", True), ("0.0.0.0", False), ("::", False), ("192.168.1.5", False),
        ("localhost.example", False), ("", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "workers"),
        ({"ttl": 0}, "ttl"),
        ({"token": ""}, "token"),
        ({"token": "ü"}, "token"),
        ({"samples": Path("nowhere")}, "--samples nowhere is no folder"),
        ({"allow_paths": Path("nowhere")}, "--allow-paths nowhere is no folder"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings(**options)


def test_others_need_a_token(
    frameflow: Callable[..., Any], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.serving import server

    started: list[Settings] = []
    monkeypatch.setattr(server, "serve", lambda _, settings, **__: started.append(settings))
    said = frameflow("serve", served / "run", "--host", "0.0.0.0")
    assert said.code == 2
    assert "FRAMEFLOW_TOKEN" in said.error
    assert "--no-token" in said.error
    assert not started
    for options in (["--no-token"], ["--token", "secret"]):
        assert frameflow("serve", served / "run", "--host", "0.0.0.0", *options).code == 0
    monkeypatch.setenv("FRAMEFLOW_TOKEN", "of the environment")
    assert frameflow("serve", served / "run", "--host", "0.0.0.0").code == 0
    assert [each.token for each in started] == [None, "secret", "of the environment"]
    assert "FRAMEFLOW_TOKEN" not in os.environ, "decoding processes need not know"


def test_options_reach_the_settings(
    frameflow: Callable[..., Any], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.serving import server

    started: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda runs, told, **_: started.append((runs, told)))
    run = served / "run"
    options = "--max-mb 7 --max-seconds 60 --max-pixels 1000 --queue 3 --batch 1 --ttl 5"
    said = frameflow("serve", run, "--name", f"zwei={run.parent}/other", *options.split())
    assert said.code == 0, said.err
    ((runs, told),) = started
    assert runs == [(None, run), ("zwei", run.parent / "other")]
    assert (told.limits.bytes, told.limits.seconds_of_video) == (7 << 20, 60)
    assert (told.limits.pixels_of_frame, told.queue, told.batch, told.ttl) == (1000, 3, 1, 5)
    assert "--name" in frameflow("serve", "--name", "no run").error


def test_what_cannot_start_says_why(frameflow: Callable[..., Any], served: Path) -> None:
    run = served / "run"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = frameflow("serve", run, "--port", port)
    assert said.code == 2
    assert f"port {port}" in said.error
    assert "--port" in said.error
    assert "no finished run" in frameflow("serve", served / "clips").error
    assert (
        "nowhere.invalid"
        in frameflow("serve", run, "--host", "nowhere.invalid", "--no-token").error
    )
    assert "No run is named" in frameflow("serve").error


def test_a_run_that_turns_out_damaged_ends_the_server(
    frameflow: Callable[..., Any], run_copy: Path, private_temp: Path
) -> None:
    weights = run_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    said = frameflow("serve", run_copy, "--port", "0", "--engine", "torch", "--workers", "1")
    assert said.code == 2
    assert "model.safetensors" in said.error
    assert list(private_temp.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_answers_do_not_wait_for_acknowledgements(host: str) -> None:
    """asyncio sets TCP_NODELAY where the socket says that it is one of TCP."""
    from frameflow.serving.server import address_of, listen

    try:
        listening = listen(host, 0)
    except UsageError:
        pytest.skip(f"{host} is none of this machine's addresses")
    with listening:
        assert listening.proto == socket.IPPROTO_TCP
        address = address_of(listening)
        assert address.startswith("http://[::1]:" if ":" in host else "http://127.0.0.1:")


# A process of its own ---------------------------------------------------------------------------


@pytest.fixture
def process(served: Path, private_temp: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that was started by the command, and its address."""
    options = ["--port", "0", "--engine", "torch", "--workers", "2"]
    environment = {**os.environ, "TMPDIR": str(private_temp), "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(
        [*COMMAND, str(served / "run"), *options],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert started.stderr is not None
    line = started.stderr.readline()
    found = re.search(r"http://\S+", line)
    assert found, line
    yield started, found[0]
    if started.poll() is None:
        started.kill()
        started.wait()


def descendants(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="it looks into /proc")
def test_told_to_stop_it_finishes_and_leaves_nothing(
    process: tuple[subprocess.Popen[str], str], served_clips: list[Path], private_temp: Path
) -> None:
    started, url = process
    with httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/healthz").status_code == 200, "it lives before the models are loaded"
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        content = served_clips[0].read_bytes()
        video = client.post("/v1/videos", files={"file": ("a.mp4", content)}).json()
        for _ in range(3):  # one runs, two wait
            fields = {"video": video["id"], "stride": "0.001", "window": "1", "grid": "12"}
            assert client.post("/v1/timeline", data=fields).status_code == 202
        workers = descendants(started.pid)
        assert len(workers) == 2
        assert list(private_temp.rglob("video")), "the upload lies there"
        host, port = url.removeprefix("http://").split(":")
        slow = begin_upload(host, int(port), content)
        started.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        slow.send(content[-1000:])
        slow.send(b"\r\n--b--\r\n")
        answer = slow.getresponse()
        assert answer.status == 200, answer.read()
    assert started.wait(timeout=40) in (0, -signal.SIGTERM)
    assert started.stderr is not None
    assert "Traceback" not in started.stderr.read()
    for worker in workers:
        assert not Path(f"/proc/{worker}").exists(), "a decoding process is left"
    left = [path for path in private_temp.rglob("*") if path.is_file()]
    assert not left


def begin_upload(host: str, port: int, content: bytes) -> http.client.HTTPConnection:
    """A prediction whose last bytes are still to come."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    tail = b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.putrequest("POST", "/v1/predict")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(len(head) + len(content) + len(tail)))
    connection.endheaders(head + content[:-1000])
    return connection
