"""Connections that keep a server waiting."""

import socket
import time
from typing import Any

import pytest

from frameflow.serving.connection import PatientConnection


def connect(server: Any) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    client.settimeout(20)
    return client


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Never: en"],
    ids=["nothing", "half a line", "half a head"],
)
def test_a_head_that_does_not_come_is_not_waited_for(
    server: Any, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientConnection, "head_seconds", 0.2)
    with connect(server) as client:
        client.sendall(sent)
        begun = time.monotonic()
        assert client.recv(100) == b"", "it is closed without an answer"
        assert time.monotonic() - begun < 15


def test_nor_is_the_second_one(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientConnection, "head_seconds", 0.2)
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connect(server) as client:
        client.sendall(request + b"GET /hea")
        answer = b""
        while part := client.recv(1000):
            answer += part
        assert answer.count(b"200 OK") == 1


def test_who_is_served_may_take_longer(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that takes many times as long, piece by piece."""
    monkeypatch.setattr(PatientConnection, "head_seconds", 0.1)
    content = server.clips[0].read_bytes()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    body = head + content + b"\r\n--b--\r\n"
    with connect(server) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        step = len(body) // 5 + 1
        for start in range(0, len(body), step):
            client.sendall(body[start : start + step])
            time.sleep(0.15)
        answer = b""
        while part := client.recv(10_000):
            answer += part
        assert b"200 OK" in answer.splitlines()[0]
