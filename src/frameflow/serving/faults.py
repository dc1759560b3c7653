"""Errors as clients get them: one JSON form for all, and never an inside."""

import logging
import secrets
from collections.abc import Mapping
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.serving.limits import Refused

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

BUSY_SECONDS = 2  # after which a client that was sent away may try again
CLOSED = 499  # the client hung up; nobody sees this but the metrics


def busy(what: str) -> Refused:
    """The answer while there is no room."""
    return Refused(429, "busy", f"{what}.", f"Try again in {BUSY_SECONDS} seconds.")


def missing(code: str, message: str, cure: str | None = None) -> Refused:
    """The answer for something that is not there."""
    return Refused(404, code, message, cure)


def invalid(message: str, cure: str | None = None) -> Refused:
    """The answer for a field that cannot be."""
    return Refused(422, "invalid", message, cure)


def body_of(code: str, message: str, cure: str | None = None) -> dict[str, Any]:
    """What every error looks like."""
    error = {"code": code, "message": message}
    if cure:
        error["cure"] = cure
    return {"error": error}


def headers_of(status: int) -> dict[str, str]:
    """Further headers that go with a status."""
    if status in (429, 503):
        return {"Retry-After": str(BUSY_SECONDS)}
    return {"WWW-Authenticate": "Bearer"} if status == 401 else {}


def refused_by(error: Exception) -> Refused:
    """An error of the work as what the client is told.

    A video's own fault and wrong use are said; all else is a fault of ours, which the log has.
    """
    if isinstance(error, Refused):
        return error
    if isinstance(error, VideoError):
        return Refused(422, "unreadable", f"The video cannot be used: it {error.reason}.")
    if isinstance(error, UsageError):
        return invalid(str(error))
    number = secrets.token_hex(4)
    log.error("Request failed (%s):\n%s", number, "".join(format_exception(error)).rstrip())
    said = "The work failed" if isinstance(error, FrameFlowError) else "Something went wrong here"
    return Refused(500, "internal", f"{said}; the server's log tells more under {number}.")


def add_handlers(app: "FastAPI") -> None:
    """Bring every error of an app, also those of its framework, into the one form."""
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response

    def answer(refused: Refused, headers: Mapping[str, str] | None = None) -> "Response":
        content = body_of(refused.code, refused.message, refused.cure)
        merged = {**headers_of(refused.status), **(headers or {})}
        return JSONResponse(content, status_code=refused.status, headers=merged)

    async def own(request: "Request", error: Exception) -> "Response":
        refused = refused_by(error)
        request.scope["frameflow.code"] = refused.code
        return answer(refused)

    async def framework(request: "Request", error: Exception) -> "Response":
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        request.scope["frameflow.code"] = code
        said = {404: "There is nothing at this address.", 405: "This address has no such method."}
        message = said.get(error.status_code, "The request cannot be understood.")
        return answer(Refused(error.status_code, code, message), error.headers)

    async def validation(request: "Request", error: Exception) -> "Response":
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        request.scope["frameflow.code"] = "invalid"
        return answer(invalid(f"{place}: {first['msg']}."))

    async def gone(_: "Request", __: Exception) -> "Response":
        return Response(status_code=CLOSED)

    app.add_exception_handler(FrameFlowError, own)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, own)
