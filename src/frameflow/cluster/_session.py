"""Connecting to Ray, quietly and within a bounded time, and letting go of it."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frameflow.cluster._options import Cluster
from frameflow.errors import FrameFlowError, UsageError

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds for an answer from the address
_STORE = 150 << 20  # bytes of shared memory of a cluster of ours: pixels never pass through it
_LONGEST = 30  # characters of a folder below which Ray's sockets still have a name
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",  # as polite as this process, where the cluster is its own
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # it prints its own view of what died to stdout
}
# The opening of HTTP/2, with an empty frame of settings: what speaks it answers with its own.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4


def import_ray() -> Any:
    """Ray, told to be silent.

    Raises:
        UsageError: it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            f"--runner ray needs Ray ({error}): pip install 'frameflow-video[ray]'"
        ) from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    return ray


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Keep one connection for several jobs within the block.

    A cluster that was started for it ends with the block; one that was joined is left as it is.
    Where this process has a connection already, that one is used and stays.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        FrameFlowError: the cluster cannot be reached or is of another version.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    with _started(ray, cluster) if address is None else _joined(ray, address):
        yield


@contextlib.contextmanager
def _started(ray: Any, cluster: Cluster) -> Iterator[None]:
    """A cluster of this machine, gone afterwards with all of its processes and files."""
    cores = _cores()
    log.info("Starting Ray on this machine.")
    folder = Path(tempfile.mkdtemp(prefix="ff-ray-"))
    own = {"_temp_dir": str(folder)} if len(str(folder)) <= _LONGEST else {}
    try:
        with _hushed():
            ray.init(
                address="local",
                num_cpus=max(cores, cluster.workers or 0),
                include_dashboard=False,
                object_store_memory=_STORE,
                logging_level="critical",
                log_to_driver=False,
                **own,
            )
        _silence()
        yield
    except (ConnectionError, RuntimeError, ValueError) as error:
        if ray.is_initialized():
            raise
        raise FrameFlowError(f"Ray cannot be started on this machine: {_short(error)}") from error
    finally:
        with _undisturbed():
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _joined(ray: Any, address: str) -> Iterator[None]:
    try:
        found = address_of(address)
        log.info("Joining the Ray cluster at %s.", found)
        with _hushed():
            ray.init(address=found, logging_level="critical", log_to_driver=False)
        _silence()
    except FrameFlowError:
        raise
    except (Exception, SystemExit) as error:
        with contextlib.suppress(Exception):
            ray.shutdown()
        raise refused(address, error) from error
    try:
        check_workers(ray)
        yield
    finally:
        with _undisturbed():
            ray.shutdown()  # of the connection: the cluster goes on


def check_workers(ray: Any) -> None:
    """Look whether processes of the cluster can run this code.

    Raises:
        FrameFlowError: FrameFlow is not installed there, or in another version.
    """
    from frameflow import __version__

    def version() -> str:  # sent as it is: it must not need what it looks for
        try:
            import frameflow
        except ImportError as error:
            return f"!{error}"
        return frameflow.__version__

    there = ray.get(ray.remote(version).options(num_cpus=0).remote(), timeout=120)
    if there.startswith("!"):
        raise missing_there(there[1:])
    if there != __version__:
        raise FrameFlowError(
            f"The cluster has FrameFlow {there}, this machine {__version__}: features would not "
            f"be alike. Install the same version on all machines."
        )


def missing_there(said: str) -> FrameFlowError:
    """The error where the workers cannot import what they need."""
    return FrameFlowError(
        f"The cluster's workers cannot import FrameFlow ({said.rstrip('.')}): install "
        f"frameflow-video on its machines, in the Python that runs Ray there."
    )


def address_of(address: str) -> str:
    """The address, after somebody there has answered.

    Raises:
        UsageError: it is none.
        FrameFlowError: nobody has.
    """
    if address == "auto":
        from ray._private import services

        try:
            found = services.canonicalize_bootstrap_address("auto")
        except ConnectionError:
            found = None
        if not found:
            raise FrameFlowError(
                "No Ray cluster runs on this machine (--address auto): start one with `ray start "
                "--head`, name another (--address HOST:PORT), or leave --address away."
            )
        host, port = _parts(found, address)
    else:
        host, port = _parts(address, address)
        found = address
    try:
        answered = _speaks_http2(host, port)
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise _unreachable(address, f"{host}:{port}: {why}") from None
    if not answered:
        raise _unreachable(address, f"what answers at {host}:{port} is not Ray")
    return found


def _parts(found: str, address: str) -> tuple[str, int]:
    if found.startswith("ray://"):
        raise UsageError(
            f"--address {address}: Ray's client (ray://) is not supported. Start this on a machine "
            f"of the cluster, with --address auto or HOST:PORT, or by `ray job submit`."
        )
    host, _, port = found.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in host:
        raise UsageError(
            f"--address ({address!r}) must be auto or HOST:PORT, as `ray start --head` says "
            f"(usually port 6379)."
        )
    return host.strip("[]"), int(port)


def _speaks_http2(host: str, port: int) -> bool:
    """Ray's own client would try for two minutes, and then end this process."""
    with socket.create_connection((host, port), timeout=PATIENCE) as link:
        link.settimeout(PATIENCE)
        link.sendall(_PREFACE)
        head = b""
        while len(head) < 4 and (more := link.recv(4 - len(head))):
            head += more
        return len(head) == 4 and head[3] == _SETTINGS


def _unreachable(address: str, why: str) -> FrameFlowError:
    return FrameFlowError(
        f"No Ray cluster can be reached at {address} ({why}). It must run, and this machine be one "
        f"of its own (`ray start --address=...`); or leave --address away."
    )


def refused(address: str, error: BaseException) -> FrameFlowError:
    """Why a cluster that answers did not take this process, in one line."""
    said = _short(error)
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    whole = "\n".join(map(str, causes))
    if "AuthToken" in whole:
        return FrameFlowError(
            f"The cluster at {address} asks for a token: set RAY_AUTH_MODE=token here, and "
            f"RAY_AUTH_TOKEN to that of the cluster, unless it is in ~/.ray/auth_token."
        )
    if "ersion mismatch" in str(error):
        return FrameFlowError(
            f"The cluster at {address} runs another version: {_versions(str(error))}. Ray and "
            f"Python must be the same on all machines."
        )
    return _unreachable(address, said)


def _versions(said: str) -> str:
    """``Ray 2.9.0, Python 3.11.4 there; Ray 2.60.0, ...`` out of Ray's own words."""
    found: list[list[str]] = []
    for line in said.splitlines():
        name, _, value = line.strip().partition(": ")
        if name == "Ray":
            found.append([f"Ray {value}"])
        elif name == "Python" and found:
            found[-1].append(f"Python {value}")
    if len(found) != 2:
        return _short(said)
    there, here = (", ".join(parts) for parts in found)
    return f"{there} there, {here} here"


def _silence() -> None:
    """Ray Data writes what it does to stderr, in bars and lines of its own."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
        logger.propagate = False


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Ray's native part writes to stderr that it was told to write nothing."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _short(error: object) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0][:200] if lines else type(error).__name__).rstrip(".")
