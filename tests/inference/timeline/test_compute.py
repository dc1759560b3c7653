"""A timeline of a whole video: what prediction says of its spans, in one pass."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frameflow.errors import UsageError, VideoError
from frameflow.evaluation.abstain import Refusal
from frameflow.evaluation.calibration import Calibration
from frameflow.inference.predictor import Predictor, load
from frameflow.inference.timeline import Cancelled, Shot, ShotRequest, iter_shots, timeline
from frameflow.inference.timeline.compute import ahead
from frameflow.inference.timeline.plan import ENDING
from frameflow.video.probe import probe

Make = Callable[..., Predictor]

TINY = "backbone: resnet10t, weights: none, size: 32"
WAYS: dict[str, tuple[str, ...]] = {
    "uniform": (),
    "segments, three views": ("sampling.strategy=segments", "views.test=3"),
    "dense": ("sampling.strategy=dense", "sampling.stride=3", "views.test=2"),
    "first, padded": ("sampling.strategy=first", "sampling.frames=16", "sampling.stride=4"),
    "spacing, slower look": (
        "sampling.strategy=dense",
        "sampling.spacing=0.1",
        f"streams=[{{{TINY}}}, {{{TINY}, pace: 3}}]",
    ),
    "differences": ("streams.0.kind=difference", "streams.0.gap=3"),
    "stacks of the last frames": ("sampling.frames=24", "streams.0.kind=stack", "streams.0.gap=4"),
    "crops": ("streams.0.fit=crops", "streams.0.crops=2", "streams.0.kind=difference"),
    "crops and a whole frame": (
        f"streams=[{{{TINY}, fit: crops, crops: 3}}, {{{TINY}, fit: squash, kind: stack}}]",
    ),
    "a head that knows the order": ("head.name=gru", "head.hidden=8"),
    "shifted in time": ("streams.0.shift=8",),
    "following": (
        f"streams=[{{{TINY}, fit: follow}}, {{{TINY}, fit: follow, kind: stack, gap: 2}}]",
    ),
    "following and not": (f"streams=[{{{TINY}, fit: follow}}, {{{TINY}, fit: squash}}]",),
    "several labels": ("multilabel=true",),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_window_over_a_whole_clip_is_its_prediction(
    make_predictor: Make, long_film: Path, way: str
) -> None:
    """On a grid of the video's rate the moments are its frames."""
    model = make_predictor(*WAYS[way])
    info = probe(long_film)
    found = timeline(model, long_film, window=info.duration, stride=1, grid=info.rate)
    expected = model.predict(long_film)
    assert found.probabilities.shape == (1, 3)
    assert np.allclose(found.probabilities[0], expected.probabilities, atol=1e-5)
    assert found.multilabel == model.recognizer.recipe.multilabel
    assert (found.starts[0], found.ends[0]) == (0, info.duration)


@pytest.mark.parametrize("way", ["uniform", "dense", "shifted in time", "following"])
def test_windows_within_a_video_are_predictions_of_spans(
    make_predictor: Make, long_film: Path, way: str
) -> None:
    model = make_predictor(*WAYS[way])
    found = timeline(model, long_film, window=2, stride=1, grid=20)
    assert found.starts.tolist() == [0, 1, 2, 3, 4]
    for start, end, row in zip(found.starts, found.ends, found.probabilities):
        clips = model.encoder.read(long_film, start=float(start), end=float(end))
        assert np.allclose(row, model.from_clips("", clips).probabilities, atol=1e-5)


def test_a_window_of_labelled_frames_speaks_for_its_end(
    make_predictor: Make, long_film: Path
) -> None:
    model = make_predictor(**{ENDING: True})
    found = timeline(model, long_film)
    assert found.plan.ending
    assert found.plan.length == pytest.approx(4 / 20)
    assert np.array_equal(found.moments, found.ends)
    assert np.allclose(np.diff(found.ends), found.plan.stride)
    at = 40  # windows, of a frame each
    frame = round(found.ends[at] * 20) - 1
    clips = model.encoder.read(long_film, frame=str(frame))
    expected = model.from_clips("", clips).probabilities
    assert np.allclose(found.probabilities[at], expected, atol=1e-5)


def test_what_a_timeline_says(run: Path, clips: list[Path]) -> None:
    model = load(run, engine="torch")
    shares: list[float] = []
    found = timeline(model, clips[0], window=0.2, stride=0.1, progress=shares.append)
    assert found.video == str(clips[0])
    assert found.labels == model.labels
    assert (found.width, found.height, found.rate) == (60, 48, 25)
    assert found.duration == pytest.approx(0.48)
    assert found.probabilities.dtype == np.float32
    assert np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    assert found.abstained.dtype == bool
    assert np.allclose(found.moments, (found.starts + found.ends) / 2)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_calibrated_and_withheld(run: Path, clips: list[Path]) -> None:
    model = load(run, engine="torch")
    recognizer = model.recognizer
    recognizer.extra |= {
        "calibration": Calibration("temperature", (0.5,) * 3, (0.0,) * 3).to_dict(),
        "refusal": Refusal(0.1, 0.9, 0.6, 0.95, None, 50, 10, "groups").to_dict(),
    }
    calibrated = Predictor(recognizer, engine="torch")
    plain, found = (timeline(m, clips[0], window=0.2) for m in (model, calibrated))
    assert np.allclose(found.probabilities, calibrated.calibrate(plain.probabilities))
    assert not np.allclose(found.probabilities, plain.probabilities)
    assert np.array_equal(found.abstained, found.probabilities.max(axis=1) < 0.6)
    assert not plain.abstained.any()


