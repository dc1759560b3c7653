"""Uploads: under limits, private, and nothing left behind."""

import asyncio
import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from frameflow.serving._folder import LOCK, PREFIX
from frameflow.serving.limits import Limits, Refused
from frameflow.serving.names import LONGEST, clean_name
from frameflow.serving.uploads import Form, Uploads

FILE = b'form-data; name="file"; filename="clip.mp4"'


def multipart(*parts: tuple[bytes, bytes]) -> bytes:
    """A form of (disposition, content)."""
    body = b"".join(
        b"--B\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + content + b"\r\n"
        for disposition, content in parts
    )
    return body + b"--B--\r\n"


def request(
    *pieces: bytes | float | None,
    kind: bytes = b"multipart/form-data; boundary=B",
    length: int | None = None,
) -> Request:
    """A request whose body comes in pieces; a number is a pause, None the end of the line."""
    headers = [(b"content-type", kind)]
    headers += [] if length is None else [(b"content-length", b"%d" % length)]
    rest = iter(pieces)

    async def receive() -> dict[str, Any]:
        for piece in rest:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            elif piece is None:
                return {"type": "http.disconnect"}
            else:
                return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request({"type": "http", "headers": headers}, receive)


def small(**changes: Any) -> Limits:
    return Limits(**{"spare_bytes": 1, "bytes": 1 << 20, "quota_bytes": 3 << 20, **changes})


def receive(uploads: Uploads, asked: Request) -> Form:
    return asyncio.run(uploads.receive(asked))


def refusal(uploads: Uploads, asked: Request) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        receive(uploads, asked)
    return refused.value.status, refused.value.code


def left(uploads: Uploads) -> list[str]:
    return [path.name for path in uploads.folder.rglob("*") if path.name != LOCK]


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    with Uploads(small(), ttl=60, folder=tmp_path) as made:
        yield made
        assert made._receiving == 0
    assert list(tmp_path.iterdir()) == []


