"""`frameflow live`: lines of JSON on stdout and nothing else."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

SHORT = ("--engine", "torch", "--window", 0.5)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def film(small_clips: Path, film: Callable[..., Path]) -> Path:
    """A second and a half."""
    return film(small_clips / "film.mp4", scene=600, seed=600, frames=18)


def test_a_film_as_lines(frameflow: Callable[..., Any], small_run: Path, film: Path) -> None:
    said = frameflow("live", small_run, "--source", film, *SHORT, "--stride", 0.25, "--topk", 2)
    assert said.code == 0
    first, *windows, last = lines(said.out)
    assert (first["event"], last["event"]) == ("connected", "ended")
    assert first["window"] == 0.5
    assert windows
    for one in windows:
        assert list(one)[:5] == ["time", "start", "end", "label", "probability"]
        assert len(one["topk"]) == 2
        assert one["end"] - one["start"] == pytest.approx(0.5)
        assert {"latency", "dropped_windows", "dropped_frames"} <= set(one)
    assert f"Answered: {len(windows)} windows" in said.err
    assert "Reconnected: 0 times." in said.err


def test_events_only(frameflow: Callable[..., Any], small_run: Path, film: Path) -> None:
    options = ("--show", "events", "--enter", 0, "--leave", 0)
    said = frameflow("live", small_run, "--source", film, *SHORT, *options)
    assert said.code == 0
    names = [one["event"] for one in lines(said.out)]
    assert (names[0], names[-2:]) == ("connected", ["end", "ended"])
    assert names.count("begin") == names.count("end") > 0


def test_changes_only(frameflow: Callable[..., Any], small_run: Path, film: Path) -> None:
    options = ("--show", "changes", "--stride", 0.1)
    said = frameflow("live", small_run, "--source", film, *SHORT, *options)
    found = [one for one in lines(said.out) if "label" in one]
    answers = [(one["label"], one.get("abstained")) for one in found]
    assert answers
    assert all(one != other for one, other in itertools.pairwise(answers))
    assert said.code == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--source", "tcp://user:secret@127.0.0.1:1"], 1, "connection refused"),
        (["--source", "nothing.mp4"], 1, "does not exist"),
        (["--source", "4321"], 1, "camera 4321: there is no such camera"),
        (["--source", "-", "--format", "nonsense"], 2, "FFmpeg has no format 'nonsense'"),
        (["--source", "0", "--option", "video_size"], 2, "must be NAME=VALUE"),
        (["--source", "a.mp4", "--stride", "0"], 2, "must be > 0"),
    ],
)
def test_mistakes(
    frameflow: Callable[..., Any], small_run: Path, options: list[str], code: int, said: str
) -> None:
    found = frameflow("live", small_run, *SHORT, *options)
    assert found.code == code
    assert said in found.error
    assert "secret" not in found.out + found.err


def test_piped_in_and_stopped_by_hand(small_run: Path, film: Path) -> None:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    push = [ffmpeg, "-v", "error", "-re", "-stream_loop", "-1", "-i", str(film), "-c", "copy"]
    main = "import sys; from frameflow.cli import main; main()"
    command = [sys.executable, "-c", main, "live", str(small_run), "--source", "-"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        subprocess.Popen([*push, "-f", "mpegts", "-"], stdout=subprocess.PIPE) as pushing,
        subprocess.Popen(
            [*command, *map(str, SHORT), "--stride", "0.25"],
            stdin=pushing.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            # also where these tests run in the background of a script, which ignores Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as reading,
    ):
        assert pushing.stdout is not None
        assert reading.stdout is not None
        pushing.stdout.close()
        try:
            found = [json.loads(reading.stdout.readline()) for _ in range(3)]
            reading.send_signal(signal.SIGINT)
            _, told = reading.communicate(timeout=20)
        finally:
            pushing.kill()
            reading.kill()
    assert [one.get("event") for one in found] == ["connected", None, None]
    assert found[1]["label"] in ("backhand", "serve")
    assert reading.returncode == 130
    assert "Answered: " in told
    assert told.strip().endswith("Stopped.")
    assert "Traceback" not in told
