# ruff: noqa: ARG001  (fixtures that are wanted for what they make)
"""Labels that have no frame, frames that have no label, doubles and gaps are each named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from frameflow.audit.frame_labels import check_labels
from frameflow.errors import UsageError
from frameflow.video.extract_frames import FrameChoice, extract_frames

Film = Callable[..., Path]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """``dive``, a folder of ten frames."""
    from PIL import Image

    (tmp_path / "dive").mkdir()
    for number in range(1, 11):
        Image.new("RGB", (8, 6)).save(tmp_path / "dive" / f"dive-{number:05d}.png")
    return tmp_path / "dive"


@pytest.fixture
def table(tmp_path: Path) -> Callable[[list[str]], Path]:
    def write(rows: list[str], header: str = "video,frame,label") -> Path:
        path = tmp_path / "labels.csv"
        path.write_text("\n".join([header, *rows]), encoding="utf-8")
        return path

    return write


def row(number: int, label: str = "seal") -> str:
    return f"dive,dive-{number:05d}.png,{label}"


def test_every_frame_once(frames: Path, table) -> None:
    report = check_labels(table([row(n) for n in range(1, 11)]))
    assert report.ok
    assert report.lines() == ["All is well: 10 rows read, 10 frames of 1 video."]
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["ok"] is True


def test_an_index_is_as_good_as_a_name(frames: Path, table) -> None:
    assert check_labels(table([f"dive,{n},seal" for n in range(10)])).ok


def test_frames_without_a_label(frames: Path, table) -> None:
    report = check_labels(table([row(n) for n in (2, 3, 4, 7, 8, 9)]))
    assert not report.ok
    (video,) = report.videos
    assert video.without_label == [(0, 0), (4, 5), (9, 9)]
    assert video.missing == 4
    assert "4 frames have no label" in report.lines()[0]
    ((_, _, rows),) = report.tables()
    assert rows == [("dive", 10, 6, 1, "0, 4-5, 9", "-")]


def test_labels_on_one_frame_in_three_lack_only_those_in_step(frames: Path, table) -> None:
    assert check_labels(table([row(n) for n in (1, 4, 7, 10)])).ok
    (video,) = check_labels(table([row(n) for n in (2, 5)])).videos
    assert (video.step, video.without_label, video.missing) == (3, [(7, 7)], 1)
    (video,) = check_labels(table([row(n) for n in (5, 7, 9)])).videos
    assert (video.step, video.without_label) == (2, [(0, 2)])


def test_labels_without_a_frame_and_without_a_label(frames: Path, table) -> None:
    rows = [row(n) for n in range(1, 11)]
    report = check_labels(table([*rows, row(11), "dive,12,seal", row(3, ""), "gone,1,seal"]))
    found = {(trouble.row, trouble.kind) for trouble in report.troubles}
    assert found == {
        (12, "no frame"), (13, "no frame"), (14, "no label"), (14, "double"), (15, "no video"),
    }  # fmt: skip
    said = " ".join(report.lines())
    assert "2 of 14 rows label a frame that is not there." in said
    assert "1 of 14 rows name a video that cannot be read." in said


def test_doubles(frames: Path, table) -> None:
    rows = [row(n) for n in range(1, 11)]
    report = check_labels(table([*rows, row(3), row(4, "none")]))
    assert [(t.row, t.message) for t in report.troubles] == [
        (12, "labels again what row 4 labels (the same label)"),
        (13, "labels again what row 5 labels ('none', there 'seal')"),
    ]


def test_lost_images_leave_a_gap(frames: Path, table) -> None:
    for number in (4, 5, 8):
        (frames / f"dive-{number:05d}.png").unlink()
    report = check_labels(table([row(n) for n in (1, 2, 3, 6, 7, 9, 10)]))
    assert not report.ok
    assert report.videos[0].lost == [(4, 5), (8, 8)]
    assert "3 images are missing in the numbering" in report.lines()[0]


def test_frames_that_were_left_out_on_purpose_are_no_gap(film: Film, tmp_path: Path, table) -> None:
    film(tmp_path / "clip.mp4", scene=1, seed=1)
    extract_frames({"clip": tmp_path / "clip.mp4"}, tmp_path, FrameChoice(count=5))
    assert check_labels(table([f"clip,{n},seal" for n in range(5)])).ok


def test_spans_and_whole_clips(film: Film, tmp_path: Path, table) -> None:
    for name in ("a", "b"):
        film(tmp_path / f"{name}.mp4", scene=1, seed=1)
    rows = ["a.mp4,0,0.5,x", "a.mp4,0.4,0.8,x", "a.mp4,0.6,9,y", "b.mp4,,,x", "b.mp4,,,y"]
    report = check_labels(table(rows, "video,start,end,label"))
    assert [(t.row, t.kind) for t in report.troubles] == [(3, "span"), (4, "span"), (6, "double")]
    assert check_labels(table(rows[:1], "video,start,end,label")).ok


def test_cells_that_cannot_be_read(film: Film, tmp_path: Path, table) -> None:
    film(tmp_path / "a.mp4", scene=1, seed=1)
    report = check_labels(table(["a.mp4,0,0.5,x", "a.mp4,zero,1"], "video,start,end,label"))
    assert [(t.row, t.kind) for t in report.troubles] == [(3, "unreadable")]
    with pytest.raises(UsageError, match="has no rows"):
        check_labels(table([], "video,start,end,label"))
