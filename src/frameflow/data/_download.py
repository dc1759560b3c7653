"""One file over HTTP: with a progress bar, resumed where it stopped, whole or not at all."""

import http.client
import logging
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frameflow.errors import FrameFlowError
from frameflow.progress import progress

log = logging.getLogger(__name__)

_CHUNK = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 5  # in a row without a byte gained
_PAUSE = 1.0  # seconds before the second try; doubled each time


class Offline(FrameFlowError):
    """The server cannot be reached."""


class _Broken(Exception):
    """The connection broke; another try may go on from what is on disk."""


def download(
    url: str, path: Path, *, size: int | None = None, verify_certificate: bool = True
) -> None:
    """Download ``url`` to ``path``. Until it is whole it is called ``path`` + ``.part``.

    Args:
        url: http or https.
        path: where to; its folder exists.
        size: in bytes, where known; another size is refused.
        verify_certificate: False trusts any server.

    Raises:
        Offline: the server cannot be reached.
        FrameFlowError: the server refuses, the connection breaks again and again, or the disk is
            full. The part stays, and the next call goes on from it.
    """
    part = path.with_name(path.name + ".part")
    tries, pause = 0, _PAUSE
    while True:
        before = _length(part)
        try:
            _transfer(url, part, size, verify_certificate)
            break
        except _Broken as error:
            if _length(part) > before:
                tries, pause = 0, _PAUSE
            tries += 1
            if tries >= _TRIES:
                raise FrameFlowError(
                    f"The download of {url} broke off at {_length(part):,} bytes ({error}): "
                    "run this again to go on from there."
                ) from None
            log.info("The connection broke (%s): trying again.", error)
            time.sleep(pause)
            pause *= 2
    part.replace(path)


def _transfer(url: str, part: Path, size: int | None, verify_certificate: bool) -> None:
    """Append what is missing to the part. Raises _Broken where another try may help."""
    have = _length(part)
    if size is not None and have == size:
        return
    if size is not None and have > size:
        part.unlink()
        have = 0
    try:
        response = _open(url, have, verify_certificate)
    except urllib.error.HTTPError as error:
        _on_http_error(error, url, part, have)
        return
    with response:
        start, total = _span(response)
        if start != have:
            # The server sends it all again: it knows no ranges, or the file has changed.
            have = start = 0
        if size is not None and total is not None and total != size:
            raise FrameFlowError(
                f"{url} is {total:,} bytes long where {size:,} were expected: "
                "the file on the site has changed, so nothing was downloaded."
            )
        _require_space(part.parent, (total or size or 0) - have)
        with progress(
            f"Downloading {part.stem}", total=_megabytes(total or size), unit="MB"
        ) as bar:
            bar(have / 1e6)
            _copy(response, part, have, bar)
    if total is not None and _length(part) < total:
        raise _Broken(f"{_length(part):,} of {total:,} bytes came")


def _open(url: str, have: int, verify_certificate: bool) -> Any:
    headers = {"User-Agent": "frameflow", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    context = None if verify_certificate else ssl._create_unverified_context()
    host = urllib.parse.urlsplit(url).hostname or url
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise FrameFlowError(
                f"The certificate of {host} cannot be verified: update this machine's "
                "certificates, or go on without the check (--no-check-certificate)."
            ) from None
        if have or isinstance(error.reason, ConnectionResetError):
            raise _Broken(f"{host} cannot be reached") from None
        raise Offline(f"{host} cannot be reached") from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from None


def _on_http_error(error: urllib.error.HTTPError, url: str, part: Path, have: int) -> None:
    """416 for a part that is whole already is no error; 5xx may pass; the rest is final."""
    with error:
        if error.code == 416 and have:
            whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if whole and int(whole[1]) == have:
                return
            part.unlink()
            raise _Broken("the part on disk did not fit the file on the site")
        if error.code >= 500 or error.code == 429:
            raise _Broken(f"the server answered {error.code}")
        raise FrameFlowError(f"The server has no {url} (it answered {error.code} {error.reason}).")


def _span(response: Any) -> tuple[int, int | None]:
    """(first byte sent, length of the whole file) of an answer 200 or 206."""
    if response.status == 206:
        span = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span:
            return int(span[1]), None if span[2] == "*" else int(span[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _copy(response: Any, part: Path, start: int, advance: Callable[..., None]) -> None:
    try:
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while chunk := _read(response):
                file.write(chunk)
                advance(len(chunk) / 1e6)
    except OSError as error:
        raise FrameFlowError(
            f"{part} cannot be written ({error.strerror or error}): make room, or choose another "
            "folder, and run this again. What came is kept."
        ) from None


def _read(response: Any) -> bytes:
    # Apart from writing, so that a fault of the network is not taken for one of the disk.
    try:
        chunk: bytes = response.read(_CHUNK)
    except http.client.IncompleteRead as error:
        chunk = error.partial
    except (TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError) as error:
        raise _Broken(str(error) or type(error).__name__) from None
    return chunk


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FrameFlowError(
            f"The download needs {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: "
            "make room, or choose another folder."
        )


def _megabytes(size: int | None) -> int:
    return max(1, round((size or 0) / 1e6)) if size else 0


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
