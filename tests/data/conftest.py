"""Helpers for the tests of the tables: folders of empty files, and a server that misbehaves."""

import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from frameflow.data.manifest import Manifest, Sample

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Make empty files (and their folders) below a fresh folder, which is returned."""

    def make(*names: str, folder: str = "videos") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make


@pytest.fixture
def grouped() -> Callable[..., Manifest]:
    """A manifest from {label: [clips of group 0, clips of group 1, ...]}; groups are per label."""

    def make(sizes: dict[str, list[int]]) -> Manifest:
        return Manifest(
            [
                Sample(f"{label}/{group}_{clip}.mp4", label, group=f"{label}_{group}")
                for label, groups in sizes.items()
                for group, clips in enumerate(groups)
                for clip in range(clips)
            ],
            "/videos",
        )

    return make


@dataclass
class Server:
    """What a server on 127.0.0.1 serves, and what it was asked.

    ``cut`` closes the connection after so many bytes of an answer, once per entry; ``ranges``
    False ignores the Range header; ``status`` answers that instead.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    ranges: bool = True
    status: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            content = state.files.get(self.path.lstrip("/"))
            if state.status or content is None:
                self.send_error(state.status.pop(0) if state.status else 404)
                return
            first = re.fullmatch(r"bytes=(\d+)-", wanted)
            start = int(first[1]) if first and state.ranges else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            self.wfile.write(body[: state.cut.pop(0)] if state.cut else body)

        def log_message(self, *_: object) -> None:
            pass

    class QuietServer(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up early is part of what is tested."""

    http = QuietServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_address[1]}/"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def make_rar() -> Callable[[dict[str, bytes]], bytes]:
    """A RAR 4 archive with its files stored, not compressed: enough for every program to read."""

    def block(kind: int, flags: int, body: bytes, data: bytes = b"") -> bytes:
        header = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header + data

    def make(files: dict[str, bytes]) -> bytes:
        archive = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
        for name, data in files.items():
            raw = name.encode()
            sizes = struct.pack("<IIBI", len(data), len(data), 3, zlib.crc32(data))
            rest = struct.pack("<IBBHI", 0x5A210000, 20, 0x30, len(raw), 0o100644)
            archive += block(0x74, 0x8000, sizes + rest + raw, data)
        return archive + block(0x7B, 0x4000, b"")

    return make
