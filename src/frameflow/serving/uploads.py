"""What clients send: streamed to a private folder under limits, and deleted again."""

import asyncio
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from frameflow.serving._folder import PrivateFolder
from frameflow.serving._form import (
    OVERHEAD,
    FormReader,
    bad_form,
    check_type,
    read_urlencoded,
    too_large,
)
from frameflow.serving.limits import Limits, Refused, size_text
from frameflow.serving.names import clean_name

if TYPE_CHECKING:
    from starlette.requests import Request

    from frameflow.video.probe import VideoInfo

T = TypeVar("T")
Piece = bytes  # a class below has an attribute of that name

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_WRITE = 256 << 10  # bytes that are written at once


@dataclass(slots=True, eq=False)
class Upload:
    """A file that a client sent.

    Attributes:
        id: 128 random bits: who knows it may use it.
        name: what the client calls it, cleaned, for display only.
        path: where it is.
        size: bytes.
        preview: where its preview goes.
        info: what it is, once that was asked.
    """

    id: str = field(repr=False)  # not for logs
    name: str
    path: Path
    size: int = 0
    info: "VideoInfo | None" = None
    used: float = field(default=0.0, repr=False)
    users: int = field(default=0, repr=False)
    gone: bool = field(default=False, repr=False)

    @property
    def preview(self) -> Path:
        return self.path.with_name("preview.mp4")


@dataclass(frozen=True, slots=True)
class Form:
    """What a request held."""

    fields: dict[str, str]
    upload: Upload | None = None


