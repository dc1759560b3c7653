# ruff: noqa: ARG001  (fixtures that are wanted for what they make)
"""The real command line in this process, on tiny generated videos."""

import contextlib
import io
import logging
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LABELS = ("lob, hoch", "Rückhand")  # a space, commas, letters beyond ASCII
SCENES = 6  # of each label, two clips each
# A small backbone of random weights: what these tests look at is what is said and written.
FAST = [
    *("--set", "streams.0.backbone=mobilenetv3_small_050"),
    *("--set", "streams.0.weights=none"),
    *("--set", "streams.0.size=64"),
    *("--set", "sampling.frames=4"),
    *("--set", "train.epochs=3"),
    *("--set", "evaluation.resamples=50"),
    *("--engine", "torch"),
]


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The message of a failure, after ``Error: ``."""
        assert self.code in (1, 2), self
        _, _, message = self.err.partition("Error: ")
        assert message, self.err
        assert len(message.strip().splitlines()) <= 2, f"more than two lines: {message}"
        return message.strip()


def invoke(*arguments: object) -> Said:
    """Run ``frameflow ARGUMENTS`` in this process; a traceback fails the test."""
    from frameflow.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before, code = sys.argv, 0
    log = logging.getLogger("frameflow")
    kept = (log.handlers[:], log.level, log.propagate)
    sys.argv = ["frameflow", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.argv = before
        log.handlers[:], log.level, log.propagate = kept
    said = Said(code, *(_text(stream) for stream in (out, err)))
    assert "--debug" in arguments or "Traceback" not in said.err, said.err
    return said


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@pytest.fixture(scope="session")
def frameflow() -> Callable[..., Said]:
    """``frameflow("train", "VIDEOS", ...)``, or one line as a shell would take it."""

    def run(*arguments: object) -> Said:
        if len(arguments) == 1 and isinstance(arguments[0], str):
            return invoke(*shlex.split(arguments[0]))
        return invoke(*arguments)

    return run


@pytest.fixture(scope="session")
def fast() -> list[str]:
    """Options of ``train``, ``crossval`` and ``features`` for a run in a second."""
    return list(FAST)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Threads that wait for one another make small networks slow."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_clip(path: Path, *, scene: int, seed: int, frames: int = 12) -> Path:
    """A white square that wanders through a room of coloured blocks, with some noise."""
    from frameflow.video.write import write_video

    blocks = np.random.default_rng(scene).integers(20, 235, (6, 12, 3))
    rng = np.random.default_rng(1000 + seed)
    film = np.repeat(blocks.repeat(8, 0).repeat(8, 1)[None], frames, axis=0)
    start = rng.integers(0, 60)
    for index, frame in enumerate(film):
        frame[15:35, start + 2 * (index % 12) :][:, :12] = 255
    film = film + rng.integers(-6, 7, film.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.clip(film, 0, 255).astype(np.uint8), rate=12)
    return path


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    return make_clip


@pytest.fixture(scope="session")
def _filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filmed") / "VIDEOS"
    for number, label in enumerate(LABELS):
        for clip in range(2 * SCENES):
            scene = SCENES * number + clip // 2
            make_clip(folder / label / f"{clip:02d}.mp4", scene=scene, seed=100 * number + clip)
    return folder


@pytest.fixture
def videos(_filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``VIDEOS``, a folder of class folders, in the folder where the test stands."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(_filmed, tmp_path / "VIDEOS", copy_function=shutil.copy2)
    return Path("VIDEOS")


@pytest.fixture
def manifest(videos: Path, frameflow: Callable[..., Said]) -> Path:
    """``manifest.csv`` of the videos, with groups and a split."""
    for command in ("scan VIDEOS", "groups manifest.csv", "split manifest.csv"):
        assert frameflow(f"data {command}").code == 0
    return Path("manifest.csv")


@pytest.fixture(scope="session")
def _trained(_filmed: Path) -> Path:
    run = _filmed.parent / "run"
    assert invoke("train", _filmed, "-o", run, *FAST).code == 0
    return run


@pytest.fixture
def run(videos: Path, _trained: Path) -> Path:
    """``RUN``, trained on the videos, that the test may write into."""
    shutil.copytree(_trained, "RUN", copy_function=shutil.copy2)
    return Path("RUN")


@pytest.fixture
def edit() -> Callable[..., None]:
    """``edit(path, column, value)`` sets cells of a CSV; value is a function of the row."""
    import csv

    def change(path: Path, column: str, value: Callable[[dict[str, str], int], Any]) -> None:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            row[column] = str(value(row, number))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return change


@pytest.fixture(scope="session")
def spoil() -> Callable[[Path], dict[str, str]]:
    """Write unusable files into a folder; the names and what is said of each."""

    def write(folder: Path) -> dict[str, str]:
        import av

        whole = make_clip(folder / "whole.mp4", scene=99, seed=99).read_bytes()
        (folder / "whole.mp4").unlink()
        (folder / "zero.mp4").write_bytes(b"")
        (folder / "text.mp4").write_text("no video\n" * 40)
        (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
        with av.open(str(folder / "song.mp4"), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            sound = np.zeros((1, 16000), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return {
            "zero.mp4": "is empty (0 bytes)",
            "text.mp4": "is not a video that FFmpeg can read",
            "cut.mp4": "is truncated",
            "song.mp4": "has no video stream (audio only)",
        }

    return write
