# ruff: noqa: ARG001  (fixtures that are wanted for what they make)
"""`frameflow data spans` as a user types it."""

import json
from pathlib import Path

from frameflow.data.manifest import Manifest


def test_timestamps_to_a_manifest(videos, frameflow) -> None:
    Path("00.txt").write_text("lob, hoch/00.mp4\n0:00.25 - 0:00.75 serve\n", encoding="utf-8")
    said = frameflow("data spans 00.txt --videos VIDEOS -o spans.csv --background rest")
    assert said.code == 0, said.err
    assert said.out == "Wrote spans.csv: 1 span, 3 samples, 2 labels, 1 group.\n"
    assert Manifest.read("spans.csv")[1].start == 0.25
    said = frameflow("data spans 00.txt --videos VIDEOS -o frames.csv --frames --every 2")
    assert said.code == 0
    assert [sample.frame for sample in Manifest.read("frames.csv")] == ["4", "6", "8"]


def test_faults(videos, frameflow) -> None:
    Path("00.txt").write_text("lob, hoch/00.mp4\n0:02 - 0:03 late\n0 - 0.5 good\n")
    said = frameflow("data spans 00.txt --videos VIDEOS")
    assert said.code == 2
    assert "00.txt, line 2: 00:00:02.000 - 00:00:03.000 late: it is past the end" in said.err
    assert not Path("manifest.csv").exists()
    said = frameflow("data spans 00.txt --videos VIDEOS --skip-bad")
    assert said.code == 0
    assert "Left out: 00.txt, line 2" in said.err
    assert len(Manifest.read("manifest.csv")) == 1
    assert "add --frames" in frameflow("data spans 00.txt --videos VIDEOS --every 2").error


def test_labels_are_held_against_frames(videos, frameflow) -> None:
    frameflow("data frames VIDEOS -o FRAMES --format png")
    rows = [f"FRAMES/Rückhand/00,{number},serve" for number in range(12)]
    table = Path("labels.csv")
    table.write_text("\n".join(["video,frame,label", *rows]), encoding="utf-8")
    said = frameflow("data check --labels labels.csv")
    assert said.code == 0
    assert "All is well: 12 rows read, 12 frames of 1 video." in said.out
    table.write_text("\n".join(["video,frame,label", *rows[:5], rows[2]]), encoding="utf-8")
    said = frameflow("data check --labels labels.csv")
    assert said.code == 1
    assert "labels again what row 4 labels" in said.out
    assert json.loads(frameflow("data check labels.csv --labels --json").out)["ok"] is False
