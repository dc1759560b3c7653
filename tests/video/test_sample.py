"""The laws of the samplers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameflow.config import Sampling
from frameflow.errors import UsageError
from frameflow.video.sample import (
    ClipIndices,
    clip_indices,
    clip_offsets,
    ending_indices,
    span_frames,
)

STRATEGIES = ["uniform", "segments", "dense", "first"]
RATES = st.sampled_from([12.0, 24000 / 1001, 25.0, 29.97, 50.0, 60.0, 120.0])


@st.composite
def requests(draw: st.DrawFn) -> dict:
    """Any request that is allowed, in test (rng None) or in training."""
    frames = draw(st.integers(1, 400))
    first = draw(st.integers(0, frames - 1))
    views = draw(st.integers(1, 5))
    seed = draw(st.none() | st.integers(0, 99))
    return {
        "frames": frames,
        "sampling": Sampling(
            strategy=draw(st.sampled_from(STRATEGIES)),
            frames=draw(st.integers(1, 40)),
            stride=draw(st.integers(1, 9)),
            spacing=draw(st.none() | st.floats(0.001, 2.0)),
        ),
        "rate": draw(RATES),
        "views": views,
        "view": draw(st.integers(0, views - 1)),
        "rng": None if seed is None else np.random.default_rng(seed),
        "first": first,
        "last": draw(st.none() | st.integers(first, frames - 1)),
        "pace": 1,
    }


@st.composite
def paced_requests(draw: st.DrawFn) -> dict:
    """Any request that is allowed, some of them slower."""
    request = draw(requests())
    slow = request["sampling"].strategy in ("dense", "first")
    return {**request, "pace": draw(st.integers(1, 4)) if slow else 1}


def _span_length(request: dict) -> int:
    last = request["frames"] - 1 if request["last"] is None else request["last"]
    return last - request["first"] + 1


@given(paced_requests())
def test_every_clip_is_sorted_in_range_and_of_the_asked_length(request: dict) -> None:
    clip = clip_indices(**request)
    length, last = request["sampling"].frames, request["first"] + _span_length(request) - 1
    assert clip.indices.shape == clip.mask.shape == (length,)
    assert clip.indices.dtype == np.int64
    assert clip.mask.dtype == bool
    assert (np.diff(clip.indices) >= 0).all()
    assert clip.indices.min() >= request["first"]
    assert clip.indices.max() <= last
    assert clip.mask.any()


@given(paced_requests())
def test_only_first_pads_and_only_at_the_end(request: dict) -> None:
    clip = clip_indices(**request)
    if request["sampling"].strategy != "first":
        assert clip.mask.all()
    assert (np.diff(clip.mask.astype(int)) <= 0).all()


@given(paced_requests(), st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_clip(request: dict, seed: int) -> None:
    once, again = (
        clip_indices(**{**request, "rng": np.random.default_rng(seed)}) for _ in range(2)
    )
    assert (once.indices == again.indices).all()
    assert (once.mask == again.mask).all()


@given(paced_requests())
def test_a_span_is_sampled_like_a_video_of_its_own(request: dict) -> None:
    request["rng"] = None
    alone = clip_indices(
        **{**request, "frames": _span_length(request), "first": 0, "last": None},
    )
    within = clip_indices(**request)
    assert (within.indices - request["first"] == alone.indices).all()
    assert (within.mask == alone.mask).all()


@given(st.sampled_from(["uniform", "segments"]), st.integers(1, 30), st.integers(1, 5), st.data())
def test_views_of_a_grid_share_no_frame_where_there_are_enough(
    strategy: str, length: int, views: int, data: st.DataObject
) -> None:
    frames = data.draw(st.integers(length * views, 3 * length * views))
    sampling = Sampling(strategy=strategy, frames=length)
    seen = [clip_indices(frames, sampling, view=v, views=views).indices for v in range(views)]
    assert len(np.unique(np.concatenate(seen))) == length * views


@given(st.sampled_from(["dense", "first"]), st.integers(1, 20), st.integers(1, 4), st.data())
def test_views_of_a_dilated_clip_start_evenly_from_the_beginning_to_the_end(
    strategy: str, length: int, stride: int, data: st.DataObject
) -> None:
    views = data.draw(st.integers(2, 6))
    span = (length - 1) * stride + 1
    frames = data.draw(st.integers(span + views - 1, span + 200))
    sampling = Sampling(strategy=strategy, frames=length, stride=stride)
    clips = [clip_indices(frames, sampling, view=v, views=views) for v in range(views)]
    starts = np.array([clip.indices[0] for clip in clips])
    assert starts[0] == 0
    assert clips[-1].indices[-1] == frames - 1
    assert np.ptp(np.diff(starts)) <= 1
    assert len(set(starts.tolist())) == views
    assert all(clip.mask.all() for clip in clips)


@given(st.sampled_from(["dense", "first"]), st.integers(2, 5), st.integers(0, 99), st.data())
def test_a_pace_multiplies_the_span_around_the_same_middle(
    strategy: str, pace: int, seed: int, data: st.DataObject
) -> None:
    length, stride = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    sampling = Sampling(strategy=strategy, frames=length, stride=stride)
    span = (length - 1) * stride
    frames = data.draw(st.integers(pace * span + 1, pace * span + 100))
    views, rng = data.draw(st.integers(1, 4)), data.draw(st.booleans())
    options = {"view": data.draw(st.integers(0, views - 1)), "views": views}
    usual, slower = (
        clip_indices(
            frames,
            sampling,
            pace=factor,
            rng=np.random.default_rng(seed) if rng else None,
            **options,
        )
        for factor in (1, pace)
    )
    assert slower.mask.all()
    assert np.ptp(slower.indices) == pace * np.ptp(usual.indices)
    moved = (slower.indices[0] + slower.indices[-1]) - (usual.indices[0] + usual.indices[-1])
    at_an_end = slower.indices[0] == 0 or slower.indices[-1] == frames - 1
    assert abs(moved) <= 1 or at_an_end


@given(st.integers(1, 30), st.integers(1, 300), st.integers(0, 99))
def test_segments_in_training_keep_to_their_segment(length: int, frames: int, seed: int) -> None:
    sampling = Sampling(strategy="segments", frames=length)
    indices = clip_indices(frames, sampling, rng=np.random.default_rng(seed)).indices
    for i, index in enumerate(indices):
        begin, end = i * frames // length, (i + 1) * frames // length
        assert begin <= index < max(end, begin + 1)
    if frames >= length:
        assert len(np.unique(indices)) == length


def test_segments_in_training_reach_every_frame() -> None:
    sampling = Sampling(strategy="segments", frames=3)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([clip_indices(10, sampling, rng=rng).indices for _ in range(200)])
    assert set(drawn.tolist()) == set(range(10))


def test_dense_in_training_reaches_every_start() -> None:
    sampling = Sampling(strategy="dense", frames=4, stride=2)  # a span of 7 in 10 frames
    rng = np.random.default_rng(0)
    starts = {int(clip_indices(10, sampling, rng=rng).indices[0]) for _ in range(200)}
    assert starts == {0, 1, 2, 3}


@given(
    st.sampled_from(["dense", "first"]),
    st.integers(1, 24),
    st.floats(0.02, 1.0),
    RATES,
    RATES,
    st.floats(2.0, 30.0),
)
def test_spacing_in_seconds_means_the_same_at_any_rate(
    strategy: str, length: int, spacing: float, one: float, other: float, duration: float
) -> None:
    sampling = Sampling(strategy=strategy, frames=length, spacing=spacing, stride=7)
    clips = [clip_indices(round(duration * r), sampling, rate=r) for r in (one, other)]
    seconds = [clip.indices / r for clip, r in zip(clips, (one, other), strict=True)]
    # a frame at either end, and half a frame where a moment falls between two
    assert np.abs(seconds[0] - seconds[1]).max() <= 2.0 / min(one, other) + 1e-9


@given(st.integers(1, 60), st.floats(0.001, 3.0), RATES)
def test_rounding_of_a_spacing_never_adds_up(length: int, spacing: float, rate: float) -> None:
    offsets = clip_offsets(Sampling(frames=length, spacing=spacing), rate=rate)
    exact = np.arange(length) * spacing * rate
    assert np.abs(offsets - exact).max() <= 0.5 + 1e-6


@given(paced_requests(), st.data())
def test_a_clip_that_ends_at_a_frame_sees_nothing_after_it(
    request: dict, data: st.DataObject
) -> None:
    frames, first, sampling = request["frames"], request["first"], request["sampling"]
    end, pace = data.draw(st.integers(first, frames - 1)), request["pace"]
    clip = ending_indices(frames, sampling, end=end, rate=request["rate"], first=first, pace=pace)
    assert clip.indices.shape == (sampling.frames,)
    assert clip.indices[-1] == end
    assert clip.mask[-1]
    assert (np.diff(clip.indices) >= 0).all()
    assert clip.indices.min() >= first
    assert (np.diff(clip.mask.astype(int)) >= 0).all()  # padded at the front only
    offsets = clip_offsets(sampling, rate=request["rate"], pace=pace)
    assert clip.mask.sum() == (end - offsets >= first).sum()


@given(st.integers(1, 500), RATES, st.floats(0, 0.999), st.none() | st.floats(0.001, 9))
def test_a_span_in_seconds_holds_the_frames_it_shows(
    frames: int, rate: float, share: float, length: float | None
) -> None:
    start = share * (frames / rate)
    end = None if length is None else start + length
    first, last = span_frames(frames, rate, start=start, end=end)
    assert 0 <= first <= last < frames
    slack = 0.02 / rate
    assert first / rate >= start - 1 / rate - slack
    if last > first:
        assert first / rate >= start - slack
        assert end is None or last / rate < end
        assert end is None or last == frames - 1 or (last + 1) / rate >= end - slack


# frames, sampling, options, indices, mask
TABLE = [
    # uniform: the middles of four parts of 20
    (80, Sampling(frames=4), {}, [10, 30, 50, 70], None),
    # two views are half a step apart, around the same middles
    (80, Sampling(frames=4), {"view": 0, "views": 2}, [5, 25, 45, 65], None),
    (80, Sampling(frames=4), {"view": 1, "views": 2}, [15, 35, 55, 75], None),
    # three frames for five places: each shown, some twice
    (3, Sampling(frames=5), {}, [0, 0, 1, 2, 2], None),
    # a span of ten in the centre
    (20, Sampling(strategy="dense", frames=4, stride=3), {}, [5, 8, 11, 14], None),
    # dense holds the last frame
    (5, Sampling(strategy="dense", frames=4, stride=3), {}, [0, 3, 4, 4], None),
    # first pads
    (5, Sampling(strategy="first", frames=4, stride=3), {}, [0, 3, 4, 4], [1, 1, 0, 0]),
    # half a second at 25 a second: 12.5 frames, each rounded from its own time
    (99, Sampling(strategy="first", frames=4, spacing=0.5), {"rate": 25.0}, [0, 13, 25, 38], None),
    # half the pace: the same middle, 12.5; from the first frame where there is none before
    (26, Sampling(strategy="dense", frames=4, stride=3), {"pace": 2}, [3, 9, 15, 21], None),
    (26, Sampling(strategy="first", frames=4, stride=3), {"pace": 2}, [0, 6, 12, 18], None),
    # a pace too slow for the span: dense holds the last frame, first pads
    (9, Sampling(strategy="dense", frames=3, stride=3), {"pace": 2}, [0, 6, 8], None),
    (9, Sampling(strategy="first", frames=3, stride=3), {"pace": 2}, [0, 6, 8], [1, 1, 0]),
    (1, Sampling(frames=3), {}, [0, 0, 0], None),
    (50, Sampling(frames=2), {"first": 10, "last": 29}, [15, 25], None),
]


@pytest.mark.parametrize(("frames", "sampling", "options", "indices", "mask"), TABLE)
def test_known_clips(
    frames: int, sampling: Sampling, options: dict, indices: list[int], mask: list[int] | None
) -> None:
    clip = clip_indices(frames, sampling, **options)
    assert isinstance(clip, ClipIndices)
    assert clip.indices.tolist() == indices
    assert clip.mask.astype(int).tolist() == (mask or [1] * len(indices))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (0, 99)),
        (1.0, 2.0, (25, 49)),  # 2.0 s is the first frame of the next span
        (0.04, 0.08, (1, 1)),  # one frame
        (0.05, 0.06, (1, 1)),  # between two frames: the one on screen
        (3.9, 99.0, (98, 99)),  # an end behind the end of the video
    ],
)
def test_known_spans(start: float | None, end: float | None, expected: tuple[int, int]) -> None:
    assert span_frames(100, 25.0, start=start, end=end) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames (0) must be > 0"),
        ({"first": 10}, "first (10) must be >= 0 and < frames (10)"),
        ({"first": 4, "last": 3}, "last (3) must be >= first (4) and < frames (10)"),
        ({"last": 10}, "last (10) must be >= first (0) and < frames (10)"),
        ({"views": 0}, "views (0) must be > 0"),
        ({"view": 2, "views": 2}, "view (2) must be >= 0 and < views (2)"),
        ({"pace": 0}, "pace (0) must be > 0"),
        ({"pace": 2}, "pace (2) needs strategy dense or first, not uniform"),
        ({"sampling": Sampling(strategy="dense", spacing=0.1)}, "spacing (0.1) is in seconds"),
        (
            {"sampling": Sampling(strategy="dense", spacing=0.1), "rate": 0.0},
            "rate (0.0) must be > 0 and finite",
        ),
    ],
)
def test_a_wrong_number_is_repeated(options: dict, message: str) -> None:
    with pytest.raises(UsageError) as error:
        clip_indices(**{"frames": 10, "sampling": Sampling(), **options})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-1.0, None, "start (-1.0) must be >= 0 and < 4"),
        (4.0, None, "start (4.0) must be >= 0 and < 4"),
        (2.0, 2.0, "end (2.0) must be > start (2)"),
    ],
)
def test_a_wrong_span_is_repeated(start: float, end: float | None, message: str) -> None:
    with pytest.raises(UsageError) as error:
        span_frames(100, 25.0, start=start, end=end)
    assert message in str(error.value)


def test_a_clip_cannot_end_outside_the_video() -> None:
    with pytest.raises(UsageError) as error:
        ending_indices(10, Sampling(), end=10)
    assert "end (10) must be >= 0 and < 10" in str(error.value)


def test_a_span_follows_the_times_where_the_rate_varies() -> None:
    times = np.array([0.0, 0.1, 0.2, 1.0, 2.0, 3.0])
    assert span_frames(6, 2.0, start=0.1, end=1.0, times=times) == (1, 2)
    assert span_frames(6, 2.0, start=0.5, end=0.9, times=times) == (2, 2)
    assert span_frames(6, 2.0, start=3.2, times=times) == (5, 5)
