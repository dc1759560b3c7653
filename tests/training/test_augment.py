"""Augmentation: one draw for all frames of a clip, whatever the operation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import Augment
from frameflow.training._randaugment import NAMES, SIGNED, Operation, functional
from frameflow.training.augment import Box, Changes, Colour, LowLight, MotionBlur, draw

ALL = Augment(
    crop=0.4, flip=True, colour=0.5, randaugment=2, magnitude=9, erase=0.5, low_light=0.5, blur=0.5
)
SINGLE = [
    {"crop": 0.3},
    {"flip": True},
    {"colour": 0.7},
    {"erase": 1.0},
    {"low_light": 1.0},
    {"blur": 1.0},
]


def photo(seed: int = 0, height: int = 40, width: int = 40) -> np.ndarray:
    """A smooth picture with an edge: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.uniform(20, 230, (1, 3, 5, 5)))
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")
    picture = large[0].permute(1, 2, 0).numpy().round().astype(np.uint8)
    picture[: height // 3, width // 2 :] = (210, 40, 90)
    return picture


def still(frames: int = 5, **options: int) -> np.ndarray:
    return np.repeat(photo(**options)[None], frames, axis=0)


def moving(frames: int = 5, seed: int = 0) -> np.ndarray:
    clip = still(frames, seed=seed)
    for index, frame in enumerate(clip):
        frame[10:22, 4 + 4 * index :][:, :8] = (250, 250, 40)
    return clip


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.none() | st.sampled_from([24, 32, 56]))
def test_a_still_clip_stays_still_whatever_is_drawn(seed: int, size: int | None) -> None:
    changed = draw(ALL, np.random.default_rng(seed)).apply(still(), size=size)
    assert changed.dtype == np.uint8
    assert changed.shape == (5, size or 40, size or 40, 3)
    assert (changed == changed[:1]).all()


@pytest.mark.parametrize("level", [0.9, -0.9, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_a_still_clip_stays_still_under_every_operation(name: str, level: float) -> None:
    if name not in SIGNED:
        level = abs(level)
    changed = Changes(operations=(Operation(name, level),)).apply(still())
    assert (changed == changed[:1]).all()
    assert np.array_equal(changed, still()) == (name == "identity")


@pytest.mark.parametrize("options", SINGLE, ids=lambda options: next(iter(options)))
def test_each_kind_changes_the_clip_and_moving_frames_stay_apart(
    options: dict[str, float],
) -> None:
    clip = moving()
    draws = [draw(Augment(**options), np.random.default_rng(seed)) for seed in range(20)]
    changed = [drawn.apply(clip) for drawn in draws]
    assert sum(not np.array_equal(clip, found) for found in changed) >= 5
    for found in changed:
        assert len({frame.tobytes() for frame in found}) > 1


@pytest.mark.parametrize("name", ["contrast", "autocontrast", "equalise", "brightness"])
def test_a_frame_is_changed_as_the_clip_not_by_its_own_brightness(name: str) -> None:
    """The background, the same in all frames, stays the same where something bright comes in."""
    clip = still()
    for index in range(5):
        clip[index, :8, : 8 * index] = 255
    changed = Changes(operations=(Operation(name, 0.7),)).apply(clip)
    assert (changed[:, 10:] == changed[:1, 10:]).all()
    changed = Changes(colour=Colour(1.2, 1.5, 0.7, 0.05)).apply(clip)
    assert (changed[:, 10:] == changed[:1, 10:]).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_clip_and_leaves_its_input_alone(seed: int) -> None:
    clip = moving()
    before = clip.copy()
    one = draw(ALL, np.random.default_rng(seed))
    other = draw(ALL, np.random.default_rng(seed))
    assert one == other
    assert np.array_equal(one.apply(clip), other.apply(clip))
    assert np.array_equal(clip, before)


def test_draws_differ_and_do_not_touch_the_global_generators() -> None:
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    rng = np.random.default_rng(0)
    draws = [draw(ALL, rng) for _ in range(50)]
    for drawn in draws[:5]:
        drawn.apply(moving())
    assert len(set(draws)) == 50
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert torch.equal(torch_state, torch.get_rng_state())


def test_one_setting_does_not_alter_what_the_others_draw() -> None:
    for seed in range(20):
        alone = draw(Augment(crop=0.4, colour=0.3), np.random.default_rng(seed))
        more = draw(
            Augment(crop=0.4, colour=0.3, flip=True, blur=1.0, randaugment=3),
            np.random.default_rng(seed),
        )
        assert (alone.crop, alone.colour) == (more.crop, more.colour)


def test_nothing_asked_changes_nothing() -> None:
    clip = moving()
    assert draw(Augment(), np.random.default_rng(0)) == Changes(
        seed=draw(Augment(), np.random.default_rng(0)).seed
    )
    assert np.shares_memory(Changes().apply(clip), clip)


def test_half_of_the_clips_are_flipped_and_none_that_may_not() -> None:
    rng = np.random.default_rng(3)
    flips = [draw(Augment(flip=True), rng).flip for _ in range(400)]
    assert 160 < sum(flips) < 240
    assert not any(draw(Augment(flip=True), rng, may_flip=False).flip for _ in range(50))
    assert not any(draw(Augment(), rng).flip for _ in range(50))
    clip = moving()
    assert np.array_equal(Changes(flip=True).apply(clip), clip[:, :, ::-1])


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), least=st.floats(0.02, 1.0))
def test_crops_lie_inside_and_keep_at_least_the_area_asked(seed: int, least: float) -> None:
    box = draw(Augment(crop=least), np.random.default_rng(seed)).crop
    assert box is not None
    assert box.x >= 0
    assert box.y >= 0
    assert box.x + box.w <= 1 + 1e-9
    assert box.y + box.h <= 1 + 1e-9
    assert least - 1e-9 <= box.w * box.h <= 1 + 1e-9
    assert 0.74 <= box.w / box.h <= 1.34


