"""A real cluster of two nodes, both on this machine: `frameflow features` as users start it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from frameflow.features._shard import open_shard

pytestmark = pytest.mark.slow

RAY = [sys.executable, "-m", "ray.scripts.scripts"]
LONG = (  # some seconds, so that there is a middle
    "--set=streams.0.size=320", "--set=sampling.frames=12", "--set=views.train=4",
    "--set=sampling.strategy=segments",
)  # fmt: skip
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "5" * 64,
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Nodes:
    """The two nodes; the second may be killed."""

    address: str
    second: "subprocess.Popen[bytes]"
    home: Path

    def kill_second(self) -> None:
        os.killpg(self.second.pid, signal.SIGKILL)


def start(*options: str) -> "subprocess.Popen[bytes]":
    command = [*RAY, "start", *options, "--num-cpus=1", "--object-store-memory=100000000"]
    return subprocess.Popen(
        [*command, "--disable-usage-stats", "--block"],
        env=os.environ | QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def alive(address: str) -> int:
    """How many nodes there are, asked by a process of its own."""
    script = (
        "import ray, sys; ray.init(address=sys.argv[1], logging_level='critical');"
        "print('NODES', sum(node['Alive'] for node in ray.nodes()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, address],
        capture_output=True,
        text=True,
        env=os.environ | QUIET,
    )
    return int(found[1]) if (found := re.search(r"NODES (\d+)", done.stdout)) else 0


def wait_for(what: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    folder, port = Path(tempfile.mkdtemp(prefix="ff-2-")), free_port()
    address = f"127.0.0.1:{port}"
    head = start(
        "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}",
        "--node-ip-address=127.0.0.1",
    )  # fmt: skip
    started = [head]
    try:
        wait_for(lambda: _open(port))
        started.append(start(f"--address={address}", "--node-ip-address=127.0.0.1"))
        wait_for(lambda: alive(address) == 2)
        yield Nodes(address, started[1], folder)
    finally:
        for node in reversed(started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
        for node in started:
            try:
                node.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _open(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def command(small_clips: Path, fast: list[str]) -> Callable[..., "subprocess.Popen[str]"]:
    """``frameflow features`` of the small clips on a cluster, as a process."""

    def run(address: str, *more: str, **changed: str) -> "subprocess.Popen[str]":
        words = ["features", str(small_clips / "manifest.csv"), "--runner", "ray"]
        words += ["--address", address, "--store", str(small_clips / "store"), *fast, *more]
        return subprocess.Popen(
            [sys.executable, "-m", "frameflow", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | QUIET | changed,
        )  # fmt: skip

    return run


def rows_of(store: Path) -> list[Counter[str]]:
    """How often each key is stored, of each folder."""
    folders = [path for path in store.iterdir() if path.is_dir()]
    assert folders
    return [
        Counter(key for path in folder.glob("*.features") for key in open_shard(path).keys)
        for folder in folders
    ]


def test_features_over_two_nodes(nodes: Nodes, command: Any, small_clips: Path) -> None:
    job = command(nodes.address)
    out, err = job.communicate(timeout=400)
    assert job.returncode == 0, err
    assert out.startswith("Stored 24 samples")
    assert "by 2 workers" in err
    assert all(
        set(rows.values()) == {1} and len(rows) == 24 for rows in rows_of(small_clips / "store")
    )
    strange = [
        line
        for line in err.splitlines()
        if not re.match("Joining|Computing|Stored|No worker", line)
    ]
    assert strange == []  # Ray says nothing of its own
    assert alive(nodes.address) == 2  # it was joined, and goes on


def test_a_killed_node_loses_nothing(nodes: Nodes, command: Any, small_clips: Path) -> None:
    store = small_clips / "store"
    job = command(nodes.address, *LONG)
    wait_for(lambda: job.poll() is not None or any(store.glob("*/*.features")), 300)
    assert job.poll() is None, "the job was over before the node could be killed"
    nodes.kill_second()
    out, err = job.communicate(timeout=500)
    assert job.returncode == 0, err
    assert out.startswith("Stored 24 samples")
    assert all(set(rows.values()) == {1} and len(rows) == 24 for rows in rows_of(store))


def test_ctrl_c_leaves_nothing_behind(nodes: Nodes, command: Any, small_clips: Path) -> None:
    store = small_clips / "store"
    job = command(nodes.address, *LONG)
    wait_for(lambda: job.poll() is not None or any(store.glob("*/*.features")), 300)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=120)
    assert job.returncode == 130, err
    assert err.splitlines()[-1] == "Stopped."
    assert "Traceback" not in err
    assert alive(nodes.address) == 2
    wait_for(lambda: not workers_of(nodes.home), 60)


def workers_of(session: Path) -> list[str]:
    """The command lines of the workers of a cluster that still hold an actor."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            if words.startswith("ray::MapWorker") and str(session) in str(
                (process / "fd/1").readlink()
            ):
                found.append(words)
    return found


def test_the_cluster_runs_another_version(nodes: Nodes, command: Any) -> None:
    script = (
        "import json, ray, sys; ray.init(address=sys.argv[1], logging_level='critical')\n"
        "from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put\n"
        "told = json.loads(_internal_kv_get(b'CLUSTER_METADATA', namespace=b'cluster'))\n"
        "told['ray_version'] = '2.9.0'\n"
        "text = json.dumps(told).encode()\n"
        "_internal_kv_put(b'CLUSTER_METADATA', text, True, namespace=b'cluster')\n"
    )
    environment = os.environ | QUIET
    subprocess.run([sys.executable, "-c", script, nodes.address], check=True, env=environment)
    job = command(nodes.address)
    _, err = job.communicate(timeout=120)
    assert job.returncode == 1
    assert "runs another version: Ray 2.9.0" in err


def test_the_cluster_asks_for_a_token(nodes: Nodes, command: Any) -> None:
    job = command(nodes.address, RAY_AUTH_TOKEN="7" * 64)
    _, err = job.communicate(timeout=120)
    assert job.returncode == 1
    assert "asks for a token: set RAY_AUTH_MODE=token" in err
    assert len(err.split("Error: ")[1].splitlines()) == 1
