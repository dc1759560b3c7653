"""Timestamps become a manifest of their videos, or every fault is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from frameflow.audit.span_labels import SpanError, labels_of_spans
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, UsageError
from frameflow.video.extract_frames import FrameChoice, extract_frames
from frameflow.video.frame_sources import frame_sources

Film = Callable[..., Path]


@pytest.fixture
def match(film: Film, tmp_path: Path) -> Path:
    """Two videos of 3 s at 12 frames a second, and the timestamps of one."""
    film(tmp_path / "VIDEOS/match.mp4", scene=1, seed=1, frames=36)
    film(tmp_path / "VIDEOS/day 2/other.mp4", scene=2, seed=2, frames=36)
    path = tmp_path / "match.txt"
    path.write_text("00:00:00.5 - 00:00:01 serve\n0:02 - 0:03 lob\n", encoding="utf-8")
    return path


def rows(manifest: Manifest) -> list[tuple[object, ...]]:
    return [(s.video, s.start, s.end, s.label, s.group) for s in manifest]


def test_a_file_is_of_the_video_of_its_name(match: Path, tmp_path: Path) -> None:
    done = labels_of_spans([match], videos=tmp_path / "VIDEOS")
    assert rows(done.manifest) == [
        ("match.mp4", 0.5, 1.0, "serve", "match"),
        ("match.mp4", 2.0, 3.0, "lob", "match"),
    ]
    done.manifest.write(tmp_path / "m.csv")
    assert len(Manifest.read(tmp_path / "m.csv")) == 2


def test_what_lies_between_is_background(match: Path, tmp_path: Path) -> None:
    done = labels_of_spans([match], videos=tmp_path / "VIDEOS", background="none")
    assert [row[1:4] for row in rows(done.manifest)] == [
        (0.0, 0.5, "none"), (0.5, 1.0, "serve"), (1.0, 2.0, "none"), (2.0, 3.0, "lob"),
    ]  # fmt: skip


def test_frames(match: Path, tmp_path: Path) -> None:
    folder = tmp_path / "VIDEOS"
    done = labels_of_spans([match], videos=folder, frames=FrameChoice())
    frames = [(int(s.frame or ""), s.label) for s in done.manifest]
    assert frames == [(n, "serve") for n in range(6, 12)] + [(n, "lob") for n in range(24, 36)]
    choice = FrameChoice(every=6)
    done = labels_of_spans([match], videos=folder, frames=choice, background="none")
    assert [s.label for s in done.manifest] == ["none", "serve", "none", "none", "lob", "lob"]


def test_extracted_frames_get_the_labels_of_their_times(match: Path, tmp_path: Path) -> None:
    """A folder of one frame in three has the times of its video, so its spans are the same."""
    sources = frame_sources(tmp_path / "VIDEOS", tmp_path / "FRAMES")
    extract_frames(sources.videos, tmp_path / "FRAMES", FrameChoice(every=3))
    done = labels_of_spans([match], videos=tmp_path / "FRAMES", frames=FrameChoice())
    assert [(s.frame, s.label) for s in done.manifest] == [
        ("2", "serve"), ("3", "serve"), *((str(n), "lob") for n in range(8, 12)),
    ]  # fmt: skip


def test_names_of_other_machines(match: Path, tmp_path: Path) -> None:
    table = match.with_name("spans.csv")
    table.write_text(
        "video,start,end,label\n"
        "file:///C:/films/day%202/other.mp4,0,1,serve\n"
        "D:\\films\\MATCH.MP4,1,2,serve\n"
        "day 2/other.mp4,1,2,lob\n",
        encoding="utf-8",
    )
    done = labels_of_spans([table], videos=tmp_path / "VIDEOS")
    assert [row[0] for row in rows(done.manifest)] == [
        "day 2/other.mp4", "day 2/other.mp4", "match.mp4",
    ]  # fmt: skip


def test_every_fault_is_named_by_file_and_line(match: Path, film: Film, tmp_path: Path) -> None:
    film(tmp_path / "VIDEOS/day 3/other.mp4", scene=2, seed=2)
    (tmp_path / "VIDEOS/broken.mp4").write_text("no video")
    match.write_text(
        "0:00 - 0:01 serve\n"
        "0:00.5 - 0:02 lob\n"
        "0:02 - 0:01 lob\n"
        "0:02 - 0:09 lob\n"
        "gibberish\n"
        "gone.mp4\n0:00 - 0:01 lob\n"
        "other.mp4\n0:00 - 0:01 lob\n"
        "broken.mp4\n0:00 - 0:01 lob\n"
    )
    with pytest.raises(SpanError) as caught:
        labels_of_spans([match], videos=tmp_path / "VIDEOS")
    lines = {fault.place.split()[-1]: fault.message for fault in caught.value.faults}
    assert sorted(map(int, lines)) == [2, 3, 4, 5, 7, 9, 11]
    assert "overlaps" in lines["2"]
    assert "ends before it starts" in lines["3"]
    assert "past the end of match.mp4" in lines["4"]
    assert "there is no video gone.mp4" in lines["7"]
    assert "2 videos in" in lines["9"]
    assert "broken.mp4" in lines["11"]
    done = labels_of_spans([match], videos=tmp_path / "VIDEOS", skip_bad=True)
    assert (done.spans, len(done.left_out)) == (1, 7)


def test_several_labels_at_a_time(match: Path, tmp_path: Path) -> None:
    match.write_text("0 - 1 run\n0 - 1 serve\n0.5 - 2 crowd\n")
    folder = tmp_path / "VIDEOS"
    with pytest.raises(SpanError):
        labels_of_spans([match], videos=folder)
    done = labels_of_spans([match], videos=folder, multilabel=True)
    assert [row[1:4] for row in rows(done.manifest)] == [(0, 1, "run|serve"), (0.5, 2, "crowd")]
    done = labels_of_spans([match], videos=folder, multilabel=True, frames=FrameChoice(every=6))
    assert [s.label for s in done.manifest] == ["run|serve", "run|serve|crowd", "crowd", "crowd"]


def test_nothing_to_label(match: Path, tmp_path: Path) -> None:
    match.write_text("# nothing yet\n")
    with pytest.raises(FrameFlowError, match="There are no spans in"):
        labels_of_spans([match], videos=tmp_path / "VIDEOS")
    with pytest.raises(UsageError, match="does not exist: give the folder of the videos"):
        labels_of_spans([match], videos=tmp_path / "gone")
