"""The datasheet says what the files say, and never overwrites what a person wrote."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from frameflow.audit.datasheet import OPEN, write_datasheet
from frameflow.audit.survey import Survey, survey
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError


@pytest.fixture(scope="module")
def found(rooms: Manifest) -> Survey:
    splits = {"0": "train", "1": "train", "2": "val", "3": "test"}
    given = rooms.replace(
        replace(s, group=s.extra["room"], split=splits[s.extra["room"]], label=s.label * (n != 5))
        for n, s in enumerate(rooms)
    )
    return survey(given, None)


@pytest.fixture
def sheet(found: Survey, tmp_path: Path) -> Path:
    path = tmp_path / "DATASHEET.md"
    written = write_datasheet(path, found, name="rooms")
    assert written.path == path
    assert not written.kept
    return path


def test_it_says_what_the_files_say(sheet: Path) -> None:
    text = sheet.read_text(encoding="utf-8")
    assert "16 samples of 16 videos, 2 classes." in text
    assert "They are 1.00 to 1.00 s long, median 1.00 s, together 0.3 minutes" in text
    assert "| run | 7 | 7 s | 4 | 3 | 2 | 2 |" in text
    assert "| codec | " in text
    assert "96 x 48 (16)" in text
    assert "1 of 16 clips have no label." in text
    assert "4 groups of 4 to 4 clips" in text
    assert "No group stands in two splits." in text
    assert "no two clips in different splits show one scene" in text
    assert "- Fewer than 10 clips: run, walk." in text
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "Motivation", "Composition", "Collection", "Labelling", "Preprocessing", "Splits", "Uses",
        "Gaps",
    ]  # fmt: skip
    assert text.count(OPEN) == text.count("**\n\n_") > 10


def test_lengths_of_frame_labelled_samples_do_not_add_up(rooms: Manifest, tmp_path: Path) -> None:
    frames = rooms.replace(replace(rooms[0], frame=str(frame)) for frame in (3, 6, 9))
    path = tmp_path / "DATASHEET.md"
    write_datasheet(path, survey(frames, None, content=False), name="frames")
    text = path.read_text(encoding="utf-8")
    assert "3 samples of 1 video, " in text
    assert ", together" not in text
    assert "| run | 3 | - |" in text
    assert "3 samples are the frames that end at one" in text


def test_answers_are_kept_and_facts_renewed(sheet: Path, found: Survey) -> None:
    text = sheet.read_text(encoding="utf-8").replace(OPEN, "By Anna, in May.", 1)
    text += "\n## Our own section\n\nKeep me.\n"
    sheet.write_text(text, encoding="utf-8")
    fewer = survey(found.manifest.where(lambda sample: sample.split == "train"), None)
    written = write_datasheet(sheet, fewer, name="another name")
    after = sheet.read_text(encoding="utf-8")
    assert written.kept
    assert written.open == text.count(OPEN)
    assert "By Anna, in May." in after
    assert after.endswith("Keep me.\n")
    assert "8 samples of 8 videos" in after
    assert "16 samples" not in after
    assert write_datasheet(sheet, found, name="rooms").kept
    assert sheet.read_text(encoding="utf-8") == text, "the same data gives the same facts"


def test_a_section_that_was_deleted_stays_away(sheet: Path, found: Survey) -> None:
    text = sheet.read_text(encoding="utf-8")
    short = text[: text.index("## Gaps")]
    sheet.write_text(short, encoding="utf-8")
    assert write_datasheet(sheet, found, name="rooms").kept
    assert sheet.read_text(encoding="utf-8") == short


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("16 samples of", "17 samples of"), r"by hand \(composition\)"),
        (lambda _: "# Our own datasheet\n", "not written by this command"),
        (lambda text: text.replace("<!-- /facts -->", "", 1), "marks of its facts are damaged"),
    ],
)
def test_what_a_person_wrote_is_never_overwritten(
    sheet: Path, found: Survey, change: Callable[[str], str], says: str
) -> None:
    before = change(sheet.read_text(encoding="utf-8"))
    sheet.write_text(before, encoding="utf-8")
    written = write_datasheet(sheet, found, name="rooms")
    assert sheet.read_text(encoding="utf-8") == before
    assert written.path == sheet.with_name("DATASHEET.new.md")
    assert "16 samples of 16 videos" in written.path.read_text(encoding="utf-8")
    assert re.search(says, written.reason), written.reason


def test_a_file_that_is_no_text_is_named(found: Survey, tmp_path: Path) -> None:
    path = tmp_path / "DATASHEET.md"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        write_datasheet(path, found, name="rooms")
    assert path.read_bytes() == b"\xff\xfe\x00"
