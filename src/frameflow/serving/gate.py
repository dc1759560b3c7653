"""What every request passes first: who may ask, how much at once, and the headers of answers.

It is plain ASGI around the app, so that a request can be turned away before its body is read.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from frameflow.serving.faults import CLOSED, body_of, busy, headers_of
from frameflow.serving.limits import Refused

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from frameflow.serving.metrics import Metrics

log = logging.getLogger(__name__)

PAGE_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
# A player cannot send a token: these open by the secret in their address alone.
_BY_SECRET = re.compile(r"/v1/(videos/[^/]+/(file|preview)|model/(card|report))")
_WORK = re.compile(r"/v1/(predict|timeline|explain|videos|samples/[^/]+)")
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 32 << 20


@dataclass(slots=True)
class Gate:
    """The app with its gate.

    Attributes:
        app: what answers where the gate lets through.
        metrics: where all is counted.
        token: what clients must show; None: nothing.
        hosts: names that the ``Host`` header may hold; None: any.
        most: requests with work in hand at once.
        in_flight: how many there are.
    """

    app: "ASGIApp"
    metrics: "Metrics"
    token: str | None
    hosts: tuple[str, ...] | None
    most: int
    in_flight: int = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        works = scope["method"] == "POST" and _WORK.fullmatch(scope["path"]) is not None
        begun = time.perf_counter()
        refused = self._refused(scope, works)
        if refused is None and works:
            self.in_flight += 1
        try:
            if refused is not None:
                await exchange.refuse(refused)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except Exception:  # the app has answered and logged it
            if not exchange.status:
                raise
        finally:
            if refused is None and works:
                self.in_flight -= 1
            self._count(scope, exchange, time.perf_counter() - begun)

    def _refused(self, scope: "Scope", works: bool) -> Refused | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self.hosts is not None and _name_of(host) not in self.hosts:
            return Refused(
                403, "wrong_host", "This server does not answer under that name.",
                "Use its address, or start it with --allow-host NAME.",
            )  # fmt: skip
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and _is_foreign(headers, host):
            return Refused(403, "cross_site", "Requests from other sites are not taken.")
        if self.token is not None and _needs_token(scope):
            given = headers.get(b"authorization", "")
            kind, _, shown = given.partition(" ")
            same = hmac.compare_digest(shown.strip().encode("latin-1"), self.token.encode())
            if kind.lower() != "bearer" or not same:
                return Refused(
                    401, "unauthorized", "A token is needed.",
                    "Send the header `Authorization: Bearer TOKEN`.",
                )  # fmt: skip
        if works and self.in_flight >= self.most:
            return busy(f"{self.in_flight} requests are in hand, and that is all there is room for")
        return None

    def _count(self, scope: "Scope", exchange: "_Exchange", seconds: float) -> None:
        # Addresses that lead nowhere are one route: a client cannot make up labels.
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "-"
        status = exchange.status or CLOSED
        self.metrics.requests.labels(route, method, str(status)).inc()
        if route != "other":
            self.metrics.seconds.labels(route).observe(seconds)
        if status >= 400:
            code = exchange.code or scope.get("frameflow.code") or "other"
            self.metrics.refused.labels("client_gone" if status == CLOSED else code).inc()


class _Exchange:
    """One request and its answer, watched."""

    def __init__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.status, self.code, self._whole = 0, "", not _has_body(scope)

    async def receive(self) -> "Message":
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._whole = True
        return message

    async def send(self, message: "Message") -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._security(message)]
        elif not message.get("more_body", False) and not self._whole:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        self.code = refused.code
        body = json.dumps(body_of(refused.code, refused.message, refused.cure)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        headers.update({k.lower(): v for k, v in headers_of(refused.status).items()})
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refused.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})

    def _security(self, message: "Message") -> list[tuple[bytes, bytes]]:
        given = {name.lower() for name, _ in message.get("headers", ())}
        wanted = dict(HEADERS)
        if self.scope["path"].startswith("/v1") or self.scope["path"] == "/metrics":
            wanted["cache-control"] = "no-store"
        else:  # a newer version's page is seen at once; asking costs one 304
            wanted["cache-control"] = "no-cache"
        pairs = [(name.encode(), value.encode()) for name, value in wanted.items()]
        return [pair for pair in pairs if pair[0] not in given]

    async def _linger(self) -> None:
        """Take what the client still sends, within limits.

        Were the connection closed on it, it would lose the answer that says why.
        """
        if any(name == b"expect" for name, _ in self.scope["headers"]):
            return  # it waits for leave to send, and got the answer instead
        left = _LINGER_BYTES
        with contextlib.suppress(TimeoutError, Exception):
            async with asyncio.timeout(_LINGER_SECONDS):
                while left > 0 and not self._whole:
                    left -= len((await self.receive()).get("body", b""))


def host_names(local: bool, more: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names that the ``Host`` header may hold; None: any.

    A page of another site can point its own name at this machine and ask from inside the user's
    browser (DNS rebinding), so a server for this machine alone answers to its own names only.
    """
    named = tuple(name.lower() for name in more)
    if local:
        return (*_LOCAL_NAMES, *named)
    return named or None


def _name_of(host: str) -> str:
    """The name in a ``Host`` header, without the port."""
    return re.sub(r":\d+$", "", host).lower()


def _is_foreign(headers: dict[bytes, str], host: str) -> bool:
    """Whether a browser says that another site's page sends this; programs say nothing."""
    if site := headers.get(b"sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get(b"origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def _needs_token(scope: "Scope") -> bool:
    path = scope["path"]
    if scope["method"] in ("GET", "HEAD") and _BY_SECRET.fullmatch(path):
        return False
    return path.startswith("/v1") or path == "/metrics"


def _has_body(scope: "Scope") -> bool:
    headers: dict[Any, Any] = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
