"""Predictions by the workers of a cluster are those of one process."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow._places import path_of
from frameflow.cluster import Cluster
from frameflow.errors import UsageError, VideoError
from frameflow.inference import on_cluster
from frameflow.inference.on_cluster import predict_on_cluster
from frameflow.inference.outputs import Wanted
from frameflow.inference.prediction import Prediction, Result
from frameflow.inference.predictor import load

NUMBER = r"\d+\.\d+(?:e-?\d+)?"


def same(found: list[Result], expected: list[Result]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        if isinstance(other, VideoError):
            assert isinstance(one, VideoError)
            assert (one.path, one.reason) == (other.path, other.reason)
            continue
        assert isinstance(one, Prediction)
        assert (one.video, one.set, one.views) == (other.video, other.set, other.views)
        assert [label for label, _ in one.topk] == [label for label, _ in other.topk]
        # PyTorch adds in another order where it has another number of threads
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-3)


def numbers_aside(text: str) -> tuple[str, list[float]]:
    """A table without its fractions, and these."""
    return re.sub(NUMBER, "#", text), [float(number) for number in re.findall(NUMBER, text)]


@pytest.fixture
def videos(clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Named relative to a folder that is not the workers', one of them no video."""
    monkeypatch.chdir(clips[0].parent)
    Path("text.mp4").write_text("not a video")
    names = [path.name for path in clips]
    return [Path(name) for name in (*names[9:3:-1], "text.mp4", *names[:4], "absent.mp4")]


@pytest.fixture
def served(clips: list[Path]) -> Iterator[str]:
    """The URL at which the clips' folder is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=clips[0].parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_results_of_one_process_in_the_order_of_the_names(
    run: Path,
    videos: list[Path],
    served: str,
    ray_cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_cluster, "BLOCK", 3)
    urls = [f"{served}/{name}" for name in (videos[0].name, "absent.mp4")]
    asked = [path_of(urls[0]), *videos, path_of(urls[1])]
    how = {"engine": "torch", "views": 2, "topk": 2}
    found = list(predict_on_cluster(ray_cluster, run, asked, **how))  # type: ignore[arg-type]
    same(found, load(run, engine="torch", views=2).predict(asked, topk=2))
    assert sum(isinstance(one, VideoError) for one in found) == 3
    assert isinstance(found[0], Prediction)
    assert found[0].video == urls[0]
    assert isinstance(found[-1], VideoError)
    assert found[-1].path == urls[1]


@pytest.mark.usefixtures("ray_cluster")
def test_the_command_writes_the_same_files_and_goes_on(
    run: Path, videos: list[Path], frameflow: Callable[..., Any]
) -> None:
    names = [str(video) for video in videos]
    line = ("predict", run, *names, "--engine", "torch")
    away = ("--runner", "ray", "--workers", "1")
    assert frameflow(*line, "--csv", "here.csv").code == 1
    here = Path("here.csv").read_text(encoding="utf-8")
    Path("there.csv").write_text("".join(here.splitlines(keepends=True)[:5]), encoding="utf-8")
    said = frameflow(*line, "--csv", "there.csv", "--resume", *away)
    assert said.code == 1, "two videos cannot be read"
    assert "4 of 12 videos are there." in said.err
    assert "Wrote there.csv: 6 predicted, 2 failed, 4 there before." in said.err
    there = Path("there.csv").read_text(encoding="utf-8")
    assert numbers_aside(there)[0] == numbers_aside(here)[0]
    assert numbers_aside(there)[1] == pytest.approx(numbers_aside(here)[1], abs=1e-3)


def test_pictures_are_not_made_elsewhere() -> None:
    for asked in (Wanted(gif=Path("a.gif")), Wanted(per_frame=Path("frames.csv"), rolling=3)):
        with pytest.raises(UsageError, match="leave --runner ray away"):
            asked.check([Path("a.mp4")], elsewhere=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "2"], "--workers is for Ray: add --runner ray"),
        (["--address", "auto"], "--address is for Ray: add --runner ray"),
        (["--runner", "ray", "--workers", "0"], "--workers (0) must be at least 1"),
    ],
)
def test_wrong_use(
    run: Path, videos: list[Path], frameflow: Callable[..., Any], options: list[str], says: str
) -> None:
    said = frameflow("predict", run, videos[0], *options)
    assert said.code == 2
    assert says in said.error


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_costs_no_table(run: Path, videos: list[Path]) -> None:
    Path("kept.csv").write_text("kept")
    command = [sys.executable, "-m", "frameflow", "predict", str(run), str(videos[0])]
    away = ["--csv", "kept.csv", "--runner", "ray", "--address", "127.0.0.1:1"]
    done = subprocess.run([*command, *away], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No Ray cluster can be reached at 127.0.0.1:1" in done.stderr
    assert Path("kept.csv").read_text() == "kept"


def own_workers() -> list[int]:
    """The processes of this process's Ray that do the work."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    table = [line.split(None, 2) for line in listed.stdout.splitlines()]
    own = {str(os.getpid())}
    for _ in range(3):  # this process, its raylet, the workers
        own |= {pid for pid, parent, _ in table if parent in own}
    return [int(pid) for pid, _, name in table if pid in own and "MapWorker" in name]


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(
    run: Path, videos: list[Path], ray_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_cluster, "BLOCK", 2)
    asked = [*videos[:6], *videos[7:11]] * 6
    results = predict_on_cluster(ray_cluster, run, asked, engine="torch")
    found = [next(results)]
    (working,) = own_workers()
    os.kill(working, signal.SIGKILL)
    found += results
    same(found, load(run, engine="torch").predict(asked))
