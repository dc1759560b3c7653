"""Content digests: the same bytes are known again, and no others."""

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from frameflow.data.manifest import Region, Sample
from frameflow.errors import VideoError
from frameflow.features import digests
from frameflow.features.digests import content_digest, content_digests, sample_key


@pytest.fixture
def remembered(tmp_path: Path) -> Path:
    return tmp_path / "home" / "digests.sqlite"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that were really read."""
    seen: list[Path] = []

    def counted(path: Path) -> str:
        seen.append(path)
        return content_digest(path)

    monkeypatch.setattr(digests, "content_digest", counted)
    return seen


def test_the_same_bytes_under_another_path_have_the_same_digest(
    tmp_path: Path, remembered: Path
) -> None:
    for name, content in (("a.mp4", b"one"), ("b/a.mp4", b"one"), ("c.mp4", b"two")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    paths = [tmp_path / "a.mp4", tmp_path / "b/a.mp4", tmp_path / "c.mp4"]
    found = content_digests(paths, remembered=remembered)
    assert found[paths[0]] == found[paths[1]] != found[paths[2]]


def test_a_video_is_read_once_until_it_changes(
    tmp_path: Path, remembered: Path, reads: list[Path]
) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    first = content_digests([video, video], remembered=remembered)[video]
    assert content_digests([video], remembered=remembered)[video] == first
    assert reads == [video]
    video.write_bytes(b"two")  # the same size: the time tells
    os.utime(video, ns=(0, 12345))
    assert content_digests([video], remembered=remembered)[video] != first
    assert reads == [video, video]


def test_a_frame_folder_is_its_names_and_images(
    tmp_path: Path, remembered: Path, reads: list[Path]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_bytes(b"%d" % i)
    first = content_digests([folder], remembered=remembered)[folder]
    (folder / "notes.txt").write_text("of no account")
    assert content_digests([folder], remembered=remembered)[folder] == first
    assert len(reads) == 1
    (folder / "2.jpg").rename(folder / "3.jpg")
    assert content_digests([folder], remembered=remembered)[folder] != first


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_damaged_memory_costs_only_the_reading(
    tmp_path: Path, remembered: Path, content: bytes
) -> None:
    remembered.parent.mkdir()
    remembered.write_bytes(content)
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    found = content_digests([video], remembered=remembered)
    assert found[video] == content_digest(video)


def test_a_home_that_cannot_be_made_costs_only_the_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    found = content_digests([video], remembered=tmp_path / "file" / "digests.sqlite")
    assert found[video] == content_digest(video)


def test_what_cannot_be_read_is_an_error_of_its_own(tmp_path: Path, remembered: Path) -> None:
    there = tmp_path / "a.mp4"
    there.write_bytes(b"one")
    found = content_digests([tmp_path / "gone.mp4", there], remembered=remembered)
    missing = found[tmp_path / "gone.mp4"]
    assert isinstance(missing, VideoError)
    assert missing.reason == "does not exist"
    assert isinstance(found[there], str)


def _digest_all(folder: Path, remembered: Path) -> dict[Path, str]:
    found = content_digests(sorted(folder.iterdir()), remembered=remembered)
    return {path: digest for path, digest in found.items() if isinstance(digest, str)}


def test_several_processes_share_the_memory(tmp_path: Path, remembered: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i}.mp4").write_bytes(b"%d" % i)
    with ProcessPoolExecutor(3) as pool:
        jobs = [pool.submit(_digest_all, folder, remembered) for _ in range(3)]
        found = [job.result() for job in jobs]
    assert found[0] == found[1] == found[2]
    with sqlite3.connect(remembered) as connection:
        assert connection.execute("SELECT COUNT(*) FROM digests").fetchone() == (300,)


# (what differs from the first sample, whether other frames are shown)
KEYS: list[tuple[Callable[[], Sample], bool]] = [
    (lambda: Sample("elsewhere.mp4", label="b", split="test", group="g", row=9), False),
    (lambda: Sample("a.mp4", start=0.5), True),
    (lambda: Sample("a.mp4", end=0.5), True),
    (lambda: Sample("a.mp4", frame="5"), True),
    (lambda: Sample("a.mp4", region=Region(0, 0, 0.5, 1)), True),
]


@pytest.mark.parametrize(("make", "differs"), KEYS)
def test_a_key_is_the_frames_that_are_shown(make: Callable[[], Sample], differs: bool) -> None:
    first = sample_key(Sample("a.mp4", label="a"), "0" * 32)
    assert (sample_key(make(), "0" * 32) != first) == differs
    assert sample_key(Sample("a.mp4"), "1" * 32) != first
