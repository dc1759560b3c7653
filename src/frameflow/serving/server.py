"""Runs the application until it is told to stop."""

import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.errors import UsageError
from frameflow.serving.app import build_app
from frameflow.serving.models import check_runs
from frameflow.serving.settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

_GRACE_SECONDS = 20  # for requests in hand when the server is told to stop
_CONNECTIONS, _WAITING = 512, 256
_IDLE_SECONDS = 30  # of a connection between two requests; shorter ones race with proxies


def serve(
    runs: Sequence[tuple[str | None, Path]],
    settings: Settings,
    *,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve runs until the process is told to stop (SIGINT, SIGTERM).

    Args:
        runs: names, or None for those of the folders, and run folders; the first is the default.
        settings: of the server.
        started: called with the address once requests are taken; models may still be loading.

    Raises:
        UsageError: a run is none or damaged, or the address cannot be listened at.
    """
    named = check_runs(runs)
    app, service = build_app(named, settings)
    listening = listen(settings.host, settings.port)
    server = make_server(app)

    def stop() -> None:
        server.should_exit = True

    service.on_failure = stop
    with listening:
        started(address_of(listening))
        server.run(sockets=[listening])
    if service.failure is not None:
        raise service.failure


def make_server(app: "ASGIApp") -> "uvicorn.Server":
    """What speaks HTTP for the application."""
    import uvicorn

    from frameflow.serving.connection import PatientConnection

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=PatientConnection,
            ws="none",
            log_config=None,
            access_log=False,  # addresses hold ids, which are secrets
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; port 0 takes a free one.

    Raises:
        UsageError: the address is taken or none of this machine's.
    """
    name = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # With the protocol said, asyncio lets answers go at once (TCP_NODELAY): without it each
        # waits 40 ms for the client's acknowledgement of its head.
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_listening(host, port, error) from None
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING)
    except OSError as error:
        listening.close()
        raise _not_listening(host, port, error) from None
    return listening


def _not_listening(host: str, port: int, error: OSError) -> UsageError:
    reason = error.strerror or str(error)
    return UsageError(
        f"Nothing can listen at {host} port {port}: {reason}. Choose another with --port N."
    )


def address_of(listening: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
