import errno
import functools
import hashlib
import io
import logging
import os
import shutil
import ssl
import stat
import subprocess
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from frameflow.data import _download, _unpack
from frameflow.data.fetch import DATASETS, Archive, Dataset, fetch
from frameflow.errors import FrameFlowError, UsageError

LISTS = "ucfTrainTestlist"


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


CONTENT = zipped({f"{LISTS}/classInd.txt": b"1 Archery\r\n", f"{LISTS}/noise": os.urandom(700_000)})


def dataset(content: bytes = CONTENT, *, name: str = "lists.zip", folder: str = LISTS) -> Dataset:
    digest = hashlib.sha256(content).hexdigest()
    holds = "videos" if folder == "UCF-101" else "annotations"
    archive = Archive(name, folder=folder, holds=holds, size=len(content), sha256=digest, files=2)
    return Dataset("small", "https://example.org/small.html", "http://unused/", (archive,))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch) -> None:
    monkeypatch.setattr(_download, "_PAUSE", 0.001)


def test_download_verify_unpack(server, tmp_path: Path, caplog) -> None:
    server.files["lists.zip"] = CONTENT
    into = tmp_path / "new" / "folder"
    with caplog.at_level(logging.INFO, "frameflow"):
        assert fetch(dataset(), into, base_url=server.url).annotations == into / LISTS
    assert (into / LISTS / "classInd.txt").read_bytes() == b"1 Archery\r\n"
    assert sorted(path.name for path in into.iterdir()) == ["lists.zip", LISTS]
    assert "Unpacking lists.zip." in caplog.text
    fetch(dataset(), into, base_url=server.url)
    assert server.asked == [""]  # what is there is not got again


