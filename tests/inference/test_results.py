"""Files of results: what they hold when all went well, and when it did not."""

import csv
import io
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.inference.predictor import Prediction, Result, load
from frameflow.inference.results import Columns, CsvResults, JsonArray, JsonlResults, identity
from frameflow.models.recognizer import Recognizer

COLUMNS = Columns(ranks=2, sets=True, model="a1")
KINDS = pytest.mark.parametrize("kind", [CsvResults, JsonlResults])


def said(video: Path, label: str = 'läuft, "schnell"') -> Prediction:
    return Prediction(
        str(video), label, 0.75, [(label, 0.75), ("sitzt", 0.25)],
        np.array([0.75, 0.25], np.float32), (label, "sitzt"), set=(label,), abstained=True,
    )  # fmt: skip


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in ("a.mp4", "b, c.mp4", "dä.mp4")]
    for number, path in enumerate(found):
        path.write_bytes(b"x" * (number + 1))
    return found


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def names(path: Path) -> list[str]:
    if path.suffix == ".csv":
        return [row["video"] for row in table(path)]
    return [json.loads(line)["video"] for line in path.read_text(encoding="utf-8").splitlines()]


def path_of(kind: type, folder: Path) -> Path:
    return folder / ("out.csv" if kind is CsvResults else "out.jsonl")


def test_each_row_is_there_at_once_and_says_whose_it_is(tmp_path: Path, videos: list[Path]) -> None:
    with CsvResults(tmp_path / "out.csv", COLUMNS) as file:
        assert table(tmp_path / "out.csv") == []
        file.write(said(videos[0]))
        (row,) = table(tmp_path / "out.csv")
        file.write(VideoError(str(videos[1]), "is empty"))
    assert row["label_1"] == 'läuft, "schnell"'
    assert (row["set"], row["abstained"]) == ('läuft, "schnell"', "yes")
    assert (row["model"], row["bytes"]) == ("a1", "1")
    assert (row["bytes"], row["modified"]) == identity(videos[0])
    assert table(tmp_path / "out.csv")[1]["error"] == "is empty"


@KINDS
def test_wherever_a_file_is_cut_off_resume_makes_it_whole(
    kind: type[CsvResults | JsonlResults], tmp_path: Path, videos: list[Path]
) -> None:
    path = path_of(kind, tmp_path)
    with kind(path, COLUMNS) as file:
        for video in videos:
            file.write(said(video))
    whole = path.read_bytes()
    for cut in {*range(0, len(whole), 9), *range(len(whole) - 4, len(whole))}:
        path.write_bytes(whole[:cut])
        with kind(path, COLUMNS, resume=True) as file:
            lines = whole[:cut].count(b"\n") - (1 if kind is CsvResults else 0)
            assert file.kept == max(0, lines), cut
            for video in videos:
                if not file.has(video):
                    file.write(said(video))
        assert path.read_bytes() == whole, cut


@KINDS
def test_what_failed_or_changed_is_tried_again(
    kind: type[CsvResults | JsonlResults], tmp_path: Path, videos: list[Path]
) -> None:
    path = path_of(kind, tmp_path)
    with kind(path, COLUMNS) as file:
        for result in (said(videos[0]), VideoError(str(videos[1]), "is odd"), said(videos[2])):
            file.write(result)
    videos[2].write_bytes(b"another film")
    with kind(path, COLUMNS, resume=True) as file:
        assert [file.has(video) for video in videos] == [True, False, False]
        assert names(path) == [str(videos[0])]
        file.write(said(videos[2]))
    videos[0].unlink()
    with kind(path, COLUMNS, resume=True) as file:
        assert file.kept == 2, "what is said of a video that is gone is kept"


