"""One connection: as uvicorn speaks HTTP, with an end to waiting for a request's head."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0


class PatientConnection(H11Protocol):
    """Closes on a client that does not finish the head of a request.

    uvicorn ends the wait for the next request of a connection, but neither that for the first one
    nor that for the rest of a head; a few hundred such clients would keep all others out.
    """

    head_seconds = HEAD_SECONDS
    _look: asyncio.TimerHandle | None = None
    _seen: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._plan()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _plan(self) -> None:
        self._seen = self.cycle  # of the request that came last; None before the first
        self._look = self.loop.call_later(self.head_seconds, self._check)

    def _check(self) -> None:
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is self._seen:  # no request began since the last look
            self.transport.close()
        else:
            self._plan()