def test_a_cut_connection_is_resumed(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    server.cut = [300_000, 200_000]
    fetch(dataset(), tmp_path, base_url=server.url)
    assert server.asked == ["", "bytes=300000-", "bytes=500000-"]
    assert (tmp_path / LISTS / "classInd.txt").exists()


def test_a_download_that_stopped_goes_on_the_next_time(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    server.cut = [1000] + [0] * 9
    with pytest.raises(FrameFlowError, match=r"broke off at 1,000 bytes .*run this again to go on"):
        fetch(dataset(), tmp_path, base_url=server.url)
    server.cut = []
    fetch(dataset(), tmp_path, base_url=server.url)
    assert server.asked[-1] == "bytes=1000-"


def test_a_part_that_is_whole_already_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "lists.zip.part").write_bytes(CONTENT)
    fetch(dataset(), tmp_path, base_url="http://127.0.0.1:9/")
    assert (tmp_path / LISTS).is_dir()


def test_a_whole_part_of_unknown_size_is_told_by_the_server(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    (tmp_path / "lists.zip.part").write_bytes(CONTENT)
    _download.download(server.url + "lists.zip", tmp_path / "lists.zip")
    assert (tmp_path / "lists.zip").read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_that_is_too_long_is_begun_anew(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    (tmp_path / "lists.zip.part").write_bytes(CONTENT + b"more")
    _download.download(server.url + "lists.zip", tmp_path / "lists.zip")
    assert (tmp_path / "lists.zip").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    server.ranges = False
    server.cut = [300_000]
    fetch(dataset(), tmp_path, base_url=server.url)
    assert (tmp_path / "lists.zip").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    server.status = [503, 429]
    fetch(dataset(), tmp_path, base_url=server.url)
    assert len(server.asked) == 3


def test_a_file_the_server_has_not(server, tmp_path: Path) -> None:
    with pytest.raises(FrameFlowError, match=r"The server has no .*lists\.zip \(it answered 404"):
        fetch(dataset(), tmp_path, base_url=server.url)
    assert len(server.asked) == 1


def test_another_size_is_refused_before_the_download(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT + b"more"
    with pytest.raises(FrameFlowError, match=r"bytes long where .* were expected: the file on the"):
        fetch(dataset(), tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_deletes_the_download(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT[:-1] + b"!"
    with pytest.raises(FrameFlowError, match=r"is damaged \(its sha256 is .*it was deleted; run"):
        fetch(dataset(), tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []
    server.files["lists.zip"] = CONTENT
    fetch(dataset(), tmp_path, base_url=server.url)


def test_a_page_instead_of_an_archive(server, tmp_path: Path) -> None:
    page = b"<html>please log in</html>"
    server.files["lists.zip"] = page
    with pytest.raises(FrameFlowError, match="it is no ZIP archive"):
        fetch(dataset(page), tmp_path, base_url=server.url)


def test_a_damaged_member_is_found_though_the_size_fits(server, tmp_path: Path) -> None:
    broken = bytearray(CONTENT)
    broken[500_000] ^= 1
    server.files["lists.zip"] = bytes(broken)
    with pytest.raises(FrameFlowError, match=r"is damaged .*Bad CRC-32"):
        fetch(dataset(bytes(broken)), tmp_path, base_url=server.url)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_the_folder(server, tmp_path: Path) -> None:
    server.files["lists.zip"] = CONTENT
    with pytest.raises(FrameFlowError, match="it holds no folder UCF-101"):
        fetch(dataset(folder="UCF-101"), tmp_path, base_url=server.url)


def test_an_archive_got_by_hand_is_used_and_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "lists.zip").write_bytes(CONTENT)
    fetch(dataset(), tmp_path, base_url="http://127.0.0.1:9/")
    assert (tmp_path / LISTS).is_dir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "lists.zip").write_bytes(CONTENT[:-9])
    with pytest.raises(FrameFlowError, match=r"is damaged \(it is .*delete it and run this again"):
        fetch(dataset(), other, base_url="http://127.0.0.1:9/")
    assert (other / "lists.zip").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://no-such-host.invalid/"])
def test_no_network_is_one_line_with_the_way_by_hand(url: str, tmp_path: Path) -> None:
    with pytest.raises(FrameFlowError) as caught:
        fetch("ucf101", tmp_path, base_url=url)
    message = str(caught.value)
    assert caught.value.exit_code == 1
    assert len(message.splitlines()) == 1
    for part in (
        *(a.name for a in DATASETS["ucf101"].archives),
        DATASETS["ucf101"].page,
        "by hand",
    ):
        assert part in message
    assert str(tmp_path) in message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_that_cannot_be_verified(tmp_path: Path) -> None:
    """A server that signs its own, as one does whose chain of certificates is incomplete."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "lists.zip").write_bytes(CONTENT)
    made = ["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site"))
    ) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        url = f"https://localhost:{http.server_address[1]}/"
        with pytest.raises(FrameFlowError, match=r"cannot be verified: .*--no-check-certificate"):
            fetch(dataset(), tmp_path / "new", base_url=url)
        fetch(dataset(), tmp_path / "new", base_url=url, verify_certificate=False)
        http.shutdown()
    assert (tmp_path / "new" / LISTS).is_dir()


def test_a_full_disk_keeps_what_came(server, tmp_path: Path, monkeypatch) -> None:
    server.files["lists.zip"] = CONTENT
    real, written = Path.open, []

    def opened(self: Path, mode: str = "r", *args: object, **more: object):
        file = real(self, mode, *args, **more)
        if self.name.endswith(".part") and "b" in mode:
            write = file.write

            def limited(data: bytes) -> int:
                if sum(written) > 200_000:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written.append(len(data))
                return write(data)

            return FullDisk(file, limited)
        return file

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(
        FrameFlowError, match=r"No space left on device.*make room.*What came is kep"
    ):
        fetch(dataset(), tmp_path, base_url=server.url)
    monkeypatch.undo()
    kept = (tmp_path / "lists.zip.part").stat().st_size
    assert kept > 200_000
    fetch(dataset(), tmp_path, base_url=server.url)
    assert server.asked == ["", f"bytes={kept}-"]


class FullDisk:
    """A file whose write fails; everything else is the file's own."""

    def __init__(self, file, write) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def seek(self, place: int) -> int:
        return self._file.seek(place)


def test_too_little_room_is_said_before_the_download(server, tmp_path: Path, monkeypatch) -> None:
    server.files["lists.zip"] = CONTENT
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(_download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FrameFlowError, match=r"needs 0\.0 GB and .* free: make room"):
        fetch(dataset(), tmp_path, base_url=server.url)
    assert not (tmp_path / "lists.zip.part").exists()


def test_unknown_names_and_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No data set 'ucf1001' .* Did you mean 'ucf101'\?"):
        fetch("ucf1001", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        fetch("ucf101", tmp_path / "file" / "below")


VIDEOS = {"UCF-101/Archery/a.avi": b"video a" * 99, "UCF-101/YoYo/b.avi": b"video b" * 99}


@pytest.mark.parametrize("tool", _unpack._RAR_TOOLS)
def test_rar_with_every_program_there_is(
    tool: str, server, tmp_path, make_rar, monkeypatch
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    monkeypatch.setattr(_unpack, "_RAR_TOOLS", {tool: _unpack._RAR_TOOLS[tool]})
    content = make_rar(VIDEOS)
    server.files["UCF101.rar"] = content
    wanted = dataset(content, name="UCF101.rar", folder="UCF-101")
    root = fetch(wanted, tmp_path, base_url=server.url).videos
    assert (root / "YoYo" / "b.avi").read_bytes() == VIDEOS["UCF-101/YoYo/b.avi"]
    assert not list(tmp_path.glob(".*"))

    damaged = bytearray(content)
    damaged[damaged.index(b"video b") + 50] ^= 1
    server.files["UCF101.rar"] = bytes(damaged)
    wanted = dataset(bytes(damaged), name="UCF101.rar", folder="UCF-101")
    with pytest.raises(FrameFlowError, match="is damaged"):
        fetch(wanted, tmp_path / "damaged", base_url=server.url)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch):
    """Put shell scripts of given names on an otherwise empty search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755 | stat.S_IXUSR)

    return add


def test_the_next_program_is_tried(programs, server, tmp_path: Path) -> None:
    programs("unrar", "echo 'Unsupported method' >&2; exit 3")
    programs(
        "7z", 'for a; do case $a in -o*) d=${a#-o};; esac; done; mkdir -p "$d/UCF-101/Archery"'
    )
    content = b"Rar!\x1a\x07\x00"
    server.files["UCF101.rar"] = content
    wanted = dataset(content, name="UCF101.rar", folder="UCF-101")
    assert (fetch(wanted, tmp_path, base_url=server.url).videos / "Archery").is_dir()


def test_a_full_disk_while_unpacking_keeps_the_archive(programs, server, tmp_path: Path) -> None:
    programs("unrar", "echo 'write error: No space left on device' >&2; exit 5")
    content = b"Rar!\x1a\x07\x00"
    server.files["UCF101.rar"] = content
    wanted = dataset(content, name="UCF101.rar", folder="UCF-101")
    with pytest.raises(FrameFlowError, match=r"cannot be unpacked .*No space left.* is kept"):
        fetch(wanted, tmp_path, base_url=server.url)
    assert (tmp_path / "UCF101.rar").exists()


@pytest.mark.usefixtures("programs")
def test_without_a_program_nothing_is_downloaded(server, tmp_path: Path) -> None:
    wanted = dataset(b"Rar!\x1a\x07\x00", name="UCF101.rar", folder="UCF-101")
    with pytest.raises(FrameFlowError, match=r"Nothing here unpacks UCF101\.rar: install unrar"):
        fetch(wanted, tmp_path, base_url=server.url)
    assert server.asked == []
