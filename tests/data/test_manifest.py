import logging
import os
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.data.manifest import Manifest, ManifestError, Region, Sample
from frameflow.errors import FrameFlowError, UsageError


@pytest.fixture
def csv(tmp_path: Path):
    """Write a manifest of the given lines beside two videos, a.mp4 and b.mp4; its path."""

    def write(*lines: str, encoding: str = "utf-8") -> Path:
        for name in ("a.mp4", "b.mp4"):
            (tmp_path / name).touch()
        path = tmp_path / "manifest.csv"
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write


def test_all_columns(csv) -> None:
    path = csv(
        "video,label,split,group,start,end,fold,x,y,w,h,camera",
        "a.mp4,wave,Train,s1,0.5,2,3,0,0.25,0.5,0.75,left",
        "b.mp4,,,,,,,,,,,",
    )
    manifest = Manifest.read(path)
    assert list(manifest) == [
        Sample(
            "a.mp4", "wave", "train", "s1", 0.5, 2.0, None, 3,
            Region(0, 0.25, 0.5, 0.75), {"camera": "left"},
        ),
        Sample("b.mp4", extra={"camera": ""}),
    ]  # fmt: skip
    assert [sample.row for sample in manifest] == [2, 3]
    assert manifest.columns == ["camera"]
    assert manifest.path(manifest[0]) == path.parent / "a.mp4"
    assert manifest.labels == ["wave"]
    assert (manifest.has_splits, manifest.has_groups, manifest.has_folds) == (True, True, True)
    assert not Manifest([Sample("a.mp4")], ".").has_folds


