# ruff: noqa: ARG001  (fixtures that are wanted for what they make)
"""The real command line in this process, on tiny generated videos."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LABELS = ("lob, hoch", "Rückhand")  # a space, commas, letters beyond ASCII
SCENES = 6  # of each label, two clips each

Film = Callable[..., Path]
Command = Callable[..., Any]  # see `frameflow` in tests/conftest.py


@pytest.fixture(scope="session")
def _filmed(tmp_path_factory: pytest.TempPathFactory, film: Film) -> Path:
    folder = tmp_path_factory.mktemp("filmed") / "VIDEOS"
    for number, label in enumerate(LABELS):
        for clip in range(2 * SCENES):
            scene = SCENES * number + clip // 2
            film(folder / label / f"{clip:02d}.mp4", scene=scene, seed=100 * number + clip)
    return folder


@pytest.fixture
def videos(_filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``VIDEOS``, a folder of class folders, in the folder where the test stands."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(_filmed, tmp_path / "VIDEOS", copy_function=shutil.copy2)
    return Path("VIDEOS")


@pytest.fixture
def manifest(videos: Path, frameflow: Command) -> Path:
    """``manifest.csv`` of the videos, with groups and a split."""
    for command in ("scan VIDEOS", "groups manifest.csv", "split manifest.csv"):
        assert frameflow(f"data {command}").code == 0
    return Path("manifest.csv")


@pytest.fixture(scope="session")
def _trained(_filmed: Path, frameflow: Command, fast: list[str]) -> Path:
    run = _filmed.parent / "run"
    assert frameflow("train", _filmed, "-o", run, *fast).code == 0
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
def spoil(film: Film) -> Callable[[Path], dict[str, str]]:
    """Write unusable files into a folder; the names and what is said of each."""

    def write(folder: Path) -> dict[str, str]:
        import av

        whole = film(folder / "whole.mp4", scene=99, seed=99).read_bytes()
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
