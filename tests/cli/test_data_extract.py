# ruff: noqa: ARG001  (fixtures that are wanted for what they make)
"""`frameflow data frames` as a user types it: its folders are videos everywhere."""

import json
from pathlib import Path

from frameflow.data.manifest import Manifest


def test_a_folder_of_videos_and_back(videos, frameflow) -> None:
    said = frameflow("data frames VIDEOS -o FRAMES --every 4 --format png")
    assert said.code == 0
    assert said.out == "Wrote 72 images of 24 videos to FRAMES.\n"
    assert "24 were there" in frameflow("data frames VIDEOS -o FRAMES --every 4 --format png").out
    assert frameflow("data scan FRAMES -o frames.csv").code == 0
    frameflow("data scan VIDEOS -o videos.csv")
    pairs = zip(Manifest.read("videos.csv"), Manifest.read("frames.csv"), strict=True)
    for one, two in pairs:
        assert one.video == two.video.replace("FRAMES/", "VIDEOS/") + ".mp4"
        assert one.label == two.label
    assert frameflow("data check frames.csv --no-content").code == 0


def test_a_manifest_and_back_to_prediction(manifest, run, frameflow) -> None:
    said = frameflow("data frames manifest.csv -o FRAMES")
    assert said.code == 0
    assert "Wrote FRAMES/manifest.csv: 24 samples, 2 labels, 12 groups" in said.out
    before, after = Manifest.read("manifest.csv"), Manifest.read("FRAMES/manifest.csv")
    assert [(s.label, s.split, s.group) for s in before] == [
        (s.label, s.split, s.group) for s in after
    ]
    folder = Path("FRAMES", after[0].video)
    said = frameflow("predict", "RUN", folder, "--json", "--engine", "torch")
    assert said.code == 0, said.err
    assert json.loads(said.out)


def test_what_cannot_be_read_is_told(videos, frameflow) -> None:
    (videos / "broken.mp4").write_text("no video")
    said = frameflow("data frames VIDEOS -o FRAMES --sampler uniform --count 2 --size 32")
    assert said.code == 0
    assert "Set aside: VIDEOS/broken.mp4 (" in said.err
    assert "Wrote 48 images of 24 videos" in said.out


def test_mistakes(videos, frameflow) -> None:
    assert "lies inside" in frameflow("data frames VIDEOS -o VIDEOS/frames").error
    assert "Give one of" in frameflow("data frames VIDEOS -o F --every 2 --per-second 3").error
    assert not Path("F").exists()