# what people's files look like -> the (video, label, split) read from them
FORMS = {
    "byte-order mark": (["\ufeffvideo,label", "a.mp4,wave"], ("a.mp4", "wave", "")),
    "CRLF": (["video,label\r", "a.mp4,wave\r"], ("a.mp4", "wave", "")),
    "label with a comma": (["video,label", 'a.mp4,"hop, skip"'], ("a.mp4", "hop, skip", "")),
    "label with spaces": (["video,label", "a.mp4, Jump Rope "], ("a.mp4", "Jump Rope", "")),
    "not ASCII": (["video,label", "a.mp4,Прыжок 跳"], ("a.mp4", "Прыжок 跳", "")),
    "valid": (["video,label,split", "a.mp4,wave,valid"], ("a.mp4", "wave", "val")),
    "Validation": (["video,label,split", "a.mp4,wave,Validation"], ("a.mp4", "wave", "val")),
    "other order": (["label,video", "wave,a.mp4"], ("a.mp4", "wave", "")),
    "capital names": (["Video, Label", "a.mp4,wave"], ("a.mp4", "wave", "")),
    "an index column": ([",video,label", "0,a.mp4,wave"], ("a.mp4", "wave", "")),
    "empty lines": (["video,label", "", "a.mp4,wave", ",", ""], ("a.mp4", "wave", "")),
    "no label in test": (["video,label,split", "a.mp4,,test"], ("a.mp4", "", "test")),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms_of_csv(case: str, csv) -> None:
    lines, expected = FORMS[case]
    (sample,) = Manifest.read(csv(*lines))
    assert (sample.video, sample.label, sample.split) == expected


# columns, row 3 (row 2 is a good one), and what the error must say of it
FAULTS = {
    "missing file": ("video,label", "c.mp4,wave", "no video c.mp4 (looked in"),
    "backslashes": ("video,label", "x\\c.mp4,wave", "write / instead of \\"),
    "no video": ("video,label", ",wave", "the video is empty: write its path"),
    "no label in train": ("video,label,split", "b.mp4,,train", "the label is empty"),
    "no label in val": ("video,label,split", "b.mp4,,valid", "the label is empty"),
    "unknown split": ("video,label,split", "b.mp4,wave,trian", "Did you mean 'train'?"),
    "end before start": ("video,label,start,end", "b.mp4,wave,5,2", "end (2) is not after start"),
    "negative start": ("video,label,start,end", "b.mp4,wave,-1,2", "start (-1) is negative"),
    "time of day": ("video,label,start", "b.mp4,wave,0:05", "start '0:05' is no number of seconds"),
    "endless": ("video,label,end", "b.mp4,wave,inf", "end (inf) is no number"),
    "twice": ("video,label", "a.mp4,wave", "repeats row 2 (a.mp4): delete one"),
    "twice, spelt otherwise": ("video,label", "./a.mp4,wave", "repeats row 2"),
    "two labels": ("video,label", "a.mp4,jump", "or join the labels with '|'"),
    "region outside": ("video,label,x,y,w,h", "b.mp4,wave,0.5,0,0.6,1", "outside the frame"),
    "region in pixels": ("video,label,x,y,w,h", "b.mp4,wave,0,0,320,240", "not pixels"),
    "region empty": ("video,label,x,y,w,h", "b.mp4,wave,0,0,0,1", "w and h must be > 0"),
    "region in part": ("video,label,x,y,w,h", "b.mp4,wave,0,0,1,", "give all four or none"),
    "fold": ("video,label,fold", "b.mp4,wave,two", "fold 'two' is no whole number"),
    "fold with decimals": ("video,label,fold", "b.mp4,wave,1.5", "fold '1.5' is no whole"),
    "negative fold": ("video,label,fold", "b.mp4,wave,-1", "folds count from 0"),
    "named frame of a file": (
        "video,label,frame",
        "b.mp4,wave,1.jpg",
        "1.jpg in b.mp4: give its number",
    ),
    "negative frame": ("video,label,frame", "b.mp4,wave,-3", "frames count from 0"),
    "frame and span": ("video,label,frame,end", "b.mp4,wave,3,2", "both a frame and a span"),
    "too few cells": ("video,label,split", "b.mp4,wave", "has 2 cells where the header has 3"),
    "bare comma": ("video,label", "b.mp4,hop, skip", "in double quotes"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_name_the_row_and_the_cure(case: str, csv) -> None:
    header, row, said = FAULTS[case]
    good = "a.mp4,wave" + "," * (header.count(",") - 1)
    with pytest.raises(ManifestError, match=r"manifest\.csv has 1 fault:\n  row 3: ") as caught:
        Manifest.read(csv(header, good, row))
    assert said in str(caught.value)
    assert [fault.row for fault in caught.value.faults] == [3]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


# whole files that cannot be read, and what the error says
BAD_FILES = {
    "no video column": (["label", "wave"], "no column 'video'. Add one."),
    "no label column": (["video", "a.mp4"], "no column 'label'. Add one, empty where unknown."),
    "misspelt column": (["video,labels", "a.mp4,wave"], "Did you mean 'labels'?"),
    "half a region": (["video,label,x,y,w", "a.mp4,wave,0,0,1"], "no column 'h'"),
    "column twice": (["video,label,label", "a.mp4,x,y"], "two columns named 'label'"),
    "nothing": ([""], "is empty: a manifest begins with"),
    "no rows": (["video,label"], "has no rows"),
    "semicolons": (["video;label", "a.mp4;wave"], "separated by semicolons"),
    "tabs": (["video\tlabel", "a.mp4\twave"], "separated by tabs"),
    "open quote": (["video,label", 'a.mp4,"wave', "b.mp4,jump"], "not valid CSV: line 3"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, csv) -> None:
    lines, said = BAD_FILES[case]
    with pytest.raises(UsageError, match=re.escape(said)):
        Manifest.read(csv(*lines))


def test_other_encodings_are_refused(csv) -> None:
    with pytest.raises(UsageError, match="is not UTF-8 text: save it as 'CSV UTF-8'"):
        Manifest.read(csv("video,label", "a.mp4,übung", encoding="latin-1"))


def test_paths_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.csv does not exist"):
        Manifest.read(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="frameflow data scan"):
        Manifest.read(tmp_path)
    (tmp_path / "table.xlsx").touch()
    with pytest.raises(UsageError, match=r"must end in \.csv or \.parquet"):
        Manifest.read(tmp_path / "table.xlsx")
    (tmp_path / "text.parquet").write_text("video,label\n")
    with pytest.raises(UsageError, match="is no readable Parquet file"):
        Manifest.read(tmp_path / "text.parquet")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(csv) -> None:
    path = csv("video,label", "a.mp4,wave")
    path.chmod(0)
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        Manifest.read(path)


def test_many_faults_are_counted_not_all_shown(csv) -> None:
    path = csv("video,label", *(f"{number}.mp4,wave" for number in range(25)))
    with pytest.raises(ManifestError, match="has 25 faults") as caught:
        Manifest.read(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[10].startswith("  row 11: ")
    assert lines[11] == "  and 15 more."
    assert Manifest.read(path, check_files=False).labels == ["wave"]


def test_faults_of_all_kinds_come_in_the_order_of_rows(csv) -> None:
    path = csv("video,label,fold", "c.mp4,wave,0", "a.mp4,wave", "b.mp4,wave,x", "a.mp4,wave,-1")
    with pytest.raises(ManifestError) as caught:
        Manifest.read(path)
    assert [fault.row for fault in caught.value.faults] == [2, 3, 4, 5]


def test_samples_made_in_memory_are_named_by_their_place() -> None:
    manifest = Manifest([Sample("a.mp4", "wave"), Sample("b.mp4", "", "train")], ".")
    with pytest.raises(ManifestError, match="sample 2: the label is empty"):
        manifest.validate(check_files=False)
    with pytest.raises(UsageError, match="has no rows"):
        Manifest([], ".").validate()


def test_frames_of_frame_folders(touch) -> None:
    root = touch("clip/0001.jpg", "clip/0002.jpg")
    path = root / "manifest.csv"
    path.write_text("video,label,frame\nclip,seal,0002.jpg\nclip,none,0\n")
    assert [sample.frame for sample in Manifest.read(path)] == ["0002.jpg", "0"]
    path.write_text("video,label,frame\nclip,seal,0003.jpg\n")
    with pytest.raises(ManifestError, match=r"no frame 0003\.jpg in clip"):
        Manifest.read(path)


def test_a_column_that_looks_misspelt_is_kept_with_a_warning(csv, caplog) -> None:
    with caplog.at_level(logging.WARNING, "frameflow"):
        manifest = Manifest.read(csv("video,label,groups,camera", "a.mp4,wave,g1,left"))
    assert manifest[0].extra == {"groups": "g1", "camera": "left"}
    assert [record.getMessage() for record in caplog.records] == [
        f"{manifest.source}: column 'groups' is kept but not used: is it 'group'?"
    ]


def test_parquet_of_a_data_frame(tmp_path: Path) -> None:
    """Numbers as labels, integers that nulls turned into floats, categories, an index."""
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    table = pyarrow.table(
        {
            "video": pyarrow.array(["a.mp4", "b.mp4"]).dictionary_encode(),
            "label": [3, 7],
            "split": ["train", None],
            "fold": [1.0, float("nan")],
            "frame": [4.0, None],
            "start": pyarrow.nulls(2),
            "score": [0.5, 2.0],
            "__index_level_0__": [0, 1],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "manifest.parquet")
    assert list(Manifest.read(tmp_path / "manifest.parquet")) == [
        Sample("a.mp4", "3", "train", fold=1, frame="4", extra={"score": "0.5"}),
        Sample("b.mp4", "7", extra={"score": "2"}),
    ]


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=8
).filter(lambda text: text not in (".", ".."))
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).map(
    str.strip
)
seconds = st.floats(0, 1e6)
unit = st.floats(0.01, 0.5)


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    videos = draw(st.lists(names, min_size=1, max_size=6, unique_by=os.path.normpath))
    made = []
    for video in videos:
        label = draw(words)
        split = draw(st.sampled_from(["", "train", "val", "test"] if label else ["", "test"]))
        start = draw(st.none() | seconds)
        length = draw(st.none() | seconds)
        end = None if length is None else (start or 0) + 1 + length
        framed = start is None and end is None and draw(st.booleans())
        frame = str(draw(st.integers(0, 999))) if framed else None
        fold = draw(st.none() | st.integers(0, 9))
        region = draw(st.none() | st.builds(Region, unit, unit, unit, unit))
        extra = {"note": draw(words), "Camera 1": draw(words)}
        made.append(
            Sample(video, label, split, draw(words), start, end, frame, fold, region, extra)
        )
    return made


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@settings(deadline=None, max_examples=60)
@given(made=samples())
def test_what_is_written_is_read_again(
    made: list[Sample], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("round")
    Manifest(made, folder).write(folder / f"manifest.{suffix}")
    again = Manifest.read(folder / f"manifest.{suffix}", check_files=False)
    assert again.samples == made
    assert again.columns == ["note", "Camera 1"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_paths_are_rewritten_for_where_the_manifest_goes(suffix: str, touch, tmp_path) -> None:
    root = touch("wave/a.mp4")
    manifest = Manifest([Sample("wave/a.mp4", "wave"), Sample(str(root / "wave/a.mp4"))], root)
    for target in (root, tmp_path, tmp_path / "runs" / "1", root / "wave"):
        manifest.write(target / f"m.{suffix}")
        again = Manifest.read(target / f"m.{suffix}")
        assert again.path(again[0]).samefile(root / "wave/a.mp4")
        assert again[1].video == str(root / "wave/a.mp4")
    assert again[0].video == "a.mp4"


def test_a_manifest_written_through_a_link_finds_its_videos(touch, tmp_path: Path) -> None:
    root = touch("wave/a.mp4")
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    Manifest([Sample("wave/a.mp4", "wave")], root).write(tmp_path / "link" / "m.csv")
    Manifest.read(tmp_path / "link" / "m.csv")


def test_a_failed_write_leaves_what_was_there(csv, monkeypatch) -> None:
    path = csv("video,label", "a.mp4,wave")
    manifest, before = Manifest.read(path), path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FrameFlowError, match="cannot be written: No space left on device"):
        manifest.replace([Sample("b.mp4", "jump")]).write(path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "a.mp4",
        "b.mp4",
        "manifest.csv",
    ]


def test_parts_and_summary() -> None:
    manifest = Manifest(
        [Sample("1", "b", "test"), Sample("2", "a", "train"), Sample("3", "a"), Sample("4")], "."
    )
    assert manifest.summary() == {
        "a": {"train": 1, "test": 0, "": 1},
        "b": {"train": 0, "test": 1, "": 0},
        "": {"train": 0, "test": 0, "": 1},
    }
    assert [sample.video for sample in manifest.split("test")] == ["1"]
    assert len(manifest.where(lambda sample: sample.label == "a")) == 2
    with pytest.raises(UsageError, match="must be one of train, val, test"):
        manifest.split("valid")


def test_tables_to_print() -> None:
    manifest = Manifest(
        [
            Sample("1", "b", "test", "x", fold=0),
            Sample("2", "a", "train", "y", fold=10),
            Sample("3", "a", fold=2),
            Sample("4"),
        ],
        ".",
    )
    header, rows = manifest.counts()
    assert header == ["label", "train", "test", "none", "all"]
    assert rows[0] == ["a", 1, 0, 1, 2]
    assert rows[-2:] == [["(no label)", 0, 0, 1, 1], ["all", 1, 1, 2, 4]]
    assert manifest.counts("fold")[0] == ["label", "0", "2", "10", "none", "all"]
    assert manifest.describe() == "4 samples, 2 labels, 2 groups, 3 folds, 1 train, 1 test."
