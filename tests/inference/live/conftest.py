"""Real streams on the loopback: FFmpeg pushes, we read."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from frameflow.inference.live.reader import Reader, Reading
from frameflow.inference.live.source import find_source
from frameflow.video.write import write_video

FAST = ["-tune", "zerolatency", "-preset", "ultrafast", "-g", "6"]


def _write(path: Path, *, frames: int) -> Path:
    small = np.random.default_rng(0).integers(0, 255, (frames // 3, 4, 5, 3), dtype=np.uint8)
    large = small.repeat(3, axis=0).repeat(12, axis=1).repeat(12, axis=2)
    write_video(path, large, rate=24.0)
    return path


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, 72 frames, that changes eight times a second."""
    return _write(tmp_path_factory.mktemp("live") / "film.mp4", frames=72)


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 30 frames of it: what is read at its own rate takes its time."""
    return _write(tmp_path_factory.mktemp("live") / "short.mp4", frames=30)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


@pytest.fixture
def push(ffmpeg: str) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """``push(film, "-f", "mpegts", URL, speed=4)``: FFmpeg sends, over and over if asked."""
    running: list[subprocess.Popen[bytes]] = []

    def start(
        path: Path,
        *output: str,
        speed: float = 1,
        loop: int = 0,
        beside: Sequence[str] = (),
        **options: Any,
    ) -> "subprocess.Popen[bytes]":
        command = [ffmpeg, "-v", "error", "-readrate", str(speed), "-stream_loop", str(loop)]
        command += ["-i", str(path), *beside, *FAST, *output]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def port() -> int:
    """A free one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Watched:
    """A reader, and what it took and told."""

    def __init__(self, source: Any, *, options: Any = None, format: Any = None, **how: Any) -> None:
        self.frames: list[tuple[float, bool]] = []  # seconds, whether a piece begins
        self.arrived: list[float] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.reader = Reader(
            find_source(source, options=options, format=format),
            Reading(**{"wait": 0.1, **how}),
            self._take,
            lambda event, **details: self.events.append((event, details)),
        )
        self.reader.start()

    def _take(self, _frame: Any, moment: Any, arrived: float) -> None:
        self.frames.append((moment.seconds, moment.anew))
        self.arrived.append(arrived)

    @property
    def names(self) -> list[str]:
        return [event for event, _ in self.events]

    def until(self, done: Callable[[], object], *, seconds: float = 20.0) -> "Watched":
        """Wait for it; a test that waits in vain fails."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, (self.events, len(self.frames), self.reader.error)
            time.sleep(0.01)
        return self

    def to_the_end(self) -> "Watched":
        return self.until(lambda: self.reader.over)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def start(source: Any, **how: Any) -> Watched:
        started.append(Watched(source, **how))
        return started[-1]

    yield start
    for one in started:
        one.reader.stop()