class Uploads:
    """All uploads of one server.

    Args:
        limits: of each and of all together.
        ttl: seconds that one is kept after its last use.
        folder: where the private folder is made; the system's temporary folder where None.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, limits: Limits, *, ttl: float, folder: Path | None = None) -> None:
        self._limits, self._ttl = limits, ttl
        self._folder = PrivateFolder(folder)
        self._lock = threading.RLock()
        self._all: set[Upload] = set()  # those that have a file
        self._kept: dict[str, Upload] = {}
        self._receiving = 0

    def __enter__(self) -> "Uploads":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """The private folder."""
        return self._folder.path

    @property
    def count(self) -> int:
        """How many there are, those under way and those of single requests included."""
        return len(self._all)

    @property
    def bytes(self) -> int:
        """What they take, previews included."""
        with self._lock:
            return sum(upload.size + _size(upload.preview) for upload in self._all)

    # Receiving -----------------------------------------------------------------------------------

    async def receive(self, request: "Request") -> Form:
        """Read the form of a request; a file in it goes to disk as it arrives.

        The upload belongs to the caller, who gives it to `keep` or to `discard`.

        Raises:
            Refused: 400 for a bad form, 408 for one that does not come, 413 for a file over the
                limit, 415 for no form, 429 for too many at once, 507 without room for it.
            ClientDisconnect: the client hung up; nothing is left of its upload.
        """
        kind, boundary = check_type(request.headers.get("content-type"))
        pieces = _paced(request.stream(), self._limits)
        length = self._checked_length(request.headers.get("content-length"))
        if kind == "urlencoded":
            return Form(dict(read_urlencoded(await self._small(pieces), self._limits)))
        with self._place(length):
            return await self._read(FormReader(boundary, self._limits), pieces)

    def _checked_length(self, said: str | None) -> int:
        """Bytes that the request says it has, 0 where it says none."""
        length = int(said) if said is not None and said.isdecimal() and len(said) < 20 else 0
        rest = OVERHEAD + self._limits.form_fields * self._limits.field_bytes
        if length > self._limits.bytes + rest:
            raise too_large(self._limits)
        return length

    async def _small(self, pieces: AsyncIterator[Piece]) -> Piece:
        body = bytearray()
        async for piece in pieces:
            body += piece
            if len(body) > self._limits.form_fields * self._limits.field_bytes:
                raise bad_form("The form is too long.")
        return bytes(body)

    @contextmanager
    def _place(self, length: int) -> Iterator[None]:
        with self._lock:
            if self._receiving >= self._limits.uploads:
                raise Refused(429, "busy", "Too many uploads are under way.", "Try again soon.")
            self._check_room(length)
            self._receiving += 1
        try:
            yield
        finally:
            with self._lock:
                self._receiving -= 1

    async def _read(self, form: FormReader, pieces: AsyncIterator[Piece]) -> Form:
        upload: Upload | None = None
        file = -1
        try:
            waiting = bytearray()
            async for piece in pieces:
                waiting += form.feed(piece)
                if form.file_name is not None and upload is None:
                    upload = self._new(form.file_name)
                    file = os.open(upload.path, _NEW, 0o600)
                if upload is not None and len(waiting) >= _WRITE:
                    await _in_thread(self._write, upload, file, bytes(waiting))
                    waiting.clear()
            if not form.ended:
                raise bad_form("The form ends in the middle.")
            if upload is not None:
                await _in_thread(self._write, upload, file, bytes(waiting))
            done, upload = Form(form.fields, upload), None
            return done
        except OSError as error:
            raise _not_stored(error) from None
        finally:
            if file >= 0:
                with suppress(OSError):
                    os.close(file)
            if upload is not None:
                self.discard(upload)

    def _write(self, upload: Upload, file: int, data: Piece) -> None:
        self._check_room(len(data))
        view = memoryview(data)
        while view:
            count = os.write(file, view)
            upload.size += count
            view = view[count:]

    def _check_room(self, size: int) -> None:
        """Refuse what would fill the disk, or the share of it that is ours."""
        if self.bytes + size > self._limits.quota_bytes:
            quota = size_text(self._limits.quota_bytes)
            message = f"The uploads of all clients fill their {quota}."
            raise Refused(507, "storage_full", message, "Try again in some minutes.")
        if shutil.disk_usage(self.folder).free < size + self._limits.spare_bytes:
            raise _not_stored(OSError(errno.ENOSPC, ""))

    # Keeping -------------------------------------------------------------------------------------

    def _new(self, name: str) -> Upload:
        path = self._folder.new() / "video"
        upload = Upload(secrets.token_urlsafe(16), clean_name(name), path)
        with self._lock:
            self._all.add(upload)
        return upload

    def copy_in(self, path: Path, name: str) -> Upload:
        """A copy of a file of the server's own, as if a client had sent it.

        Raises:
            Refused: 404 where it is no longer there, 507 without room for it.
        """
        upload = self._new(name)
        try:
            self._check_room(_size(path))
            with open(path, "rb") as source:
                file = os.open(upload.path, _NEW, 0o600)
                with open(file, "wb") as copy:
                    shutil.copyfileobj(source, copy, _WRITE)
            upload.size = _size(upload.path)
        except OSError as error:
            self.discard(upload)
            if isinstance(error, FileNotFoundError):
                raise _unknown() from None
            raise _not_stored(error) from None
        except BaseException:
            self.discard(upload)
            raise
        return upload

    def keep(self, upload: Upload) -> None:
        """Let it be asked for by its id, until it was not used for ``ttl`` seconds."""
        with self._lock:
            upload.used = time.monotonic()
            self._kept[upload.id] = upload

    @contextmanager
    def using(self, id: str) -> Iterator[Upload]:
        """The upload of an id; it stays on disk meanwhile, even if it is deleted.

        Raises:
            Refused: 404 for an id that is not, or no longer, known.
        """
        with self._lock:
            upload = self._kept.get(id)
            if upload is None or self._expired(upload):
                raise _unknown()
            upload.users += 1
        try:
            yield upload
        finally:
            with self._lock:
                upload.users -= 1
                upload.used = time.monotonic()
                if upload.gone:
                    self.discard(upload)

    def delete(self, id: str) -> None:
        """Forget an upload, and remove it when nobody uses it any more.

        Raises:
            Refused: 404 for an id that is not known.
        """
        with self._lock:
            upload = self._kept.get(id)
            if upload is None:
                raise _unknown()
            self.discard(upload)

    def discard(self, upload: Upload) -> None:
        """Forget an upload, and remove it when nobody uses it any more."""
        with self._lock:
            self._kept.pop(upload.id, None)
            upload.gone = True
            if upload.users:
                return
            shutil.rmtree(upload.path.parent, ignore_errors=True)
            self._all.discard(upload)

    def sweep(self) -> int:
        """Remove what was not used for too long; how many there were. To be called now and then."""
        with self._lock:
            old = [upload for upload in self._kept.values() if self._expired(upload)]
            for upload in old:
                self.discard(upload)
        return len(old)

    def close(self) -> None:
        """Remove everything."""
        with self._lock:
            self._kept.clear()
            self._all.clear()
            self._folder.close()

    def _expired(self, upload: Upload) -> bool:
        return not upload.users and time.monotonic() > upload.used + self._ttl


async def _paced(stream: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    """The pieces of a body, as long as they do come.

    Raises:
        Refused: 408.
    """
    begun, size = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(limits.stall_seconds):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(
                408,
                "stalled",
                f"Nothing came for {limits.stall_seconds:g} seconds.",
                "Send it again.",
            ) from None
        size += len(piece)
        passed = time.monotonic() - begun
        if passed > limits.stall_seconds and size < passed * limits.bytes_per_second:
            raise Refused(408, "too_slow", "The upload comes too slowly.", "Send a smaller file.")
        yield piece


async def _in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run what waits for the disk in a thread; never leave it behind."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unknown() -> Refused:
    message = "There is no such video, or it was deleted."
    return Refused(404, "unknown_video", message, "Send it again.")


def _not_stored(error: OSError) -> Refused:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Refused(507, "disk_full", "The server's disk is full.", "Try again later.")
    return Refused(503, "not_stored", "The server cannot store the file.", "Try again later.")
