"""What can be wrong with storage elsewhere, in words; and trying again where that may help."""

import errno
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from frameflow.errors import FrameFlowError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_WAITS = (0.3, 1.5)  # seconds before another try; the libraries below try several times themselves
_DISK = {errno.ENOSPC, errno.EDQUOT}
# By name: their libraries are not loaded for it, and may not be installed.
_CREDENTIALS = {
    "CredentialRetrievalError",
    "DefaultCredentialsError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}
_NETWORK = {
    "ClientConnectionError",
    "ClientConnectorError",
    "ClientOSError",
    "ClientPayloadError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "FSTimeoutError",
    "HTTPClientError",
    "IncompleteReadError",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
    "ServerTimeoutError",
    "SSLError",
}
_TRIED = {"ConnectTimeoutError", "EndpointConnectionError"}  # the library has, for ten seconds
_CURES = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`",
}
_SAME = {"s3a": "s3", "gcs": "gs"}


class RemoteError(FrameFlowError):
    """Storage elsewhere cannot be reached or refuses: the work stops, and no video is at fault."""


class Changed(Exception):
    """What was fetched is not what was looked at: it is being written."""


def attempt(url: str, call: Callable[[], Result]) -> Result:
    """Call, several times where the network is at fault.

    Raises:
        FileNotFoundError: there is nothing at the URL.
        OSError: this machine's disk is full.
        RemoteError: no credentials, no right to it, or no answer.
    """
    for wait in (*_WAITS, None):
        try:
            return call()
        except Exception as error:
            if isinstance(error, FrameFlowError | FileNotFoundError | IsADirectoryError):
                raise
            if isinstance(error, OSError) and error.errno in _DISK:
                raise
            known = _known(url, error)
            if known is not None:
                raise RemoteError(known) from error
            if wait is None or type(error).__name__ in _TRIED:
                raise RemoteError(_unanswered(url, error)) from error
            log.debug("%s: %s; trying again.", url, _first_line(error))
        time.sleep(wait)
    raise AssertionError


def _known(url: str, error: Exception) -> str | None:
    """What another try would not change."""
    names = {kind.__name__ for kind in type(error).__mro__}
    scheme = scheme_of(url)
    cure = _CURES.get(scheme, "Set the credentials that fsspec takes for it")
    if names & _CREDENTIALS:
        return f"{url} needs credentials, and none were found. {cure}."
    if isinstance(error, PermissionError):
        return (
            f"{url} may not be read or written with these credentials ({_first_line(error)}). "
            f"{cure}, of an account that may."
        )
    if isinstance(error, OSError | EOFError | Changed) or names & _NETWORK:
        return None
    return f"{url} cannot be used: {_first_line(error)} ({type(error).__name__})."


def _unanswered(url: str, error: Exception) -> str:
    if isinstance(error, Changed):
        return f"{url} changes while it is read: wait until it is written."
    extra = " or AWS_ENDPOINT_URL" if scheme_of(url) == "s3" else ""
    return (
        f"{url} cannot be reached ({_first_line(error)}). Check the network{extra} and run the "
        f"same command again: what was done is kept."
    )


def scheme_of(url: str) -> str:
    """The scheme, ``s3`` for ``s3a`` too."""
    scheme = url.partition("://")[0]
    return _SAME.get(scheme, scheme)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".")
