"""Limits that a process sets itself hold for all that it opens."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from frameflow.errors import VideoError
from frameflow.video._guard import Guard, OverLimit, current_guard, set_guard
from frameflow.video.decode import iter_frames, read_frames
from frameflow.video.probe import frame_times, probe

Video = Callable[[str], Path]

WIDE = Guard(
    formats=("mov", "matroska"), pixels=10**6, side=2000, streams=4, frames=1000, seconds=60.0
)


@pytest.fixture(autouse=True)
def _lifted() -> Iterator[None]:
    yield
    set_guard(None)


def test_what_is_within_the_limits_is_read_as_ever(video: Video) -> None:
    path = video("h264_bframes.mp4")
    before = probe(path), read_frames(path, [0, 7])
    set_guard(WIDE)
    assert current_guard() is WIDE
    assert probe(path) == before[0]
    assert (read_frames(path, [0, 7]) == before[1]).all()


def test_a_container_that_is_not_named_is_not_opened(video: Video) -> None:
    path = video("h264.ts")
    assert probe(path).frames
    set_guard(WIDE)
    with pytest.raises(VideoError, match="not a video"):
        probe(path)
    set_guard(replace(WIDE, formats=("mpegts",)))
    assert probe(path).frames


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"pixels": 100}, "pixels"),
        ({"side": 10}, "pixels"),
        ({"frames": 3}, "frames"),
        ({"seconds": 0.2}, "seconds"),
    ],
)
@pytest.mark.parametrize("read", [probe, frame_times, lambda path: list(iter_frames(path))])
def test_what_is_over_a_limit_is_refused_whoever_reads(
    limits: dict[str, int], name: str, read: Callable[[Path], object], video: Video
) -> None:
    set_guard(replace(WIDE, **limits))  # type: ignore[arg-type]
    with pytest.raises(OverLimit) as over:
        read(video("h264_bframes.mp4"))
    assert over.value.limit == name


def test_an_over_limit_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(OverLimit("a.mp4", "is too much", "frames")))
    assert (error.path, error.reason, error.limit) == ("a.mp4", "is too much", "frames")
    assert isinstance(error, OverLimit)


def test_too_little_memory_is_no_damage(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame for which there is no memory must not be shown as the one before it."""
    from av.error import MemoryError as Short

    from frameflow.video import _pyav

    class Stream:
        class codec_context:
            @staticmethod
            def decode(_: object) -> list[object]:
                raise Short(12, "Cannot allocate memory")

    assert issubclass(Short, MemoryError)
    with pytest.raises(MemoryError):
        _pyav._decoded(Stream, None)  # type: ignore[arg-type]
    monkeypatch.setattr("av.open", lambda *_, **__: Stream.codec_context.decode(None))
    with pytest.raises(MemoryError):
        probe(video("h264_bframes.mp4"))