@settings(max_examples=200, deadline=None)
@given(
    box=st.builds(Box, *[st.floats(0, 1)] * 2, *[st.floats(0.0, 1)] * 2),
    width=st.integers(1, 50),
    height=st.integers(1, 50),
)
def test_a_box_in_pixels_is_a_pixel_at_least_and_inside(box: Box, width: int, height: int) -> None:
    box = Box(box.x, box.y, min(box.w, 1 - box.x), min(box.h, 1 - box.y))
    left, top, w, h = box.pixels(width, height)
    assert 0 <= left < left + w <= width
    assert 0 <= top < top + h <= height


def test_a_crop_is_the_part_of_the_frame_at_another_size() -> None:
    clip = moving()
    whole = Changes(crop=Box(0.25, 0.5, 0.5, 0.5)).apply(clip, size=20)
    assert np.array_equal(whole, clip[:, 20:40, 10:30])
    assert Changes(crop=Box(0.1, 0.1, 0.5, 0.5)).apply(clip, size=64).shape == (5, 64, 64, 3)


def test_streams_of_different_sizes_see_the_same_change() -> None:
    """The same clip at two sizes, changed and then brought to one size, is nearly the same."""
    large = np.repeat(np.repeat(moving(), 3, axis=1), 3, axis=2)
    for seed in range(8):
        changes = draw(Augment(crop=0.4, flip=True, colour=0.4), np.random.default_rng(seed))
        one, other = changes.apply(moving(), size=40), changes.apply(large, size=40)
        assert np.abs(one.astype(int) - other).mean() < 6


