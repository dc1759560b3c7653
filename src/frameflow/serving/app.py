"""The application: routes, errors and the gate around them."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.serving.gate import Gate, host_names
from frameflow.serving.settings import Settings

if TYPE_CHECKING:
    from frameflow.serving.service import Service

ABOUT = """Say what happens in videos, with runs that FrameFlow trained.

Every error is `{"error": {"code", "message", "cure"}}`. Where the server has a token, all of /v1
and /metrics need `Authorization: Bearer TOKEN`."""


def build_app(runs: Sequence[tuple[str, Path]], settings: Settings) -> "tuple[Gate, Service]":
    """The whole server as an ASGI application.

    Args:
        runs: named run folders, the default first; see `frameflow.serving.models.check_runs`.
        settings: of the server.

    Returns:
        The application, and what its routes share.
    """
    from fastapi import FastAPI

    from frameflow import __version__
    from frameflow.serving.faults import add_handlers
    from frameflow.serving.routes import explain, health, models, predict, timeline, videos
    from frameflow.serving.schemas import with_faults
    from frameflow.serving.service import Service

    service = Service(runs, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="FrameFlow",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,  # they fetch their scripts from elsewhere
        redoc_url=None,
    )
    add_handlers(app)
    plain = app.openapi
    app.openapi = lambda: with_faults(plain())  # type: ignore[method-assign]
    for part in (health, models, videos, predict, timeline, explain):
        app.include_router(part.router(service))
    gate = Gate(
        app,
        service.metrics,
        token=settings.token,
        hosts=host_names(settings.local, settings.hosts),
        most=settings.queue,
    )
    service.metrics.in_flight.set_function(lambda: float(gate.in_flight))
    return gate, service
