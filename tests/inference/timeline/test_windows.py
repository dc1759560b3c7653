"""What windows look at, and that they see what a clip of the same span shows."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import Sampling
from frameflow.features.encode import ClipEncoder
from frameflow.features.engines import Engine
from frameflow.inference.predictor import Predictor
from frameflow.inference.timeline.grid import Moments
from frameflow.inference.timeline.plan import WindowPlan, window_spans
from frameflow.inference.timeline.shots import Shot, ShotRequest, iter_shots
from frameflow.inference.timeline.windows import (
    SlidingWindows,
    Windows,
    classify_windows,
    window_picks,
)
from frameflow.video.clip import ClipRequest


class Encoder:
    """As much of an encoder as picking asks for."""

    def __init__(self, sampling: Sampling, *, views: int = 1, pace: int = 1) -> None:
        self.sampling = sampling
        self.requests = [ClipRequest(sampling, views=views, pace=pace)]


SAMPLINGS = st.one_of(
    st.builds(
        Sampling, strategy=st.sampled_from(["uniform", "segments"]), frames=st.integers(1, 40)
    ),
    st.builds(
        Sampling,
        strategy=st.sampled_from(["dense", "first"]),
        frames=st.integers(1, 40),
        stride=st.integers(1, 6),
        spacing=st.one_of(st.none(), st.floats(0.01, 2)),
    ),
)


@given(
    sampling=SAMPLINGS,
    views=st.integers(1, 4),
    ending=st.booleans(),
    grid=st.floats(0.5, 60),
    start=st.floats(0, 100),
    length=st.floats(0.01, 10),
)
def test_every_moment_of_a_window_lies_in_it(
    sampling: Sampling, views: int, ending: bool, grid: float, start: float, length: float
) -> None:
    plan = WindowPlan(length, length, grid, ending=ending)
    encoder: ClipEncoder = Encoder(sampling, views=views)  # type: ignore[assignment]
    ((moments, mask),) = window_picks(encoder, plan, 30.0, start, start + length)
    assert moments.shape == mask.shape == (views, sampling.frames)
    assert (np.diff(moments, axis=1) >= 0).all()
    assert mask.any(axis=1).all()
    middles = (np.unique(moments) + 0.5) / grid
    if len(middles) > 1:
        assert middles[0] >= start - 1e-4
        assert middles[-1] < start + length + 1e-4
    else:
        assert abs(middles[0] - (start + length / 2)) <= length / 2 + 0.5 / grid + 1e-4
    if ending:
        assert mask[:, -1].all(), "the end is what it speaks for"


@given(frames=st.integers(1, 32), start=st.integers(0, 1000))
def test_as_many_moments_as_frames_are_each_looked_at_once(frames: int, start: int) -> None:
    plan = WindowPlan(2.0, 0.5, frames / 2)
    encoder: ClipEncoder = Encoder(Sampling(frames=frames))  # type: ignore[assignment]
    begin = start / plan.grid
    ((moments, mask),) = window_picks(encoder, plan, 30.0, begin, begin + 2.0)
    assert moments[0].tolist() == list(range(start, start + frames))
    assert mask.all()


def test_frames_a_stride_apart_lie_as_far_apart_on_the_grid() -> None:
    encoder: ClipEncoder = Encoder(Sampling(strategy="dense", frames=4, stride=5), pace=2)  # type: ignore[assignment]
    ((moments, _),) = window_picks(encoder, WindowPlan(4, 1, 10), 25.0, 0, 4)
    assert np.diff(moments[0]).tolist() == [4, 4, 4], "ten frames of 25 a second: 0.4 s"


@pytest.fixture(scope="module")
def film(long_film: Path) -> Path:
    return long_film


@pytest.fixture(scope="module")
def model(make_predictor: Callable[..., Predictor]) -> Predictor:
    return make_predictor()


def shots_of(film: Path, model: Predictor, grid: float) -> Iterator[Shot]:
    return iter_shots(film, ShotRequest(tuple(model.encoder.requests), grid))


SIZE, RATE = (64, 48), 20.0
PLAN = WindowPlan(1.0, 0.25, 8.0)


def sliding(model: Predictor, plan: WindowPlan, shots: Sequence[Shot], batch: int) -> np.ndarray:
    windows = SlidingWindows(model, plan, RATE, SIZE, batch=batch, duration=6.0)
    return np.concatenate([*map(windows.add, shots), windows.finish(6.0)])


@pytest.mark.parametrize("batch", [1, 64])
def test_a_window_is_a_clip_whatever_the_batches(film: Path, model: Predictor, batch: int) -> None:
    plan = WindowPlan(1.0, 0.25, RATE)
    found = sliding(model, plan, list(shots_of(film, model, RATE)), batch)
    starts, ends = window_spans(plan, 6.0)
    assert len(found) == len(starts) == 21
    for start, end, row in list(zip(starts, ends, found))[::4]:
        clips = model.encoder.read(film, start=start, end=end)
        assert np.allclose(row, model.from_clips("", clips).probabilities, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 0.1, "windows differ"


@settings(max_examples=8, deadline=None)
@given(length=st.floats(0.1, 8), stride=st.floats(0.2, 4), batch=st.integers(1, 64))
def test_sliding_windows_are_those_of_the_plan(
    film: Path, model: Predictor, whole: Moments, length: float, stride: float, batch: int
) -> None:
    plan = WindowPlan(length, stride, 8.0)
    found = sliding(model, plan, _shots(film, model), batch)
    known = Windows(model, plan, RATE, SIZE)
    known.moments = whole
    spans = list(zip(*map(np.ndarray.tolist, window_spans(plan, 6.0))))
    assert np.allclose(found, known.classify(spans), atol=1e-6)


_KEPT: list[Shot] = []


def _shots(film: Path, model: Predictor) -> list[Shot]:
    if not _KEPT:
        _KEPT.extend(shots_of(film, model, 8.0))
    return _KEPT


@pytest.fixture(scope="module")
def whole(film: Path, model: Predictor) -> Moments:
    """All moments of the film, none forgotten."""
    moments = Moments(model.encoder, SIZE)
    for shot in _shots(film, model):
        moments.add(shot)
    moments.flush()
    return moments


def count_frames(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the backbone sees."""
    seen: list[int] = []
    (engine,) = model.encoder.engines
    real = type(engine).__call__

    def counted(own: Engine, frames: np.ndarray) -> np.ndarray:
        seen.append(len(frames))
        return real(own, frames)

    monkeypatch.setattr(type(engine), "__call__", counted)
    return seen


