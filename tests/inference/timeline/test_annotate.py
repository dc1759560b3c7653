"""The annotated video is the video, with labels for as long as their segments last."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.inference.timeline.annotate import annotate_video, check_annotated
from frameflow.inference.timeline.segments import Segment
from frameflow.video.decode import read_frames
from frameflow.video.probe import probe
from frameflow.video.write import write_video

Make = Callable[..., Any]


def of_video(make: Make, path: Path, **options: Any) -> Any:
    info = probe(path)
    line = make([[0.5, 0.5]] * 2, video=str(path), **options)
    return replace(line, duration=info.duration, rate=info.rate)


def grey(path: Path, *, frames: int = 20, size: tuple[int, int] = (160, 120)) -> Path:
    """Each frame a little brighter."""
    levels = np.linspace(60, 200, frames).astype(np.uint8)
    film = np.repeat(levels, size[0] * size[1] * 3).reshape(frames, size[1], size[0], 3)
    write_video(path, film, rate=10)
    return path


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (640, 200)])
def test_labels_are_there_while_their_segments_last(
    make_timeline: Make, tmp_path: Path, size: tuple[int, int]
) -> None:
    source, out = grey(tmp_path / "in.mp4", size=size), tmp_path / "out.mp4"
    shares: list[float] = []
    segments = [Segment(0.5, 1.0, "serve", 0.8, 0.9), Segment(1.0, 1.5, "smash", 0.6, 0.7)]
    annotate_video(out, of_video(make_timeline, source), segments, progress=shares.append)
    made, info = probe(out), probe(source)
    assert (made.frames, made.rate, made.width, made.height) == (20, 10, *size)
    assert made.duration == pytest.approx(info.duration)
    before, after = (read_frames(path, range(20)).astype(int) for path in (source, out))
    # Below the middle but above the line of progress.
    band = slice(round(size[1] * 0.7), round(size[1] * 0.93))
    changed = np.abs(after[:, band] - before[:, band]).max(axis=(1, 2, 3)) > 60
    assert changed.tolist() == [False] * 5 + [True] * 10 + [False] * 5
    middle = slice(round(size[1] * 0.3), round(size[1] * 0.5))
    assert np.abs(after[:, middle] - before[:, middle]).mean() < 3, "the picture is left alone"
    first, second = after[6, band], after[12, band]
    assert np.abs(first - second).max() > 60, "another label looks different"
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(0.95)


def test_frames_at_unequal_times_are_shown_at_theirs(make_timeline: Make, tmp_path: Path) -> None:
    """The frames after the tenth come three times as slowly."""
    import imageio_ffmpeg

    source, uneven = grey(tmp_path / "in.mp4"), tmp_path / "uneven.mkv"
    pts = "settb=1/1000,setpts='if(lt(N,10),N,10+(N-10)*3)*100'"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", source, "-vf", pts]
    subprocess.run([*command, "-fps_mode", "vfr", "-c:v", "ffv1", uneven], check=True)
    info = probe(uneven)
    assert info.variable_rate
    out = tmp_path / "out.mp4"
    annotate_video(out, of_video(make_timeline, uneven), [])
    made = probe(out)
    assert made.duration == pytest.approx(info.duration, abs=0.3)
    levels = read_frames(out, range(made.frames))[:, 60, 80].mean(axis=-1)
    assert levels[-1] == pytest.approx(200, abs=6)
    half = levels[round(made.frames * 1.0 / made.duration) - 1]
    assert half == pytest.approx(60 + 140 * 9 / 19, abs=12), "the tenth frame comes after 1 s"


def test_several_labels_at_once(make_timeline: Make, tmp_path: Path) -> None:
    source, out = grey(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    segments = [Segment(0, 2, "a", 0.5, 0.5), Segment(0, 2, "b", 0.9, 0.9)]
    annotate_video(out, of_video(make_timeline, source, multilabel=True), segments[:1])
    one = read_frames(out, [5])[0].astype(int)
    annotate_video(out, of_video(make_timeline, source, multilabel=True), segments)
    two = read_frames(out, [5])[0].astype(int)
    darkened = [int((frame[:, 150].mean(axis=-1) < 70).sum()) for frame in (one, two)]
    assert darkened[1] > darkened[0], "the band has a row for each"


def test_what_cannot_be(make_timeline: Make, tmp_path: Path) -> None:
    source = grey(tmp_path / "in.mp4", frames=2)
    line = of_video(make_timeline, source)
    with pytest.raises(FrameFlowError, match="cannot be written"):
        annotate_video(tmp_path / "gone" / "out.mp4", line, [])
    with pytest.raises(VideoError):
        annotate_video(tmp_path / "out.mp4", line, [], video=tmp_path / "gone.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"], "nothing is left behind"
    with pytest.raises(UsageError, match="must end like a video"):
        check_annotated(tmp_path / "out.txt", [source])
    with pytest.raises(UsageError, match="another name"):
        check_annotated(source, [source])