def test_a_video_shorter_than_a_window(
    make_predictor: Make, make_film: Make, tmp_path: Path
) -> None:
    model = make_predictor()
    for seconds in (0.05, 0.4):
        path: Path = make_film(tmp_path / f"{seconds}.mp4", seconds=seconds)  # type: ignore[assignment]
        found = timeline(model, path)
        assert (found.starts.tolist(), found.ends.tolist()) == ([0], [probe(path).duration])
    fine = timeline(model, path, grid=20).probabilities[0]
    assert np.allclose(fine, model.predict(path).probabilities, atol=1e-5)


def test_shots_may_come_from_elsewhere(make_predictor: Make, long_film: Path) -> None:
    model, info = make_predictor(), probe(long_film)
    expected = timeline(model, long_film)
    request = ShotRequest(tuple(model.encoder.requests), expected.plan.grid)
    found = timeline(model, "elsewhere.mp4", shots=iter_shots(long_film, request), info=info)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert found.video == "elsewhere.mp4"
    with pytest.raises(UsageError, match="info"):
        timeline(model, "elsewhere.mp4", shots=iter(()))
    with pytest.raises(VideoError, match="no frame that can be decoded"):
        timeline(model, "elsewhere.mp4", shots=iter(()), info=info)


@pytest.mark.parametrize("seconds", [1.2, 3.7, 5.8])
def test_frames_that_end_early_end_the_timeline(
    make_predictor: Make, long_film: Path, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The container promised six seconds; windows up to the end are as they would have been."""
    model, info = make_predictor(), probe(long_film)
    whole = timeline(model, long_film, window=1, stride=0.5)
    request = ShotRequest(tuple(model.encoder.requests), whole.plan.grid)
    some = (shot for shot in iter_shots(long_film, request) if shot.seconds < seconds)
    with caplog.at_level(logging.WARNING, logger="frameflow"):
        found = timeline(model, long_film, window=1, stride=0.5, shots=some, info=info)
    assert "frames end after" in caplog.text
    assert found.duration == pytest.approx(seconds, abs=0.5 / whole.plan.grid + 1e-6)
    assert found.ends[-1] == found.duration
    same = int((whole.ends <= found.duration).sum()) - (whole.ends[-1] <= found.duration)
    assert np.allclose(found.probabilities[:same], whole.probabilities[:same], atol=1e-5)


def test_more_frames_than_promised(make_predictor: Make, long_film: Path) -> None:
    model, info = make_predictor(), probe(long_film)
    whole = timeline(model, long_film)
    request = ShotRequest(tuple(model.encoder.requests), whole.plan.grid)
    lying = replace(info, duration=2.0, frames=40)
    found = timeline(model, long_film, shots=iter_shots(long_film, request), info=lying)
    assert np.allclose(found.starts, whole.starts)
    assert np.allclose(found.probabilities, whole.probabilities, atol=1e-5)


def test_cancelling_stops_the_decoding(make_predictor: Make, long_film: Path) -> None:
    model = make_predictor()
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(Cancelled):
        timeline(model, long_film, cancelled=cancelled)
    assert len(asked) == 6
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_a_file_that_is_none(make_predictor: Make, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(VideoError, match="not a video"):
        timeline(make_predictor(), path)
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_ahead_keeps_order_bounds_and_errors() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        try:
            for number in range(100):
                made.append(number)
                yield number
            raise VideoError("v", "ends badly")
        finally:
            made.append(-1)

    items = ahead(numbers(), 4)
    assert [next(items) for _ in range(10)] == list(range(10))
    assert len(made) <= 10 + 4 + 2
    items.close()  # type: ignore[attr-defined]
    assert made[-1] == -1, "what makes them is closed"
    assert len(made) < 20
    again = ahead(numbers(), 4)
    assert [next(again) for _ in range(100)] == list(range(100))
    with pytest.raises(VideoError, match="ends badly"):
        next(again)


def test_the_shots_of_others_are_closed(make_predictor: Make, long_film: Path) -> None:
    closed = []

    def shots() -> Iterator[Shot]:
        request = ShotRequest(tuple(model.encoder.requests), 4.0)
        try:
            yield from iter_shots(long_film, request)
        finally:
            closed.append(True)

    model = make_predictor()
    with pytest.raises(Cancelled):
        timeline(model, long_film, shots=shots(), info=probe(long_film), cancelled=lambda: True)
    assert closed


MEMORY = """
import resource, sys
from pathlib import Path
from frameflow.inference.predictor import load
from frameflow.inference.timeline import timeline
model = load({run!r}, engine="torch")
found = timeline(model, {video!r}, window=8, stride=2, grid=4)
print(len(found.starts), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(
    run: Path, make_film: Callable[..., Path], tmp_path: Path
) -> None:
    """Ten minutes and two hours of it, packets repeated, each in a process of its own."""
    import imageio_ffmpeg

    minute = make_film(tmp_path / "minute.mp4", seconds=60, rate=30)
    peaks = []
    for minutes in (10, 120):
        video = tmp_path / f"{minutes}.mp4"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", str(minutes - 1)]
        subprocess.run([*command, "-i", str(minute), "-c", "copy", str(video)], check=True)
        script = MEMORY.format(run=str(run), video=str(video))
        said = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
        windows, peak = said.split()
        assert int(windows) == pytest.approx(minutes * 30 - 3, abs=1)
        peaks.append(float(peak))
    assert peaks[1] < 1.1 * peaks[0], peaks
    assert peaks[1] < 1000
