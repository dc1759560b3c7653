"""What users can type wrong, and clusters that are not there: one line each, at once."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from frameflow.cluster import Cluster, _session, cluster_of, connected
from frameflow.cluster._plan import share_of
from frameflow.errors import FrameFlowError, UsageError


def test_without_ray_the_work_is_done_here() -> None:
    assert cluster_of("local") is None
    assert cluster_of("ray", "auto", 3) == Cluster("auto", 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("local", "auto", None), "--address is for Ray: add --runner ray"),
        (("local", None, 2), "--workers is for Ray: add --runner ray"),
        (("ray", None, 0), r"--workers \(0\) must be at least 1"),
        (("ray", None, -1), r"--workers \(-1\) must be at least 1"),
        (("ray", " ", None), "--address is empty"),
        (("spark", None, None), "must be local or ray"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cluster_of(*given)


@pytest.mark.parametrize(
    "address", ["nowhere", "host:", ":6379", "host:0", "host:99999", "http://host:80"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="must be auto or HOST:PORT"):
        _session.address_of(address)


def test_rays_client_is_not_supported() -> None:
    with pytest.raises(UsageError, match=r"ray://.* is not supported"):
        _session.address_of("ray://head:10001")


def test_nobody_at_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(FrameFlowError, match=f"No Ray cluster can be reached at 127.0.0.1:{port}"):
        _session.address_of(f"127.0.0.1:{port}")
    assert time.monotonic() - begun < 2 * _session.PATIENCE


@contextmanager
def _server(answer: bytes | None) -> Iterator[int]:
    """Takes connections, and says something or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held = []

        def serve() -> None:
            link, _ = listening.accept()
            held.append(link)
            if answer is not None:
                link.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        for link in held:
            link.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not Ray"), (None, "no answer")],
)
def test_something_else_at_the_address(
    answer: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session, "PATIENCE", 0.3)
    with _server(answer) as port, pytest.raises(FrameFlowError, match=said):
        _session.address_of(f"127.0.0.1:{port}")


def test_no_cluster_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    # Whatever else runs on this machine is not looked at.
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", _none_runs)
    with pytest.raises(FrameFlowError, match=r"No Ray cluster runs on this machine .*ray start"):
        _session.address_of("auto")


def _none_runs(address: str) -> str:
    raise ConnectionError(f"Could not find any running Ray instance ({address}).")


def test_another_version_on_the_cluster() -> None:
    from ray._private import utils

    there = {"ray_version": "2.9.0", "python_version": "3.9.1"}
    with pytest.raises(RuntimeError) as caught:  # Ray's own words
        utils.check_version_info(there, "this machine", raise_on_mismatch=True)
    said = str(_session.refused("host:6379", caught.value))
    assert "runs another version: Ray 2.9.0, Python 3.9.1 there, Ray " in said
    assert f"Python {'.'.join(map(str, sys.version_info[:3]))}" in said
    assert "must be the same on all machines" in said


def test_ray_is_not_installed(
    frameflow: Callable[..., Any], small_clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = frameflow("features", small_clips / "manifest.csv", "--runner", "ray")
    assert said.code == 2
    assert "pip install 'frameflow-video[ray]'" in said.error
    with pytest.raises(UsageError, match="pip install"), connected(Cluster()):
        pass


def test_the_command_line_names_wrong_options(
    frameflow: Callable[..., Any], small_clips: Any
) -> None:
    manifest = small_clips / "manifest.csv"
    assert "add --runner ray" in frameflow("features", manifest, "--address", "auto").error
    said = frameflow("features", manifest, "--runner", "ray", "--workers", "0")
    assert (said.code, "--workers (0)" in said.error) == (2, True)


@pytest.mark.parametrize(
    ("cores", "workers", "share"),
    [
        ([2], 1, 2),
        ([2], 2, 1),
        ([8, 8], 2, 8),
        ([8, 8], 3, 4),  # 8 would place two, 5 to 7 two, 4 four
        ([2, 8], 2, 4),
        ([1], 5, 1),  # they wait
        ([], 1, 1),
    ],
)
def test_workers_share_the_cores(cores: list[int], workers: int, share: int) -> None:
    assert share_of(cores, workers) == share
