"""Real servers on free ports of this machine, with a tiny run and tiny clips."""

import contextlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

LABELS = ["läuft, schnell", "sitzt", "winkt"]
START_SECONDS = 120.0


@dataclass
class Server:
    """A server that runs.

    Attributes:
        url: without a slash at the end.
        token: that clients must send; None: none.
        service: what its routes share, to look at from outside.
        run: the folder of its first run.
        clips: videos that it can read.
        http: a client that knows the address and the token.
    """

    url: str
    token: str | None
    service: Any
    run: Path
    clips: list[Path]
    http: httpx.Client

    def send(self, path: Path, name: str = "clip.mp4") -> dict[str, Any]:
        """Upload a video; what the server says of it."""
        answer = self.http.post("/v1/videos", files={"file": (name, path.read_bytes())})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def wait(self, job: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The job once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said = self.http.get(f"/v1/jobs/{job}").json()
            if said["state"] not in ("queued", "running"):
                return said
            time.sleep(0.02)
        raise AssertionError(f"the job goes on: {said}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``run`` (random weights, calibrated, with a card and a report) and clips."""
    import torch

    from frameflow.config import dump_recipe, load_recipe
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.features.extract import make_encoder
    from frameflow.models.recognizer import build_recognizer
    from frameflow.video.write import write_video

    root = tmp_path_factory.mktemp("served")
    (root / "clips" / "sitzt").mkdir(parents=True)
    samples = []
    for number in range(6):
        folder = "clips/sitzt" if number == 5 else "clips"
        path = root / folder / f"{number:02d}.mp4"
        rng = np.random.default_rng(number)
        small = rng.integers(0, 255, (9, 4, 5, 3), dtype=np.uint8)
        film = small.repeat(4, axis=0).repeat(12, axis=1).repeat(12, axis=2)
        write_video(path, film, rate=12)
        split = ("train", "val", "test")[number % 3]
        name = f"../{folder}/{path.name}"
        samples.append(Sample(name, LABELS[number % 3], split=split, group=f"g{number}"))
    torch.manual_seed(0)
    recipe = load_recipe(
        "default",
        [
            "sampling.frames=4",
            "streams.0.backbone=resnet10t",
            "streams.0.weights=none",
            "streams.0.size=32",
            "head.name=mean",
            "evaluation.resamples=100",
        ],
    )
    run = root / "run"
    recognizer = build_recognizer(recipe, LABELS)
    encoder = make_encoder(recognizer, engine="torch")
    found = [encoder.encode(encoder.read(path)) for path in sorted(root.glob("clips/*.mp4"))]
    features, mask = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*found))
    recognizer.head.prepare([(features, mask)])
    with torch.no_grad():  # untrained, but of different opinions on different clips
        for parameter in recognizer.head.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))
    recognizer.save(run, {"clip_seconds": 1.0})
    (run / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    Manifest(samples, run).write(run / "manifest.csv")
    (run / "README.md").write_text(
        "---\ntags: [x]\n---\n# A tiny run\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "<script>alert(1)</script> [bad](javascript:alert(1)) ![p](http://x.example/p.png)\n",
        encoding="utf-8",
    )
    (run / "report.html").write_text(
        "<!doctype html><title>Report</title><style>p{color:red}</style><p id=p>Report</p>"
        "<script>document.getElementById('p').textContent = 'Report, alive'</script>",
        encoding="utf-8",
    )
    (run / "metrics.json").write_text(
        json.dumps(
            {
                "samples": 2, "groups": 2, "top1": 0.5, "split": "test", "leaky": False,
                "intervals": {"top1": [0.1, 0.9]},
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    return root


@contextlib.contextmanager
def running(root: Path, **options: Any) -> Iterator[Server]:
    """A server until the block ends; ``options`` are those of `Settings`."""
    from frameflow.serving.app import build_app
    from frameflow.serving.models import check_runs
    from frameflow.serving.server import address_of, listen, make_server
    from frameflow.serving.settings import Settings

    runs = options.pop("runs", [(None, root / "run")])
    settings = Settings(**{"engine": "torch", "workers": 2, **options})
    app, service = build_app(check_runs(runs), settings)
    listening = listen("127.0.0.1", 0)
    url = address_of(listening)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    headers = {} if settings.token is None else {"Authorization": f"Bearer {settings.token}"}
    clips = sorted((root / "clips").glob("*.mp4"))
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
            _wait_until_ready(http, service)
            yield Server(url, settings.token, service, runs[0][1], clips, http)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()
        assert not thread.is_alive(), "the server does not stop"


def _wait_until_ready(http: httpx.Client, service: Any) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and service.failure is None:
        with contextlib.suppress(httpx.TransportError):
            if http.get("/readyz").status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError(f"the server does not become ready: {service.failure!r}")


@pytest.fixture(scope="module")
def server(served: Path, _one_thread: None) -> Iterator[Server]:
    """A server without a token, with samples."""
    with running(served, samples=served / "clips") as started:
        yield started


@pytest.fixture(scope="module")
def make_server(served: Path, _one_thread: None) -> Iterator[Callable[..., Server]]:
    """``make_server(token="secret", ...)``: servers with options of `Settings`.

    ``runs=[(name or None, folder), ...]`` serves others than the tiny run.
    """
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(served, **{"workers": 1, **options}))


@pytest.fixture
def run_copy(served: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run that a test may break."""
    return Path(shutil.copytree(served / "run", tmp_path / "copied run"))


@pytest.fixture(scope="session")
def served_clips(served: Path) -> list[Path]:
    """The tiny clips: 3 seconds at 12 frames a second, 60 x 48."""
    return sorted((served / "clips").glob("*.mp4"))


@pytest.fixture
def private_temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, this test's own."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