def test_a_form_becomes_a_private_file_and_fields(uploads: Uploads) -> None:
    content = bytes(range(256)) * 2000 + b"\r\n--A\r\n-"
    body = multipart((b'form-data; name="model"', "läuft".encode()), (FILE, content))
    for size in (1, 7, 65536):
        pieces = [body[at : at + size] for at in range(0, 400 * size, size)] + [body[400 * size :]]
        form = receive(uploads, request(*pieces))
        upload = form.upload
        assert form.fields == {"model": "läuft"}
        assert upload is not None
        assert upload.path.read_bytes() == content
        assert (upload.name, upload.size) == ("clip.mp4", len(content))
        assert stat.S_IMODE(upload.path.stat().st_mode) == 0o600
        for folder in (upload.path.parent, uploads.folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(upload.id) >= 22  # 128 bits in base64
        assert upload.id not in str(upload.path)
        uploads.discard(upload)
        assert left(uploads) == []


def test_a_form_without_a_file(uploads: Uploads) -> None:
    form = receive(uploads, request(multipart((b'form-data; name="video"', b"id"))))
    assert form == Form({"video": "id"})
    kind = b"application/x-www-form-urlencoded"
    assert receive(uploads, request(b"model=a%20b&video=", kind=kind)).fields == {
        "model": "a b",
        "video": "",
    }


FIELD = b'form-data; name="model"'
OTHER = b'form-data; name="f"; filename="f"'
LONG_BOUNDARY = b"multipart/form-data; boundary=" + b"x" * 999
WRONG: dict[str, tuple[int, str, Request]] = {
    "json": (415, "not_a_form", request(b"{}", kind=b"application/json")),
    "no type": (415, "not_a_form", request(b"", kind=b"")),
    "no boundary": (400, "bad_form", request(b"", kind=b"multipart/form-data")),
    "boundary": (400, "bad_form", request(b"", kind=LONG_BOUNDARY)),
    "nothing": (400, "bad_form", request(b"")),
    "nonsense": (400, "bad_form", request(b"nonsense")),
    "half": (400, "bad_form", request(multipart((FILE, b"x" * 9))[:-5])),
    "half a file": (400, "bad_form", request(multipart((FILE, b"x" * 999))[:-500])),
    "two files": (400, "bad_form", request(multipart((FILE, b"1"), (FILE, b"2")))),
    "other file": (400, "bad_form", request(multipart((OTHER, b"1")))),
    "no name": (400, "bad_form", request(multipart((b"form-data", b"1")))),
    "twice": (400, "bad_form", request(multipart((FIELD, b"1"), (FIELD, b"2")))),
    "long field": (400, "bad_form", request(multipart((FIELD, b"x" * 4097)))),
    "not utf-8": (400, "bad_form", request(multipart((FIELD, b"\xff\xfe")))),
    "many fields": (
        400, "bad_form",
        request(multipart(*((b'form-data; name="%d"' % n, b"") for n in range(33)))),
    ),
    "long header": (400, "bad_form", request(multipart((b"form-data; x=" + b"y" * 9999, b"1")))),
    "many headers": (400, "bad_form", request(multipart((FIELD + b"\r\nX: y" * 99, b"1")))),
    "large": (413, "too_large", request(multipart((FILE, b"x" * ((1 << 20) + 1))))),
    "stated large": (413, "too_large", request(length=2 << 20)),
    "urlencoded": (
        400, "bad_form", request(b"a=1&a=2", kind=b"application/x-www-form-urlencoded"),
    ),
    "urlencoded long": (
        400, "bad_form", request(b"a" * 200_000, kind=b"application/x-www-form-urlencoded"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_requests_leave_nothing(what: str, uploads: Uploads) -> None:
    status, code, asked = WRONG[what]
    assert refusal(uploads, asked) == (status, code)
    assert left(uploads) == []
    assert uploads.count == 0


def test_what_is_stated_too_large_is_not_read(uploads: Uploads) -> None:
    async def untouched() -> dict[str, Any]:
        raise AssertionError("the body was read")

    asked = request(length=1 << 40)
    asked._receive = untouched
    assert refusal(uploads, asked) == (413, "too_large")


def test_a_file_over_the_limit_is_refused_as_soon_as_it_is(uploads: Uploads) -> None:
    taken = 0

    async def endless() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        head = multipart((FILE, b""))[:-9] if taken == 1 else b""
        return {"type": "http.request", "body": head + b"x" * 65536, "more_body": True}

    asked = request()
    asked._receive = endless
    assert refusal(uploads, asked) == (413, "too_large")
    assert taken <= (1 << 20) // 65536 + 1


def test_a_client_that_hangs_up_leaves_nothing(uploads: Uploads) -> None:
    body = multipart((FILE, b"x" * 600_000))
    with pytest.raises(ClientDisconnect):
        receive(uploads, request(body[:500_000], None))
    assert left(uploads) == []


def test_a_request_that_is_cancelled_leaves_nothing(uploads: Uploads) -> None:
    async def cancel() -> None:
        body = multipart((FILE, b"x" * 600_000))
        task = asyncio.create_task(uploads.receive(request(body[:500_000], 30.0)))
        while not any(path.is_file() and path.stat().st_size for path in _videos(uploads)):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert left(uploads) == []


def _videos(uploads: Uploads) -> list[Path]:
    return list(uploads.folder.glob("*/video"))


def test_a_body_that_trickles_is_given_up(tmp_path: Path) -> None:
    body = multipart((FILE, b"x" * 999))
    with Uploads(small(stall_seconds=0.3), ttl=60, folder=tmp_path) as uploads:
        assert refusal(uploads, request(body[:100], 5.0)) == (408, "stalled")
        slow = [piece for n in range(100, 999) for piece in (0.02, body[n : n + 1])]
        begun = time.monotonic()
        assert refusal(uploads, request(body[:100], *slow)) == (408, "too_slow")
        assert time.monotonic() - begun < 5
        assert left(uploads) == []


def test_only_so_many_at_once(tmp_path: Path) -> None:
    async def crowd(uploads: Uploads) -> list[Form | BaseException]:
        body = multipart((FILE, b"x"))
        asked = [uploads.receive(request(body[:60], 0.2, body[60:])) for _ in range(4)]
        return await asyncio.gather(*asked, return_exceptions=True)

    with Uploads(small(uploads=3), ttl=60, folder=tmp_path) as uploads:
        found = asyncio.run(crowd(uploads))
        refused = [one for one in found if isinstance(one, Refused)]
        assert [(one.status, one.code) for one in refused] == [(429, "busy")]
        assert uploads.count == 3


def test_all_together_have_a_quota(uploads: Uploads) -> None:
    kept = []
    for _ in range(3):
        form = receive(uploads, request(multipart((FILE, b"x" * 1_000_000))))
        assert form.upload is not None
        uploads.keep(form.upload)
        kept.append(form.upload)
    assert uploads.bytes == 3_000_000
    full = multipart((FILE, b"x" * 1_000_000))
    assert refusal(uploads, request(full)) == (507, "storage_full")
    assert refusal(uploads, request(full, length=len(full))) == (507, "storage_full")
    assert uploads.count == 3
    kept[0].preview.write_bytes(b"x" * 500_000)
    assert uploads.bytes == 3_500_000
    uploads.delete(kept[0].id)
    assert receive(uploads, request(full)).upload is not None


def test_ids_live_until_they_are_not_used(uploads: Uploads) -> None:
    upload = receive(uploads, request(multipart((FILE, b"x")))).upload
    assert upload is not None
    with pytest.raises(Refused) as refused, uploads.using(upload.id):
        pass
    assert (refused.value.status, refused.value.code) == (404, "unknown_video")
    uploads.keep(upload)
    with uploads.using(upload.id) as found:
        assert found is upload
        upload.used -= 61  # as if so many seconds had passed
        assert uploads.sweep() == 0  # in use
    assert uploads.sweep() == 0  # used just now
    upload.used -= 61
    with pytest.raises(Refused), uploads.using(upload.id):
        pass
    assert uploads.sweep() == 1
    assert left(uploads) == []


def test_what_is_in_use_is_deleted_afterwards(uploads: Uploads) -> None:
    upload = receive(uploads, request(multipart((FILE, b"x")))).upload
    assert upload is not None
    uploads.keep(upload)
    with uploads.using(upload.id), uploads.using(upload.id):
        uploads.delete(upload.id)
        assert upload.path.read_bytes() == b"x"
        with pytest.raises(Refused):
            uploads.delete(upload.id)
    assert left(uploads) == []


def test_a_sample_is_copied(uploads: Uploads, tmp_path_factory: pytest.TempPathFactory) -> None:
    sample = tmp_path_factory.mktemp("samples") / "serve.mp4"
    sample.write_bytes(b"video")
    sample.chmod(0o644)
    upload = uploads.copy_in(sample, "serve.mp4")
    assert (upload.path.read_bytes(), upload.size) == (b"video", 5)
    assert stat.S_IMODE(upload.path.stat().st_mode) == 0o600
    uploads.discard(upload)
    assert sample.exists()
    with pytest.raises(Refused) as refused:
        uploads.copy_in(sample.with_name("none"), "none")
    assert refused.value.status == 404
    assert left(uploads) == []


# A disk that fills -------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except OSError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("known", [True, False], ids=["looked up", "while writing"])
def test_a_full_disk_is_told(
    known: bool, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not known:  # others fill it between our look and our write
        monkeypatch.setattr("shutil.disk_usage", lambda _: os.statvfs_result)
        monkeypatch.setattr("os.statvfs_result.free", 1 << 60, raising=False)
    with Uploads(small(bytes=8 << 20, quota_bytes=8 << 20), ttl=60, folder=small_disk) as uploads:
        body = multipart((FILE, b"x" * (2 << 20)))
        pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
        assert refusal(uploads, request(*pieces)) == (507, "disk_full")
        assert left(uploads) == []
        fits = receive(uploads, request(multipart((FILE, b"x" * 500_000))))
        assert fits.upload is not None


def test_a_write_that_fails_is_told(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("frameflow.serving.uploads.os.write", full)
    assert refusal(uploads, request(multipart((FILE, b"x" * 9)))) == (507, "disk_full")
    assert left(uploads) == []


# Leftovers of a server that was killed -----------------------------------------------------------

KILLED = """
import os, sys
from pathlib import Path
from frameflow.serving.limits import Limits
from frameflow.serving.uploads import Uploads
uploads = Uploads(Limits(), ttl=60, folder=Path(sys.argv[1]))
(uploads.folder / "video").write_bytes(b"x")
print(uploads.folder, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True
    )
    dead = Path(done.stdout.strip())
    assert (dead / "video").exists()
    others = [tmp_path / "other", tmp_path / f"{PREFIX}without-lock", tmp_path / "target"]
    for other in others:
        other.mkdir()
        (other / "file").write_bytes(b"x")
    (tmp_path / "target" / LOCK).write_bytes(b"")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "target")
    (dead / "link").symlink_to(tmp_path / "target")
    with Uploads(small(), ttl=60, folder=tmp_path) as first:
        assert not dead.exists()
        with Uploads(small(), ttl=60, folder=tmp_path):
            assert first.folder.exists()  # its server lives
    assert all((other / "file").exists() for other in others)


# Names -------------------------------------------------------------------------------------------

NAMES = {
    b"../../etc/passwd": "passwd",
    b"C:\\\\Users\\\\me\\\\serve.mp4": "serve.mp4",
    b"..": "video",
    b"": "video",
    b"   ": "video",
    b"/": "video",
    b"a\x00b.mp4": "ab.mp4",
    b"a\tb\x1b[31m.mp4": "ab[31m.mp4",
    b"a\nb.mp4": "ab.mp4",
    "serve\u202egpm.exe".encode(): "servegpm.exe",
    "\u200b\ufeff\u2066x\u2069.mp4".encode(): "x.mp4",
    "Aufschla\u0308ge.mp4".encode(): "Aufschläge.mp4",
    b"\xff\xfe.mp4": "ÿþ.mp4",
    b"<script>.mp4": "<script>.mp4",  # the page shows names as text
    b"x" * 1000 + b".mp4": "x" * (LONGEST - 5) + "….mp4",
    b'a\\"b.mp4': 'a"b.mp4',
}


@pytest.mark.parametrize("sent", NAMES)
def test_names_are_for_display_only(sent: bytes, uploads: Uploads) -> None:
    disposition = b'form-data; name="file"; filename="' + sent + b'"'
    upload = receive(uploads, request(multipart((disposition, b"x")))).upload
    assert upload is not None
    assert upload.name == NAMES[sent]
    assert upload.path.is_relative_to(uploads.folder)
    assert upload.path.name == "video"
    uploads.discard(upload)


@given(st.text(max_size=300))
def test_every_name_becomes_short_visible_text(name: str) -> None:
    cleaned = clean_name(name)
    assert 0 < len(cleaned) <= LONGEST
    assert not set(cleaned) & set("/\\\0\n\r\u202e")
    assert cleaned.encode()
    assert clean_name(cleaned) == cleaned
