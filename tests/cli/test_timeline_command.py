"""`frameflow timeline`."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.data.spans import read_spans
from frameflow.video.decode import read_frames
from frameflow.video.probe import probe
from frameflow.video.write import write_video

LOOK = ["--window", "0.5", "--grid", "4", "--engine", "torch"]
SURE = ["--enter", "0", "--leave", "0", "--min-length", "0"]  # the tiny run is never sure


@pytest.fixture
def long(small_run: Path, tmp_path: Path) -> Path:
    """A serve, a backhand and a serve, of a second each."""
    clips = small_run.parent / "VIDEOS"
    names = ("serve/00.mp4", "backhand/00.mp4", "serve/02.mp4")
    frames = np.concatenate([read_frames(clips / name, range(12)) for name in names])
    path = tmp_path / "long film.mp4"
    write_video(path, frames, rate=12)
    return path


def test_a_table_of_segments(frameflow: Callable[..., Any], small_run: Path, long: Path) -> None:
    said = frameflow("timeline", small_run, long, *LOOK, *SURE)
    assert said.code == 0, said
    assert "long film.mp4" in said.out
    assert "probability" in said.out
    assert "00:00:03.000" in said.out
    nothing = frameflow("timeline", small_run, long, *LOOK, "--enter", "1", "--leave", "1")
    assert nothing.code == 0
    assert "0 segments of 0 labels in 0:03." in nothing.out


def test_json_and_scores(
    frameflow: Callable[..., Any], small_run: Path, long: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.txt"
    truth.write_text("0 - 1 serve\n1 - 2 backhand\n2 - 3 serve\n")
    options = [*LOOK, *SURE, "--smooth", "0", "--json", "--truth", truth]
    said = json.loads(frameflow("timeline", small_run, long, *options).out)
    (video,) = said["videos"]
    assert video["duration"] == pytest.approx(3)
    assert video["plan"] == {"length": 0.5, "stride": 0.125, "grid": 4}
    segments = video["segments"]
    assert segments[0]["start"] == 0
    assert segments[-1]["end"] == pytest.approx(3)
    assert {each["label"] for each in segments} <= {"serve", "backhand"}
    right = sum(
        max(0.0, min(each["end"], n + 1) - max(each["start"], n))
        for each in segments
        for n, label in enumerate(("serve", "backhand", "serve"))
        if each["label"] == label
    )
    assert said["scores"]["frame_accuracy"] == pytest.approx(right / 3, abs=0.03)
    assert said["scores"] == video["scores"]
    table = frameflow("timeline", small_run, long, *options[:-3], "--truth", truth)
    assert "segment F1 at 50 % overlap" in table.out


def test_every_file_of_every_video(
    frameflow: Callable[..., Any], small_run: Path, long: Path, tmp_path: Path
) -> None:
    clip, bad = small_run.parent / "new_clip.mp4", tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    out, table = tmp_path / "out", tmp_path / "all.csv"
    said = frameflow(
        "timeline", small_run, long, bad, clip, *LOOK, *SURE, "-o", out, "--csv", table
    )
    assert said.code == 1, "one of them could not be read"
    assert f"{bad}: " in said.err
    assert f"Wrote {out / 'new_clip.eaf'}" in said.err
    stems = {path.stem for path in out.iterdir()}
    assert stems == {"long film", "new_clip"}
    assert len(list(out.iterdir())) == 14
    assert {span.video for span in read_spans(table).spans} >= {"long film.mp4"}
    assert (out / "long film.vtt").read_text().startswith("WEBVTT\n\n1\n00:00:00.000 -->")


def test_single_files_and_the_drawn_video(
    frameflow: Callable[..., Any], small_run: Path, long: Path, tmp_path: Path
) -> None:
    names = {f"--{form}": tmp_path / f"x.{form}" for form in ("vtt", "srt")}
    names |= {"--elan": tmp_path / "x.eaf", "--picture": tmp_path / "x.png"}
    names |= {"--video": tmp_path / "x.mp4"}
    options = [part for pair in names.items() for part in pair]
    said = frameflow("timeline", small_run, long, *LOOK, *SURE, *options)
    assert said.code == 0, said
    for path in names.values():
        assert f"Wrote {path}." in said.err
        assert path.stat().st_size > 100
    assert probe(tmp_path / "x.mp4").frames == 36
    assert len(said.out.strip().splitlines()) == 1, "files hold the segments"


def test_a_label_that_means_nothing(
    frameflow: Callable[..., Any], small_run: Path, long: Path
) -> None:
    options = [*LOOK, *SURE, "--json", "--background", "serve"]
    said = json.loads(frameflow("timeline", small_run, long, *options).out)
    assert {each["label"] for each in said["videos"][0]["segments"]} <= {"backhand"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.mp4"], 1, "gone.mp4: "),
        (["manifest.csv"], 1, "manifest.csv: "),
        (["sound.wav"], 1, "sound.wav: "),
        (["new_clip.mp4", "--vtt", "x.srt"], 2, "x.srt must end in .vtt"),
        (["new_clip.mp4", "--picture", "x.gif"], 2, "x.gif must end in one of .svg, .png"),
        (["new_clip.mp4", "--csv", "no folder/x.csv"], 2, "There is no folder no folder"),
        (["new_clip.mp4", "--video", "new_clip.mp4"], 2, "another name"),
        (["new_clip.mp4", "new_clip.mp4", "VIDEOS", "--srt", "x.srt"], 2, "--out FOLDER"),
        (["new_clip.mp4", "--enter", "0.2", "--leave", "0.4"], 2, "leave at most as great"),
        (["new_clip.mp4", "--gap", "-1"], 2, "gap (-1)"),
        (["new_clip.mp4", "--window", "0"], 2, "must be > 0"),
        (["new_clip.mp4", "--background", "srve"], 2, "Did you mean 'serve'?"),
        (["new_clip.mp4", "--truth", "gone.txt"], 2, "gone.txt does not exist"),
        (["new_clip.mp4", "-o", "manifest.csv"], 2, "manifest.csv is a file"),
    ],
)
def test_what_goes_wrong_is_said(
    frameflow: Callable[..., Any],
    small_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_clips: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    import imageio_ffmpeg

    monkeypatch.chdir(small_clips)
    if "sound.wav" in arguments:
        sound = ["-f", "lavfi", "-i", "sine=duration=1", "sound.wav"]
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *sound], check=True)
    before = sorted(Path().rglob("*"))
    said = frameflow("timeline", small_run, *arguments, "--engine", "torch")
    assert said.code == code, said
    assert message in said.err
    assert sorted(Path().rglob("*")) == before, "nothing is written"


def test_a_video_that_lies_about_its_length(
    frameflow: Callable[..., Any], small_run: Path, long: Path, tmp_path: Path
) -> None:
    """Cut off in the middle: what is there is looked at."""
    whole = tmp_path / "whole.mkv"
    write_video(whole, read_frames(long, range(36)), rate=12)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    said = frameflow("timeline", small_run, cut, *LOOK, *SURE, "--json")
    assert said.code == 0, said
    (video,) = json.loads(said.out)["videos"]
    assert 1 < video["duration"] < 2.7
    assert video["segments"][-1]["end"] == pytest.approx(video["duration"], abs=0.01)


def test_a_disk_that_is_full(
    frameflow: Callable[..., Any], small_run: Path, long: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("frameflow._files.os.fsync", full)
    said = frameflow("timeline", small_run, long, *LOOK, "--csv", tmp_path / "x.csv")
    assert said.code == 1
    assert "x.csv cannot be written: No space left on device" in said.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long film.mp4"]
