"""Where windows lie, and how long they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.config import Sampling, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.inference.timeline.plan import (
    ENDING,
    SECONDS,
    WindowPlan,
    cells,
    measure_clips,
    on_grid,
    plan_windows,
    regular_window,
    regular_windows,
    window_spans,
)
from frameflow.models.recognizer import Recognizer, build_recognizer
from frameflow.video.write import write_video

LENGTHS = st.floats(0.05, 20)
PLANS = st.builds(
    WindowPlan, length=LENGTHS, stride=LENGTHS, grid=st.floats(0.5, 60), ending=st.booleans()
)


@given(plan=PLANS, duration=st.floats(0.01, 100))
def test_windows_cover_a_video_and_end_with_it(plan: WindowPlan, duration: float) -> None:
    starts, ends = window_spans(plan, duration)
    assert len(starts) == len(ends) >= 1
    assert starts[0] == 0 or (plan.ending and plan.stride > plan.length)
    assert (np.diff(starts) >= 0).all()
    assert (np.diff(ends) > 0).all()
    assert ends[-1] == pytest.approx(duration, abs=1e-5)
    assert (starts >= 0).all()
    assert (ends - starts <= plan.length + 1e-5).all()
    if duration >= plan.length:
        assert ends[-1] - starts[-1] == pytest.approx(plan.length, abs=1e-4)
    if not plan.ending:
        assert (np.diff(starts) <= plan.stride + 1e-5).all()
        assert (ends - starts >= min(plan.length, duration) - 1e-5).all()
    if plan.stride <= plan.length:
        assert (starts[1:] <= ends[:-1] + 1e-5).all(), "no moment is left out"


@given(plan=PLANS, duration=st.floats(0.01, 100), share=st.floats(0.01, 1))
def test_windows_of_a_shorter_video_are_the_first_ones(
    plan: WindowPlan, duration: float, share: float
) -> None:
    count = regular_windows(plan, duration * share)
    longer = regular_windows(plan, duration)
    assert count <= longer
    spans = list(zip(*window_spans(plan, duration)))[:count]
    assert spans == [regular_window(plan, k) for k in range(count)]


@given(grid=st.floats(0.5, 60), start=st.floats(0, 50), length=st.floats(0.001, 20))
def test_moments_of_a_window_lie_in_it(grid: float, start: float, length: float) -> None:
    first, last = cells(grid, start, start + length)
    assert 0 <= first <= last
    if last > first:
        middles = (np.arange(first, last + 1) + 0.5) / grid
        assert middles[0] >= start - 1e-4
        assert middles[-1] < start + length + 1e-4
        assert abs((last - first + 1) - length * grid) <= 1 + 1e-3
    else:  # the one of the cell in which it lies
        assert first / grid <= start + length + 1e-4
        assert (last + 1) / grid >= start - 1e-4


def test_cells_next_to_each_other_share_nothing() -> None:
    assert cells(8, 0, 2) == (0, 15)
    assert cells(8, 2, 4) == (16, 31)
    assert cells(8, 0.51, 0.52) == (4, 4), "shorter than a cell"


def recognizer(*overrides: str, **extra: object) -> Recognizer:
    tiny = ["streams.0.backbone=resnet10t", "streams.0.weights=none", "streams.0.size=32"]
    made = build_recognizer(
        load_recipe("default", [*tiny, "head.name=mean", *overrides]), ["a", "b"]
    )
    made.extra = dict(extra)
    return made


@pytest.mark.parametrize(
    ("overrides", "extra", "expected"),
    [
        # 16 frames over 2 s, as training saw them
        ((), {SECONDS: 2.0}, (2.0, 0.5, 8.0)),
        # never more than the video has
        ((), {SECONDS: 0.4}, (0.4, 0.1, 25.0)),
        # sixteen frames in a row, of whatever length the clips were
        (("sampling.strategy=dense",), {SECONDS: 9.0}, (0.64, 0.16, 25.0)),
        (("sampling.strategy=dense", "sampling.stride=5"), {}, (3.2, 0.8, 5.0)),
        (("sampling.strategy=first", "sampling.spacing=0.25"), {}, (4.0, 1.0, 4.0)),
        # a stream that looks more slowly needs a longer window
        (("sampling.strategy=dense", "streams.0.pace=4"), {}, (2.56, 0.64, 25.0)),
        # frames that end at one, whatever the strategy says
        ((), {ENDING: True}, (0.64, 0.16, 25.0)),
    ],
)
def test_default_windows(
    overrides: tuple[str, ...], extra: dict[str, object], expected: tuple[float, float, float]
) -> None:
    plan = plan_windows(recognizer(*overrides, **extra), 25.0)
    assert (plan.length, plan.stride, plan.grid) == pytest.approx(expected)
    assert plan.ending == (ENDING in extra)


def test_what_is_given_goes_before() -> None:
    plan = plan_windows(recognizer(), 25.0, window=4, stride=1.5, grid=6)
    assert plan == WindowPlan(4, 1.5, 6)
    assert plan_windows(recognizer(), 25.0, window=4).grid == 4


@pytest.mark.parametrize("given_", [{"window": 0}, {"stride": -1}, {"grid": 0}, {"window": np.nan}])
def test_numbers_out_of_range(given_: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"must be > 0"):
        plan_windows(recognizer(clip_seconds=2.0), 25.0, **given_)


def test_an_older_run_is_measured(run: Path) -> None:
    made = Recognizer.load(run)
    assert SECONDS not in made.extra
    assert plan_windows(made, 25.0).length == pytest.approx(12 / 25)
    for clip in (run.parent / "clips").iterdir():
        clip.unlink()
    assert plan_windows(made, 25.0).length == pytest.approx(12 / 25), "it is remembered"
    again = Recognizer.load(run)
    with pytest.raises(UsageError, match="say --window SECONDS"):
        plan_windows(again, 25.0)
    assert plan_windows(again, 25.0, window=3).length == 3


def test_an_older_run_of_labelled_frames(run: Path) -> None:
    manifest = Manifest.read(run / "manifest.csv")
    samples = [replace(sample, frame=str(n)) for n, sample in enumerate(manifest)]
    manifest.replace(samples).write(run / "manifest.csv")
    plan = plan_windows(Recognizer.load(run), 25.0)
    assert plan.ending
    assert plan.length == pytest.approx(4 / 25)


def test_one_made_in_memory_says_so() -> None:
    with pytest.raises(UsageError, match="say --window SECONDS"):
        plan_windows(recognizer(), 25.0)


def test_lengths_are_spans_or_those_of_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", np.zeros((50, 32, 32, 3), np.uint8))
    samples = [
        Sample("a.mp4", "x", split="train"),  # 2 s
        Sample("a.mp4", "x", split="train", start=0.5),  # 1.5 s
        Sample("gone.mp4", "x", split="train", start=1.0, end=1.75),
        Sample("gone.mp4", "x", split="train"),  # nobody knows
        Sample("a.mp4", "x", split="test", start=0, end=0.1),
    ]
    assert measure_clips(Manifest(samples, tmp_path)) == {SECONDS: 1.5}
    assert measure_clips(Manifest(samples[3:4], tmp_path)) == {}


def test_frame_labels_are_recorded_as_such(tmp_path: Path) -> None:
    samples = [Sample("a", "x", split="train", frame=str(n)) for n in range(3)]
    assert measure_clips(Manifest(samples, tmp_path)) == {ENDING: True}


def test_many_videos_are_sampled(tmp_path: Path) -> None:
    samples = [Sample("gone", "x", split="train", start=0, end=1 + n) for n in range(2001)]
    assert measure_clips(Manifest(samples, tmp_path))[SECONDS] == pytest.approx(1001, abs=10)


def test_strides_become_seconds() -> None:
    assert on_grid(Sampling(strategy="dense", stride=5), 25.0).spacing == 0.2
    spaced = Sampling(strategy="dense", spacing=0.3)
    assert on_grid(spaced, 25.0) == spaced
    assert on_grid(Sampling(), 25.0).spacing is None
    assert on_grid(Sampling(), 25.0, ending=True).spacing == 0.04


def test_training_records_how_long_its_clips_are(small_run: Path) -> None:
    made = Recognizer.load(small_run)
    assert made.extra[SECONDS] == pytest.approx(1.0), "twelve frames of twelve a second"
    assert plan_windows(made, 12.0) == WindowPlan(1.0, 0.25, 4.0)
