"""Fixtures every test may use."""

import contextlib
import io
import logging
import multiprocessing
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips, named by FRAMEFLOW_TEST_DATA (default ../shared/data)."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("FRAMEFLOW_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real clips: {folder} is absent (name a folder in FRAMEFLOW_TEST_DATA)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' features and engines never mix with the user's own."""
    before = os.environ.get("FRAMEFLOW_HOME")
    os.environ["FRAMEFLOW_HOME"] = str(tmp_path_factory.mktemp("frameflow-home"))
    yield
    if before is None:
        del os.environ["FRAMEFLOW_HOME"]
    else:
        os.environ["FRAMEFLOW_HOME"] = before


# The command line and the Python interface, on tiny generated videos -------------------------

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
def _one_thread() -> Iterator[None]:
    """Threads that wait for one another make small networks slow."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def frameflow(_one_thread: None) -> Callable[..., Said]:
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


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray of this machine that all tests share, since starting one takes seconds: `Cluster()`."""
    from frameflow.cluster import Cluster, connected

    cluster = Cluster(workers=1)
    with connected(cluster):
        yield cluster


def make_clip(path: Path, *, scene: int, seed: int, frames: int = 12) -> Path:
    """A white square that wanders through a room of coloured blocks, with some noise."""
    import numpy as np

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
def _small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    for number, label in enumerate(("backhand", "serve")):
        for clip in range(12):
            path = folder / "VIDEOS" / label / f"{clip:02d}.mp4"
            make_clip(path, scene=500 + 6 * number + clip // 2, seed=500 + 50 * number + clip)
    make_clip(folder / "new_clip.mp4", scene=600, seed=600)
    for command in ("scan VIDEOS -o", "groups", "split"):
        folder_first = [folder / part if part == "VIDEOS" else part for part in command.split()]
        assert invoke("data", *folder_first, folder / "manifest.csv").code == 0
    assert invoke("train", folder / "manifest.csv", "-o", folder / "RUN", *FAST).code == 0
    return folder


@pytest.fixture
def small_clips(_small: Path, tmp_path: Path) -> Path:
    """A folder with ``VIDEOS`` of two classes, their ``manifest.csv`` and ``new_clip.mp4``."""
    shutil.copytree(
        _small, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2,
        ignore=shutil.ignore_patterns("RUN"),
    )  # fmt: skip
    return tmp_path


@pytest.fixture
def small_run(_small: Path) -> Path:
    """A run trained on the small clips, to be read only."""
    return _small / "RUN"


@pytest.fixture
def run_python(_one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Run code of the documentation, training fast; what it printed."""
    from frameflow.training import pipeline

    real = pipeline.train
    quick = [option for option in FAST if "=" in option]

    def train(*arguments: object, overrides: Sequence[str] = (), **options: object) -> object:
        return real(*arguments, overrides=[*quick, *overrides], engine="torch", **options)

    monkeypatch.setattr(pipeline, "train", train)

    def run(code: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {"__name__": "__main__"})
        return printed.getvalue()

    return run


# Processes that are killed ---------------------------------------------------------------------


class Child:
    """A process of the tests, with those of `subprocess.Popen`'s methods that they need."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


@pytest.fixture(scope="session")
def start_child() -> Callable[..., Child]:
    """``start_child(code, ARGUMENT...)``: run code in a process that has imported PyTorch.

    Importing takes seconds; here a server does it once, and each child is a fork of it. The code
    finds its arguments in ``sys.argv[1:]``.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    try:
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path

    def start(code: str, *arguments: object) -> Child:
        given = f"import sys\nsys.argv = {['-c', *map(str, arguments)]!r}\n"
        process = context.Process(target=exec, args=(given + code, {"__name__": "__main__"}))
        process.start()
        return Child(process)

    return start


# A real browser --------------------------------------------------------------------------------

CHROMIUM = os.environ.get("FRAMEFLOW_CHROMIUM") or shutil.which("chromium")
BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")  # no longer: its event loop would be there when others test Ctrl-C
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright; a test that opens a page takes ``browser.new_page()``.

    The program is ``chromium`` on the path, or what FRAMEFLOW_CHROMIUM names.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install it, or name it in FRAMEFLOW_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield opened
        opened.close()