@KINDS
def test_another_model_or_form_is_refused_and_the_file_left(
    kind: type[CsvResults | JsonlResults], tmp_path: Path, videos: list[Path]
) -> None:
    path = path_of(kind, tmp_path)
    with kind(path, COLUMNS) as file:
        file.write(said(videos[0]))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"ranks 2 labels, and 5 are asked for\. Add --topk 2"):
        kind(path, Columns(ranks=5, sets=True, model="a1"), resume=True)
    with pytest.raises(UsageError, match=r"another model, .*\(a1, here b2\).*leave out --resume"):
        kind(path, Columns(ranks=2, sets=True, model="b2"), resume=True)
    if kind is CsvResults:
        with pytest.raises(UsageError, match="cannot be resumed: its columns are video, label_1"):
            kind(path, Columns(ranks=2, model="a1"), resume=True)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_damaged_row_in_the_middle_is_named(tmp_path: Path, videos: list[Path]) -> None:
    for kind in (CsvResults, JsonlResults):
        path = path_of(kind, tmp_path)
        with kind(path, COLUMNS) as file:
            for video in videos:
                file.write(said(video))
        lines = path.read_bytes().splitlines(keepends=True)
        lines[1] = b"rubbish\n"
        path.write_bytes(b"".join(lines))
        with pytest.raises(UsageError, match=r"line 2 is (damaged|no result)"):
            kind(path, COLUMNS, resume=True)
        assert path.read_bytes() == b"".join(lines)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        video.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has names of text only")
    for kind in (CsvResults, JsonlResults):
        path = path_of(kind, tmp_path)
        for _ in range(2):
            with kind(path, COLUMNS, resume=True) as file:
                if not file.has(video):
                    file.write(said(video))
        assert names(path) == [str(video)]


# Where it cannot be written


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_row_that_does_not_fit_is_taken_back(tmp_path: Path, videos: list[Path]) -> None:
    import resource

    path = tmp_path / "out.csv"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with CsvResults(path, COLUMNS) as file:
        file.write(said(videos[0]))
        try:  # the file may grow by half a row
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, before[1]))
            with pytest.raises(FrameFlowError, match=r"out\.csv cannot be written: File too large"):
                file.write(said(videos[1]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert names(path) == [str(videos[0])]
        file.write(said(videos[2]))
    assert names(path) == [str(videos[0]), str(videos[2])]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk() -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("/dev/full may not be written here")
    with pytest.raises(FrameFlowError, match=r"The disk is full: .*--resume"):
        CsvResults("/dev/full", COLUMNS)


def test_no_folder_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no folder .*gone to write out\.csv into"):
        CsvResults(tmp_path / "gone" / "out.csv", COLUMNS)
    with pytest.raises(UsageError, match="is a folder: name a file in it"):
        JsonlResults(tmp_path, COLUMNS)


# JSON as it comes


def results() -> Iterator[Result]:
    yield said(Path("a.mp4"))
    yield VideoError("b.mp4", "is odd")


def test_an_array_grows_and_is_whole_however_it_ends() -> None:
    stream = io.StringIO()
    with JsonArray(stream) as array:
        for result in results():
            array.write(result)
    found = json.loads(stream.getvalue())
    assert stream.getvalue() == json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    assert [entry["video"] for entry in found] == ["a.mp4", "b.mp4"]
    stopped = io.StringIO()
    with suppress(KeyboardInterrupt), JsonArray(stopped) as array:
        array.write(next(results()))
        raise KeyboardInterrupt
    assert len(json.loads(stopped.getvalue())) == 1
    empty = io.StringIO()
    with JsonArray(empty):
        pass
    assert empty.getvalue() == "[]\n"


# Which model it is


def test_columns_are_those_of_the_model(run: Path) -> None:
    predictor = load(run, engine="torch")
    columns = Columns.of(predictor, topk=9)
    assert (columns.ranks, columns.sets, columns.multilabel) == (3, False, False)
    assert columns.model == Columns.of(load(run, engine="torch"), topk=2).model
    assert columns.model != Columns.of(load(run, engine="torch", views=2), topk=9).model
    recognizer = Recognizer.load(run)
    recognizer.labels = recognizer.labels[::-1]
    recognizer.save(run)
    assert columns.model != Columns.of(load(run, engine="torch"), topk=9).model
