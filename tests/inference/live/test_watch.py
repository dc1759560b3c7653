"""A stream in, answers out: over a real connection, on threads, with a real run."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.errors import UsageError, VideoError
from frameflow.inference.live import LiveEvent, LivePrediction, live
from frameflow.inference.predictor import Predictor, load
from frameflow.inference.timeline import timeline

Push = Callable[..., "subprocess.Popen[bytes]"]
PLAN = {"window": 0.5, "stride": 0.25, "grid": 8.0}


@pytest.fixture(scope="module")
def predictor(_made: Path) -> Predictor:
    return load(_made / "first run", engine="torch")


def split(
    found: Iterator[LiveEvent | LivePrediction],
) -> tuple[list[LivePrediction], list[LiveEvent]]:
    every = list(found)
    answers = [one for one in every if isinstance(one, LivePrediction)]
    return answers, [one for one in every if isinstance(one, LiveEvent)]


def test_a_file_is_answered_as_it_is_played(predictor: Predictor, short: Path) -> None:
    answers, events = split(live(predictor, short, **PLAN, topk=2))
    assert [one.event for one in events] == ["connected", "ended"]
    shown = events[0].details
    assert (shown["window"], shown["stride"], shown["grid"]) == (0.5, 0.25, 8.0)
    expected = timeline(predictor, short, **PLAN)
    rows = {round(start, 3): row for start, row in zip(expected.starts, expected.probabilities)}
    assert len(answers) >= 2
    for one in answers:
        assert len(one.prediction.topk) == 2
        assert one.end - one.start == pytest.approx(0.5)
        assert one.latency >= 0
        said = one.prediction.probabilities
        assert np.allclose(said, rows[round(one.start, 3)], atol=1e-5)
    # each complete window was answered or counted, whatever this machine had to do besides
    last = answers[-1]
    assert len(answers) + last.dropped_windows == round(last.start / 0.25) + 1
    moments = [one.time for one in answers]
    assert moments == sorted(moments)


def test_a_slow_model_drops_windows_and_stays_at_the_newest(
    predictor: Predictor, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.inference.live.answers import PieceAnswers

    real = PieceAnswers.answer

    def slow(self: PieceAnswers, number: int) -> LivePrediction:
        time.sleep(0.4)
        return real(self, number)

    monkeypatch.setattr(PieceAnswers, "answer", slow)
    answers, _ = split(live(predictor, short, window=0.5, stride=0.05, grid=20))
    last = answers[-1]
    assert last.dropped_windows > len(answers)
    assert len(answers) + last.dropped_windows == round(last.start / 0.05) + 1
    assert last.end == pytest.approx(1.25)  # the newest there is: what is late is not queued
    # queued, 15 windows of 0.4 seconds would take six
    assert max(one.latency for one in answers) < 3.0


def test_a_server_that_goes_and_comes_back(
    predictor: Predictor, film: Path, port: int, push: Push
) -> None:
    listen = ("-f", "mpegts", f"tcp://127.0.0.1:{port}?listen=1")
    first = push(film, *listen, speed=2, loop=-1)
    found = live(
        predictor, f"tcp://127.0.0.1:{port}", **PLAN, reconnect=True, max_seconds=30,
        options={"analyzeduration": "300000"},
    )  # fmt: skip
    before = [next(one for one in found if isinstance(one, LivePrediction)) for _ in range(2)]
    first.kill()
    gone = next(one for one in found if isinstance(one, LiveEvent) and one.event == "reconnecting")
    push(film, *listen, speed=2, loop=-1)
    back = next(one for one in found if isinstance(one, LiveEvent) and one.event == "connected")
    after = next(one for one in found if isinstance(one, LivePrediction))
    found.close()  # type: ignore[attr-defined]
    assert before[0].end < before[1].end <= gone.seconds + 0.1
    assert after.start >= back.seconds
    assert after.time > before[1].time


def test_count_and_seconds_end_it(predictor: Predictor, film: Path) -> None:
    answers, _ = split(live(predictor, film, **PLAN, count=2))
    assert len(answers) == 2
    begun = time.monotonic()
    _, events = split(live(predictor, film, **PLAN, max_seconds=0.3))
    assert time.monotonic() - begun < 2.5  # the film has three
    assert "ended" not in [one.event for one in events]


def test_nothing_is_left_when_it_ends(predictor: Predictor, film: Path) -> None:
    list(live(predictor, film, **PLAN, count=1))
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("live-") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


def test_a_source_that_never_works_is_an_error(predictor: Predictor, port: int) -> None:
    found = live(predictor, f"tcp://127.0.0.1:{port}", **PLAN)
    ended = next(found)
    assert isinstance(ended, LiveEvent)
    assert (ended.event, ended.details["reason"]) == (
        "ended", "nobody answers there (connection refused)",
    )  # fmt: skip
    with pytest.raises(VideoError, match="nobody answers there"):
        next(found)


def test_a_silent_server_is_given_up(predictor: Predictor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(VideoError, match=r"sent no video for 0\.3 s"):
            list(live(predictor, address, **PLAN, stall_timeout=0.3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"topk": 0}, r"topk \(0\) must be > 0"),
        ({"rolling": 0}, r"rolling \(0\) must be > 0"),
        ({"count": -1}, r"count \(-1\) must be > 0"),
        ({"stall_timeout": 0.0}, r"stall_timeout \(0\) must be > 0"),
        ({"max_seconds": float("inf")}, r"max_seconds \(inf\) must be > 0"),
        ({"window": -1.0}, "must be > 0"),
        ({"stride": 0.0}, "must be > 0"),
        ({"grid": float("nan")}, "must be > 0"),
    ],
)
def test_mistakes_show_before_anything_is_opened(
    predictor: Predictor, film: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        live(predictor, film, **{**PLAN, **options})


@pytest.mark.slow
def test_memory_is_flat(predictor: Predictor, film: Path, ffmpeg: str) -> None:
    command = [ffmpeg, "-v", "error", "-stream_loop", "400", "-i", str(film), "-c", "copy"]
    process = subprocess.Popen([*command, "-f", "mpegts", "-"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    used, statm = [], Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("only Linux tells the memory of a process as a file")
    found, seconds = live(predictor, process.stdout, **PLAN), 0.0
    for one in found:
        seconds = one.end if isinstance(one, LivePrediction) else seconds
        used.append(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    process.wait()
    process.stdout.close()
    assert seconds > 1200
    assert len(used) > 20
    assert max(used[len(used) // 2 :]) < max(used[: len(used) // 4]) + (16 << 20)
