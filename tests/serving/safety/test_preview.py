"""Previews that every browser plays, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from films import Films

from frameflow.serving.limits import Refused
from frameflow.serving.preview import preview_size
from frameflow.serving.reader import SafeReader
from frameflow.video.decode import read_frames
from frameflow.video.probe import frame_times, probe

MakeReader = Callable[..., SafeReader]


@pytest.mark.parametrize("kind", ["mpeg4.avi", "odd.mkv", "gif.gif", "vp8.webm", "mpeg2.mpg"])
def test_every_browser_plays_it(
    kind: str, films: Films, reader: SafeReader, tmp_path: Path
) -> None:
    out, shares = tmp_path / "preview.mp4", list[float]()
    reader.preview(films[kind], out, progress=shares.append)
    before, after = probe(films[kind]), probe(out)
    assert (after.codec, after.pixel_format) == ("h264", "yuv420p")
    assert (after.width % 2, after.height % 2) == (0, 0)
    assert abs(after.width - before.width) <= 1
    assert abs(after.height - before.height) <= 1
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays before all of it has come
    assert data[data.index(b"avcC") + 5] == 66  # baseline
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["preview.mp4"]


def test_a_moment_is_the_same_in_both(films: Films, reader: SafeReader, tmp_path: Path) -> None:
    out = tmp_path / "preview.mp4"
    for kind in ("mpeg4.avi", "gif.gif"):
        reader.preview(films[kind], out)
        assert np.allclose(frame_times(out), frame_times(films[kind]), atol=0.002)
        size = (probe(out).width, probe(out).height)
        first, again = (read_frames(path, [0, 5], size=size) for path in (films[kind], out))
        assert np.abs(first.astype(int) - again).mean() < 15


def test_sixty_frames_a_second_are_thirty(films: Films, reader: SafeReader, tmp_path: Path) -> None:
    out = tmp_path / "preview.mp4"
    reader.preview(films["fast.mkv"], out)
    assert probe(films["fast.mkv"]).frames == 60
    assert probe(out).frames == 30
    assert probe(out).duration == pytest.approx(1.0, abs=0.05)


SIZES = [
    ((320, 240), (320, 240)),
    ((101, 67), (100, 68)),
    ((1920, 1080), (720, 404)),
    ((1080, 1920), (404, 720)),
    ((8192, 4), (720, 2)),
    ((1, 1), (2, 2)),
]


@pytest.mark.parametrize(("size", "expected"), SIZES)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert preview_size(*size, 720) == expected


REFUSED = [
    ({"preview_seconds": 1.0}, 413, "too_long"),
    ({"preview_bytes": 3000}, 413, "too_large"),
]


@pytest.mark.parametrize(("limits", "status", "code"), REFUSED)
def test_what_is_too_much_leaves_nothing(
    limits: dict[str, float],
    status: int,
    code: str,
    films: Films,
    make_reader: MakeReader,
    tmp_path: Path,
) -> None:
    reader = make_reader(**limits)
    with pytest.raises(Refused) as refused:
        reader.preview(films["mpeg4.avi"], tmp_path / "preview.mp4")
    assert (refused.value.status, refused.value.code) == (status, code)
    assert list(tmp_path.iterdir()) == []
    assert reader.probe(films["mpeg4.avi"]).frames == 24


def test_a_worker_that_dies_leaves_no_half_of_one(
    films: Films, make_reader: MakeReader, tmp_path: Path
) -> None:
    reader = make_reader()

    def die(_: float) -> None:
        (worker,) = reader._live
        worker.kill("memory")

    with pytest.raises(Refused) as refused:
        reader.preview(films["long.mp4"], tmp_path / "preview.mp4", progress=die)
    assert refused.value.code == "too_much_memory"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_told(films: Films, reader: SafeReader, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        reader.preview(films["mpeg4.avi"], tmp_path / "gone" / "preview.mp4")
    assert (refused.value.status, refused.value.code) == (503, "no_preview")
