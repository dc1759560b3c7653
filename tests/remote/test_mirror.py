"""Copies: whole or absent, as new as their objects, bounded, and never taken from a reader."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from frameflow import remote
from frameflow._places import path_of
from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.remote import RemoteError, errors, mirror

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(errors, "_WAITS", (0.0, 0.0))
    mirror._room.clear()
    yield
    mirror._room.clear()


@pytest.fixture
def put(bucket: str, memory: Any) -> Callable[[str, bytes], Path]:
    """Write an object; the place of its copy."""

    def write(name: str, content: bytes) -> Path:
        url = f"{bucket}/{name}"
        memory.pipe_file(memory._strip_protocol(url), content)
        remote.look([url])
        return path_of(url)

    return write


def files(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def test_a_copy_is_fetched_once(
    put: Callable[[str, bytes], Path], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("a.mp4", b"film")
    assert not path.exists()
    remote.ensure(path)
    assert path.read_bytes() == b"film"
    monkeypatch.setattr(type(memory), "get_file", None)
    remote.ensure(path)


def test_a_changed_object_of_the_same_size_is_fetched_again(
    put: Callable[[str, bytes], Path],
) -> None:
    path = put("a.mp4", b"film")
    remote.ensure(path)
    before = remote.stamp_of(path)
    put("a.mp4", b"FILM")
    assert remote.stamp_of(path) != before
    remote.ensure(path)
    assert path.read_bytes() == b"FILM"


def test_a_change_is_noticed_without_being_told(
    put: Callable[[str, bytes], Path], memory: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("a.mp4", b"film")
    remote.ensure(path)
    memory.pipe_file(memory._strip_protocol(f"{bucket}/a.mp4"), b"FILM")
    monkeypatch.setattr(mirror, "_FRESH", 0.0)  # a minute has gone by
    remote.ensure(path)
    assert path.read_bytes() == b"FILM"


def test_an_altered_copy_is_replaced(put: Callable[[str, bytes], Path]) -> None:
    path = put("a.mp4", b"film")
    remote.ensure(path)
    path.write_bytes(b"flim")
    remote.ensure(path)
    assert path.read_bytes() == b"film"


def test_a_deleted_object_leaves_no_copy(
    put: Callable[[str, bytes], Path], memory: Any, bucket: str
) -> None:
    path = put("a.mp4", b"film")
    remote.ensure(path)
    memory.rm(memory._strip_protocol(f"{bucket}/a.mp4"))
    remote.look([f"{bucket}/a.mp4"])
    remote.ensure(path)
    assert not path.exists()
    with remote.held(path):
        assert not path.exists()


def test_a_folder_is_refused(put: Callable[[str, bytes], Path]) -> None:
    folder = put("clip/0001.jpg", b"image").parent
    with pytest.raises(VideoError, match=r"^memory://\S+/clip: is a folder.*copy it here"):
        remote.ensure(folder)


class TestTrouble:
    """Whatever goes wrong: no partial file, and one error that says what to do."""

    @pytest.fixture
    def fail(self, memory: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
        """Let fetching write half and fail, so many times."""
        real = type(memory).get_file
        calls: list[str] = []

        def install(error: Exception | None, times: int) -> list[str]:
            def get_file(self: Any, path: str, target: str) -> None:
                calls.append(path)
                real(self, path, target)
                if len(calls) <= times:
                    whole = Path(target).read_bytes()
                    Path(target).write_bytes(whole[: len(whole) // 2])
                    if error:
                        raise error

            monkeypatch.setattr(type(memory), "get_file", get_file)
            return calls

        return install

    @pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("late"), None])
    def test_a_passing_fault_is_passed_over(
        self,
        put: Callable[[str, bytes], Path],
        fail: Callable[..., list[str]],
        error: Exception | None,
        own_home: Path,
    ) -> None:
        path = put("a.mp4", b"film")
        calls = fail(error, 2)
        remote.ensure(path)
        assert (len(calls), path.read_bytes(), files(own_home)) == (3, b"film", ["a.mp4"])

    def test_a_lasting_fault_is_told(
        self, put: Callable[[str, bytes], Path], fail: Callable[..., list[str]], own_home: Path
    ) -> None:
        path = put("a.mp4", b"film")
        fail(ConnectionResetError("reset by peer"), 99)
        with pytest.raises(RemoteError, match=r"memory://\S+/a.mp4 cannot be reached \(reset by"):
            remote.ensure(path)
        assert files(own_home) == []

    def test_an_object_that_keeps_changing(
        self, put: Callable[[str, bytes], Path], fail: Callable[..., list[str]], own_home: Path
    ) -> None:
        path = put("a.mp4", b"film")
        fail(None, 99)  # shorter than was said
        with pytest.raises(RemoteError, match="changes while it is read"):
            remote.ensure(path)
        assert files(own_home) == []

    def test_no_right_to_it_is_no_reason_to_try_again(
        self, put: Callable[[str, bytes], Path], fail: Callable[..., list[str]]
    ) -> None:
        path = put("a.mp4", b"film")
        calls = fail(PermissionError("Access Denied"), 99)
        with pytest.raises(RemoteError, match="may not be read or written with these credentials"):
            remote.ensure(path)
        assert len(calls) == 1

    def test_a_full_disk(
        self, put: Callable[[str, bytes], Path], fail: Callable[..., list[str]], own_home: Path
    ) -> None:
        other, path = put("other.mp4", b"old"), put("a.mp4", b"film")
        remote.ensure(other)
        fail(OSError(errno.ENOSPC, "No space left on device"), 99)
        with pytest.raises(FrameFlowError, match=r"disk of \S+ is full.*FRAMEFLOW_HOME"):
            remote.ensure(path)
        assert files(own_home) == []  # the other copy made room, in vain

    def test_a_full_disk_with_copies_to_let_go(
        self, put: Callable[[str, bytes], Path], fail: Callable[..., list[str]], own_home: Path
    ) -> None:
        other, path = put("other.mp4", b"old"), put("a.mp4", b"film")
        remote.ensure(other)
        fail(OSError(errno.ENOSPC, "No space left on device"), 1)
        remote.ensure(path)
        assert files(own_home) == ["a.mp4"]


class TestRoom:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(mirror.SIZE, "0.0000001")  # 100 bytes

    def test_copies_read_longest_ago_go(
        self, put: Callable[[str, bytes], Path], own_home: Path
    ) -> None:
        paths = [put(f"{i}.mp4", bytes(30)) for i in range(5)]
        for path in (*paths[:3], paths[0], *paths[3:]):
            remote.ensure(path)
            assert sum(p.stat().st_size for p in own_home.rglob("*") if p.is_file()) <= 100
        assert paths[4].exists()
        assert not paths[1].exists()

    def test_what_is_being_read_stays(
        self, put: Callable[[str, bytes], Path], own_home: Path
    ) -> None:
        one, other = put("1.mp4", b"1" * 60), put("2.mp4", b"2" * 60)
        with remote.held(one):
            remote.ensure(other)
            assert one.read_bytes() == b"1" * 60  # so there is more for a while
            assert len(files(own_home)) == 2
        mirror.make_room(0)
        assert len(files(own_home)) == 1

    def test_copies_that_come_at_once_share_the_room(
        self,
        put: Callable[[str, bytes], Path],
        own_home: Path,
        memory: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        real = type(memory).get_file

        def get_file(self: Any, path: str, target: str) -> None:
            time.sleep(0.01)
            real(self, path, target)

        monkeypatch.setattr(type(memory), "get_file", get_file)
        paths = [put(f"{i}.mp4", bytes(30)) for i in range(20)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(remote.ensure, paths))
        assert len(files(own_home)) <= 3

    def test_another_process_leaves_it_too(
        self, put: Callable[[str, bytes], Path], own_home: Path
    ) -> None:
        path = put("1.mp4", b"1" * 150)
        script = "from frameflow.remote import mirror; mirror.make_room(100)"
        with remote.held(path):
            subprocess.run([sys.executable, "-c", script], check=True)
            assert path.exists()
        subprocess.run([sys.executable, "-c", script], check=True)
        assert files(own_home) == []

    def test_unfinished_files_of_killed_processes_go(
        self, put: Callable[[str, bytes], Path], own_home: Path
    ) -> None:
        import os

        path = put("1.mp4", b"1")
        remote.ensure(path)
        old, new = path.with_name(".2.mp4.aa.tmp"), path.with_name(".3.mp4.bb.tmp")
        for file in (old, new):
            file.write_bytes(b"half")
        os.utime(old, (0, 0))
        mirror._room.clear()
        mirror.make_room(1)
        assert files(own_home) == [".3.mp4.bb.tmp", "1.mp4"]

    @pytest.mark.parametrize("text", ["0", "-1", "much", "nan", "inf"])
    def test_a_size_that_is_none(
        self, put: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.setenv(mirror.SIZE, text)
        with pytest.raises(UsageError, match=r"FRAMEFLOW_REMOTE_GB .* must be a number of gigab"):
            remote.ensure(put("1.mp4", b"1"))


def test_a_process_that_reads_for_strangers_fetches_nothing(
    put: Callable[[str, bytes], Path], own_home: Path
) -> None:
    from frameflow.serving.limits import Limits
    from frameflow.serving.worker import guard_of
    from frameflow.video._guard import set_guard
    from frameflow.video.probe import probe

    path = put("a.mp4", b"film")
    set_guard(guard_of(Limits()))
    try:
        with pytest.raises(VideoError, match="does not exist"):
            probe(path)
        with pytest.raises(VideoError, match="does not exist"):
            probe(remote.mirror.url_of(path) or "")
    finally:
        set_guard(None)
    assert files(own_home) == []