def test_a_moment_is_computed_once(
    film: Path, model: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = _shots(film, model)
    seen = count_frames(model, monkeypatch)
    sliding(model, WindowPlan(2.0, 0.05, 8.0), shots, 16)
    assert 44 <= sum(seen) <= 48, "six seconds of eight moments, however much windows overlap"
    assert max(seen) == 16


def test_what_no_window_looks_at_is_not_computed(
    film: Path, model: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shots = _shots(film, model)
    seen = count_frames(model, monkeypatch)
    sliding(model, WindowPlan(1.0, 2.0, 8.0), shots, 1)  # 0-1, 2-3, 4-5 and the last, 5-6
    assert sum(seen) == 4 * 4, "four frames of each"


def test_only_the_newest_moments_are_kept(film: Path, model: Predictor) -> None:
    windows = SlidingWindows(model, WindowPlan(1.0, 0.25, 8.0), RATE, SIZE, batch=1, duration=6.0)
    kept = []
    for shot in _shots(film, model):
        windows.add(shot)
        kept.append(len(windows.moments))
    assert max(kept) <= 8 + 2 + 2


def test_spans_of_ones_own(film: Path, model: Predictor, whole: Moments) -> None:
    """A window around each frame, as --per-frame asks for; the same moments are seen once."""
    spans = [(max(0.0, at - 0.5), at + 0.5) for at in np.arange(0, 7, 0.05).tolist()]
    plan = WindowPlan(1.0, 0.05, 8.0)
    windows = Windows(model, plan, RATE, SIZE, batch=4)
    found = np.stack(list(classify_windows(windows, _shots(film, model), spans)))
    assert found.shape == (140, 3)
    assert len(windows.moments) < 20
    known = Windows(model, plan, RATE, SIZE)
    known.moments = whole
    assert np.allclose(found, known.classify(spans), atol=1e-6)


def test_no_window_is_no_row(model: Predictor) -> None:
    assert Windows(model, PLAN, RATE, SIZE).classify([]).shape == (0, 3)


def test_nothing_was_read(model: Predictor) -> None:
    moments = Moments(model.encoder, SIZE)
    with pytest.raises(LookupError):
        moments.features(window_picks(model.encoder, PLAN, RATE, 0.0, 1.0))
