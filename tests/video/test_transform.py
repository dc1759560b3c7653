"""The geometry of fitting frames to a size, and the pixels that follow from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from frameflow.data.manifest import Region
from frameflow.errors import UsageError
from frameflow.video.transform import (
    Plan,
    apply_plan,
    flip,
    grey,
    plan_fit,
    region_of_interest,
    resize,
)

SIDES = st.integers(1, 1200)
SIZES = st.integers(1, 320)
FITS = st.sampled_from(["crop", "letterbox", "squash", "crops"])


@st.composite
def regions(draw: st.DrawFn) -> Region:
    x, y = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    return Region(x, y, draw(st.floats(0.01, 1)) * (1 - x), draw(st.floats(0.01, 1)) * (1 - y))


def _decoded(plan: Plan, width: int, height: int) -> tuple[int, int]:
    return plan.decode or (width, height)


def _picture(width: int, height: int) -> np.ndarray:
    """Red grows to the right and green downwards, so a pixel says where it comes from."""
    frame = np.zeros((1, height, width, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 255, width)[None, :]
    frame[..., 1] = np.linspace(0, 255, height)[:, None]
    return frame


def _fitted(frames: np.ndarray, **options: object) -> list[np.ndarray]:
    height, width = frames.shape[1:3]
    plan = plan_fit(width, height, **options)
    return apply_plan(resize(frames, _decoded(plan, width, height)), plan)


@given(SIDES, SIDES, SIZES, SIZES, FITS, st.integers(1, 6), st.none() | regions())
def test_every_box_lies_in_the_frame_and_every_crop_has_the_size(
    width: int, height: int, w: int, h: int, fit: str, crops: int, region: Region | None
) -> None:
    plan = plan_fit(width, height, size=(w, h), fit=fit, crops=crops, region=region)
    assert len(plan.boxes) == (crops if fit == "crops" else 1)
    wide, high = _decoded(plan, width, height)
    left, top, right, bottom = plan.pad
    for x, y, bw, bh in plan.boxes:
        assert 0 <= x <= x + bw <= wide
        assert 0 <= y <= y + bh <= high
        inner = plan.scale or (bw, bh)
        assert (inner[0] + left + right, inner[1] + top + bottom) == (w, h) == plan.size
    assert min(plan.pad) >= 0
    assert fit == "letterbox" or plan.pad == (0, 0, 0, 0)


@given(SIDES, SIDES, SIZES, FITS, st.none() | regions())
def test_decoding_never_makes_many_times_the_pixels_of_frame_and_result(
    width: int, height: int, side: int, fit: str, region: Region | None
) -> None:
    plan = plan_fit(width, height, size=side, fit=fit, region=region)
    wide, high = _decoded(plan, width, height)
    assert wide * high <= max(width * height, 4 * len(plan.boxes) * side * side)


@given(st.integers(64, 1920), st.integers(64, 1920), st.integers(32, 320))
def test_a_crop_fills_the_short_side_keeps_the_aspect_and_is_central(
    width: int, height: int, side: int
) -> None:
    plan = plan_fit(width, height, size=side)
    wide, high = _decoded(plan, width, height)
    (x, y, bw, bh) = plan.boxes[0]
    scaled = bw / wide * width, bh / high * height  # what is cut, in px of the source
    assert min(scaled[0] / width, scaled[1] / height) <= 1
    assert max(scaled[0] / width, scaled[1] / height) == pytest.approx(1)
    assert scaled[0] / scaled[1] == pytest.approx(1, abs=1.5 / min(bw, bh))
    assert abs(x - (wide - bw - x)) <= 1
    assert abs(y - (high - bh - y)) <= 1


@given(st.integers(32, 1920), st.integers(32, 1920), st.integers(32, 320))
def test_letterbox_shows_all_keeps_the_aspect_and_pads_evenly(
    width: int, height: int, side: int
) -> None:
    plan = plan_fit(width, height, size=side, fit="letterbox")
    (box,) = plan.boxes
    assert box == (0, 0, *_decoded(plan, width, height))
    w, h = plan.scale or box[2:]
    assert max(w, h) == side
    assert abs(w - side * min(1, width / height)) <= 1
    assert abs(h - side * min(1, height / width)) <= 1
    left, top, right, bottom = plan.pad
    assert 0 <= right - left <= 1
    assert 0 <= bottom - top <= 1


@given(st.integers(32, 800), st.integers(32, 800), st.integers(16, 224), st.integers(2, 7))
def test_crops_reach_both_ends_are_evenly_spread_and_cover_when_there_are_enough(
    width: int, height: int, side: int, crops: int
) -> None:
    plan = plan_fit(width, height, size=side, fit="crops", crops=crops)
    wide, high = _decoded(plan, width, height)
    along = 0 if width >= height else 1
    length, cut = (wide, high)[along], plan.boxes[0][2 + along]
    starts = np.array([box[along] for box in plan.boxes])
    assert starts[0] == 0
    assert starts[-1] + cut == length
    assert np.ptp(np.diff(starts)) <= 1
    assert len({box[1 - along] for box in plan.boxes}) == 1
    if crops * cut >= length + crops:
        assert (np.diff(starts) <= cut).all()  # no strip between two crops is missed


def test_one_of_the_crops_is_the_centre_crop() -> None:
    options = {"size": 224, "region": Region(0.1, 0.1, 0.8, 0.5)}
    centre = plan_fit(640, 480, fit="crop", **options)
    assert plan_fit(640, 480, fit="crops", crops=1, **options) == centre
    assert plan_fit(640, 480, fit="crops", crops=3, **options).boxes[1] == centre.boxes[0]


@given(SIDES, SIDES, SIZES, SIZES)
def test_squash_shows_all_of_the_frame(width: int, height: int, w: int, h: int) -> None:
    plan = plan_fit(width, height, size=(w, h), fit="squash")
    assert _decoded(plan, width, height) == (w, h)
    assert plan.boxes == ((0, 0, w, h),)


@given(FITS, st.integers(20, 900), st.integers(20, 900), st.integers(8, 300))
def test_the_whole_frame_as_region_changes_nothing(
    fit: str, width: int, height: int, side: int
) -> None:
    whole = plan_fit(width, height, size=side, fit=fit, region=Region(0, 0, 1, 1))
    assert whole == plan_fit(width, height, size=side, fit=fit)


# (x, y, w, h) of the region; small ones are cut before they are enlarged
@pytest.mark.parametrize(
    "shares", [(0.5, 0.25, 0.25, 0.5), (0.0, 0.0, 0.5, 1.0), (0.9, 0.9, 0.1, 0.1)]
)
@pytest.mark.parametrize("size", [(48, 48), (64, 32)])
def test_only_the_region_is_shown_and_squashed_it_fills_the_picture(
    shares: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    (crop,) = _fitted(_picture(400, 300), size=size, fit="squash", region=Region(*shares))
    x, y, w, h = shares
    assert crop.shape == (1, size[1], size[0], 3)
    red, green = crop[0, :, :, 0] / 255, crop[0, :, :, 1] / 255
    assert red[:, 0].mean() == pytest.approx(x, abs=0.02)
    assert red[:, -1].mean() == pytest.approx(x + w, abs=0.02)
    assert green[0].mean() == pytest.approx(y, abs=0.02)
    assert green[-1].mean() == pytest.approx(y + h, abs=0.02)


def test_a_crop_of_a_wide_frame_shows_its_middle() -> None:
    (crop,) = _fitted(_picture(320, 160), size=80)
    assert crop.shape == (1, 80, 80, 3)
    assert crop[0, :, 0, 0].mean() / 255 == pytest.approx(0.25, abs=0.01)
    assert crop[0, :, -1, 0].mean() / 255 == pytest.approx(0.75, abs=0.01)


def test_letterbox_is_black_above_and_below() -> None:
    (box,) = _fitted(np.full((2, 50, 100, 3), 200, np.uint8), size=40, fit="letterbox")
    assert box.shape == (2, 40, 40, 3)
    assert (box[:, :10] == 0).all()
    assert (box[:, 30:] == 0).all()
    assert (np.abs(box[:, 10:30].astype(int) - 200) <= 1).all()


def test_a_small_region_of_a_large_frame_is_cut_before_it_is_enlarged() -> None:
    plan = plan_fit(7680, 4320, size=224, region=Region(0.5, 0.5, 0.01, 0.01))
    assert plan.decode is None
    assert plan.scale == (224, 224)
    assert plan_fit(7680, 4320, size=224).decode == (398, 224)


def test_flip_mirrors_and_mirrors_back() -> None:
    frames = _picture(31, 17)
    assert (flip(frames)[0, :, 0, 0] == 255).all()
    assert (flip(flip(frames)) == frames).all()
    assert flip(frames).flags.c_contiguous


def test_a_region_is_at_least_one_pixel() -> None:
    assert region_of_interest(10, 10, Region(0.999, 0.0, 0.001, 0.001)) == (9.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size (0) must be > 0"),
        ({"size": (3, -1)}, "size ((3, -1)) must be > 0"),
        ({"size": 8, "fit": "zoom"}, "fit ('zoom') must be one of crop, letterbox, squash, crops"),
        ({"size": 8, "fit": "crops", "crops": 0}, "crops (0) must be > 0"),
        ({"size": 8, "region": Region(0.5, 0, 0.6, 1)}, "region x and w (0.5, 0.6) must be"),
        ({"size": 8, "region": Region(0, 0, 1, 0)}, "region y and h (0, 0) must be"),
    ],
)
def test_a_wrong_number_is_repeated(options: dict, message: str) -> None:
    with pytest.raises(UsageError) as error:
        plan_fit(64, 48, **options)
    assert message in str(error.value)


@given(arrays(np.uint8, (5, 3)))
def test_grey_is_the_brightness_to_a_level(colour: np.ndarray) -> None:
    true = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey(colour) - true).max() <= 1


def test_grey_pixels_stay_as_they_are() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert (grey(np.repeat(levels[:, None], 3, axis=1)) == levels).all()
