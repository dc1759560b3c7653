"""`check` names each fault of a data set, and only those."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from frameflow.audit import scenes
from frameflow.audit.health import check
from frameflow.data.manifest import Manifest, ManifestError, Sample
from frameflow.errors import UsageError


def by_room(rooms: Manifest) -> Manifest:
    splits = {"0": "train", "1": "train", "2": "val", "3": "test"}
    return rooms.replace(
        replace(s, split=splits[s.extra["room"]], group=s.extra["room"]) for s in rooms
    )


def test_sound_data_is_said_to_be_sound(rooms: Manifest) -> None:
    report = check(by_room(rooms))
    assert report.ok
    assert report.lines() == [
        "All is well: 16 samples read, 16 clips compared by content, no leak found."
    ]
    (_title, header, rows), *rest = report.tables()
    assert not rest
    assert header == ("label", "train", "val", "test", "groups")
    assert rows == [("run", 4, 2, 2, 4), ("walk", 4, 2, 2, 4)]
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_leak_shows_without_groups(rooms: Manifest) -> None:
    leaky = rooms.replace(
        replace(s, split="test" if index in (12, 13) else "train") for index, s in enumerate(rooms)
    )
    report = check(leaky)
    assert not report.ok
    assert report.leaked == {12, 13}
    assert len(report.scenes or ()) == 6, "two test clips, each with three siblings in train"
    assert "2 of 2 validation and test clips have their scene in train" in report.lines()[0]
    assert check(leaky, content=False).ok, "only content shows it"


def test_what_very_many_clips_take_is_said_beforehand(
    rooms: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check(by_room(rooms))
    assert not caplog.records
    monkeypatch.setattr(scenes, "_MANY", 15)
    check(by_room(rooms), content=False)
    assert not caplog.records
    check(by_room(rooms))
    (record,) = caplog.records
    assert "Comparing 16 clips with one another takes" in record.getMessage()
    assert "--no-content" in record.getMessage()


def test_a_straddling_group_is_named(rooms: Manifest) -> None:
    leaky = by_room(rooms)
    leaky = leaky.replace([replace(leaky[0], split="test"), *leaky.samples[1:]])
    report = check(leaky, content=False)
    assert [leak.group for leak in report.leaks] == ["0"]
    assert "frameflow data split" in report.lines()[0]


def test_copies_across_splits(rooms: Manifest, tmp_path: Path) -> None:
    for name in ("clip00.mp4", "clip01.mp4"):
        shutil.copy(rooms.root / name, tmp_path / name)
    shutil.copy(rooms.root / "clip00.mp4", tmp_path / "renamed.mp4")
    manifest = Manifest(
        [
            Sample("clip00.mp4", "run", "train"),
            Sample("clip01.mp4", "run", "train"),
            Sample("renamed.mp4", "run", "test"),
        ],
        tmp_path,
    )
    report = check(manifest, content=False)
    assert report.copies_across == [[0, 2]]
    assert "1 video stands in more than one split" in report.lines()[0]
    assert "the bytes are the same" in report.lines()[0]


def test_bad_videos_are_named_with_their_reason(rooms: Manifest, tmp_path: Path) -> None:
    shutil.copy(rooms.root / "clip00.mp4", tmp_path / "good.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video")
    samples = [
        Sample("good.mp4", "run"),
        Sample("empty.mp4", "run", row=3),
        Sample("text.mp4", "run", row=4),
        Sample("gone.mp4", "run", row=5),
        Sample("good.mp4", "run", start=5.0, end=6.0, row=6),
    ]
    report = check(Manifest(samples, tmp_path), workers=2)
    reasons = {trouble.row: trouble.reason for trouble in report.troubles}
    assert set(reasons) == {3, 4, 5, 6}
    assert "empty" in reasons[3]
    assert "start (5 s) is past its end (1.00 s)" in reasons[6]
    assert len(report.to_dict()["unusable"]) == 4
    assert not report.ok


def test_workers_are_checked(rooms: Manifest) -> None:
    with pytest.raises(UsageError, match=r"workers \(0\) must be > 0"):
        check(rooms, workers=0)


def test_several_labels_are_counted_each(rooms: Manifest) -> None:
    cells = ["a|b", "none"]
    sets = rooms.replace(replace(s, label=cells[n % 2]) for n, s in enumerate(rooms))
    report = check(sets, content=False, multilabel=True)
    counts = report.to_dict()["counts"]
    assert list(counts) == ["a", "b", "none"]
    assert sum(counts["a"].values()) == sum(counts["b"].values()) == (len(rooms) + 1) // 2
    assert [row[0] for row in report.tables()[0][2]] == ["a", "b", "none"]
    with pytest.raises(ManifestError, match="an empty one"):
        check(rooms.replace([replace(rooms[0], label="a|")]), multilabel=True)
