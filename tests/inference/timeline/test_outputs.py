"""Files of many videos, and true segments for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frameflow.data.spans import read_spans
from frameflow.errors import UsageError
from frameflow.inference.timeline.outputs import Outputs, Table, file_names
from frameflow.inference.timeline.segments import Segment, SegmentRule
from frameflow.inference.timeline.truth import read_truth

Make = Callable[..., Any]
ONE = [Segment(0, 1, "a", 0.5, 0.5)]


def test_a_folder_gets_every_form(make_timeline: Make, tmp_path: Path) -> None:
    outputs = Outputs(folder=tmp_path / "new" / "folder")
    outputs.check(["x/match.mp4", "y/match.mp4"])
    written = []
    for name in file_names(["x/match.mp4", "y/match.mp4"]):
        line = make_timeline([[1.0, 0.0]] * 3)
        written += outputs.write(line, ONE, name=name, rule=SegmentRule())
    forms = ("csv", "eaf", "json", "png", "srt", "svg", "vtt")
    names = sorted(f"{name}.{form}" for name in ("match", "match-2") for form in forms)
    assert sorted(path.name for path in written) == names
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == names


def test_names_that_are_taken_get_a_number() -> None:
    videos = ["a/one.mp4", "b/One.avi", "one-2.mp4", "c/one.mkv", "frames/"]
    names = file_names(videos)
    assert len({name.casefold() for name in names}) == 5
    assert names[0] == "one"
    assert names[-1] == "frames"


def test_a_table_of_several_videos(make_timeline: Make, tmp_path: Path) -> None:
    table = Table(tmp_path / "all.csv")
    for name in ("x", "y"):
        line = make_timeline([[1.0, 0.0]] * 3, video=str(tmp_path / f"{name}.mp4"))
        table.add(line, [*ONE, Segment(1, 2, "two\nlines, of it", 0.5, 0.5)])
    table.write()
    assert len(table) == 4
    spans = read_spans(table.path).spans
    assert [(s.video, s.label) for s in spans] == [
        (f"{name}.mp4", label) for name in "xy" for label in ("a", "two\nlines, of it")
    ]


def test_a_table_without_a_segment(tmp_path: Path) -> None:
    table = Table(tmp_path / "all.csv")
    table.write()
    assert len(table) == 0
    assert read_spans(table.path).spans == []


@pytest.mark.parametrize(
    ("outputs", "videos", "message"),
    [
        ({"table": "t.txt"}, 1, "t.txt must end in .csv"),
        ({"files": ("t.doc",)}, 1, "t.doc must end in one of"),
        ({"picture": "t.gif"}, 1, "t.gif must end in one of .svg, .png"),
        ({"video": "t.png"}, 1, "t.png must end like a video"),
        ({"files": ("t.vtt",)}, 2, "t.vtt can hold one video, not 2"),
        ({"picture": "t.png"}, 3, "t.png can hold one video, not 3"),
        ({"table": "gone/t.csv"}, 1, "There is no folder"),
        ({"files": ("gone/t.vtt",)}, 1, "There is no folder"),
        ({"folder": "file"}, 1, "is a file: name a folder"),
        ({"picture": "folder.png"}, 1, "is a folder: name a file"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, outputs: dict[str, Any], videos: int, message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    placed = {
        key: tuple(tmp_path / one for one in value) if key == "files" else tmp_path / value
        for key, value in outputs.items()
    }
    with pytest.raises(UsageError, match=message):
        Outputs(**placed).check([tmp_path / f"{n}.mp4" for n in range(videos)])


# True segments ---------------------------------------------------------------------------------


def test_lines_without_a_name_are_of_the_only_video(tmp_path: Path) -> None:
    path = tmp_path / "anything.txt"
    path.write_text("0:00 - 0:02 a\n0:02 - 0:03.5 b\n")
    (spans,) = read_truth(path, ["films/match.mp4"])
    assert [(s.start, s.end, s.label) for s in spans] == [(0, 2, "a"), (2, 3.5, "b")]


def test_of_several_each_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(
        "video,start,end,label\n"
        "x/one.mp4,0,1,a\ny/one.mp4,0,1,b\ntwo,0,1,c\nC:\\films\\three%20.avi,1,2,d\n"
        "elsewhere.mp4,0,1,e\n"
    )
    videos = ["z/x/one.mp4", "z/y/one.mp4", "two.mp4", "three .avi"]
    found = read_truth(path, videos)
    assert [[s.label for s in spans] for spans in found] == [["a"], ["b"], ["c"], ["d"]]


def test_a_file_with_a_videos_name_is_of_that_video(tmp_path: Path) -> None:
    path = tmp_path / "two.txt"
    path.write_text("0:00 - 0:02 a\n")
    with pytest.raises(UsageError, match=r"two.txt has no span of one.mp4"):
        read_truth(path, ["one.mp4", "two.mp4"])


def test_several_labels_at_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("start,end,label\n0,1,a|b\n")
    (spans,) = read_truth(path, ["x.mp4"], multilabel=True)
    assert [s.label for s in spans] == ["a", "b"]
    (spans,) = read_truth(path, ["x.mp4"])
    assert [s.label for s in spans] == ["a|b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:00 - 0:01 a\nnonsense\n", "line 2"),
        ("0:02 - 0:01 a\n", "ends before it starts"),
        ("other.mp4\n0:00 - 0:01 a\n", "no span of match.mp4: its spans are of other.mp4"),
        ("", "no span of match.mp4"),
    ],
)
def test_truth_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "truth.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_truth(path, ["match.mp4"])