def test_colours_agree_with_torchvision_where_nothing_is_clipped() -> None:
    clip = (still(1) // 2 + 60).astype(np.uint8)
    pixels = torch.from_numpy(clip).permute(0, 3, 1, 2)
    does = functional()
    for colour, expected in [
        (Colour(1.2, 1, 1, 0), does.adjust_brightness(pixels, 1.2)),
        (Colour(1, 0.6, 1, 0), does.adjust_contrast(pixels, 0.6)),
        (Colour(1, 1, 0.3, 0), does.adjust_saturation(pixels, 0.3)),
    ]:
        found = Changes(colour=colour).apply(clip).astype(int)
        assert np.abs(found - expected.permute(0, 2, 3, 1).numpy()).max() <= 2
    turned = Changes(colour=Colour(1, 1, 1, 0.05)).apply(clip).astype(int)
    hue = does.adjust_hue(pixels, 0.05).permute(0, 2, 3, 1).numpy().astype(int)
    before = clip.astype(int)
    likeness = np.corrcoef((turned - before).ravel(), (hue - before).ravel())[0, 1]
    assert likeness > 0.7
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(turned @ luma - before @ luma).max() <= 1


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    clip = np.repeat(np.arange(0, 250, 10, dtype=np.uint8).reshape(1, 5, 5, 1), 3, axis=3)
    changed = Changes(colour=Colour(1, 1, 1.8, 0.2)).apply(clip)
    assert np.abs(changed.astype(int) - clip).max() <= 1


def test_blur_smears_along_its_line_and_keeps_the_brightness() -> None:
    clip = np.zeros((2, 41, 41, 3), np.uint8)
    clip[:, 20, 20] = 250
    flat = Changes(blur=MotionBlur(0.2, 0.0)).apply(clip)[0, :, :, 0]
    assert (flat.any(axis=1).sum(), flat.any(axis=0).sum()) == (1, 9)
    upright = Changes(blur=MotionBlur(0.2, np.pi / 2)).apply(clip)[0, :, :, 0]
    assert np.array_equal(upright, flat.T)
    smooth = still()
    assert abs(Changes(blur=MotionBlur(0.06, 1.0)).apply(smooth).mean() - smooth.mean()) < 3


def test_low_light_is_dark_and_noisy() -> None:
    clip = still()
    dark = Changes(low_light=LowLight(0.5, 1.3, 5), seed=1).apply(clip)
    other = Changes(low_light=LowLight(0.5, 1.3, 5), seed=2).apply(clip)
    assert dark.mean() < 0.6 * clip.mean()
    assert not np.array_equal(dark, other)
    grey = np.full((2, 30, 30, 3), 120, np.uint8)
    noise = Changes(low_light=LowLight(0.7, 1.0, 5)).apply(grey).std()
    assert noise == pytest.approx(5, rel=0.15)


def test_erasing_covers_the_box_and_nothing_else() -> None:
    clip = moving()
    found = Changes(erase=Box(0.25, 0.5, 0.25, 0.3), seed=4).apply(clip)
    changed = (found != clip).any(axis=(0, 3))
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 31, 10, 19)
    assert (found[:, 20:32, 10:20] == found[:1, 20:32, 10:20]).all()


def test_randaugment_draws_all_operations_alike_at_the_strength_asked() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        op for _ in range(500) for op in draw(Augment(randaugment=2, magnitude=7), rng).operations
    ]
    counts = {name: sum(op.name == name for op in drawn) for name in NAMES}
    assert len(drawn) == 1000
    assert min(counts.values()) > 1000 / len(NAMES) / 2
    assert {abs(op.level) for op in drawn} == {0.7}
    assert {np.sign(op.level) for op in drawn if op.name == "rotate"} == {-1, 1}
    assert {np.sign(op.level) for op in drawn if op.name == "posterise"} == {1}


def test_operations_do_what_their_names_say() -> None:
    clip = moving()

    def after(name: str, level: float) -> np.ndarray:
        return Changes(operations=(Operation(name, level),)).apply(clip).astype(float)

    assert after("brightness", 0.5).mean() > clip.mean() > after("brightness", -0.5).mean()
    assert after("contrast", 0.5).std() > clip.std() > after("contrast", -0.5).std()
    assert np.ptp(after("saturation", -1.0), axis=-1).mean() < np.ptp(clip, axis=-1).mean() / 4
    fill = clip.reshape(-1, 3).mean(0).round()
    assert (after("shift-x", 1.0)[:, :, :12] == fill).all()
    assert np.array_equal(after("shift-x", 1.0)[:, :, 12:], clip[:, :, :-12])
    assert np.array_equal(after("shift-y", -1.0)[:, :-12], clip[:, 12:])
    assert len(np.unique(after("posterise", 1.0))) <= 16
