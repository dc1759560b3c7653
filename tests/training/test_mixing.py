"""Mixing clips: pixels and targets in the same shares."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.training.mixing import mix

CLASSES = 5


def batch(count: int = 4, frames: int = 3, sizes: tuple[int, ...] = (12, 20)) -> list[torch.Tensor]:
    """Clip i is of one colour: 10 + 20 i."""
    levels = (10 + 20 * torch.arange(count)).to(torch.uint8).view(count, 1, 1, 1, 1)
    return [levels.expand(count, frames, size, size, 3).clone() for size in sizes]


def mixed(seed: int, *, mixup: float, cutmix: float, count: int = 4, targets=None):
    targets = torch.arange(count) % CLASSES if targets is None else targets
    mask = torch.ones(count, 3, dtype=torch.bool)
    rng = np.random.default_rng(seed)
    return mix(
        batch(count), mask, targets, classes=CLASSES, mixup=mixup, cutmix=cutmix, rng=rng
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    mixup=st.sampled_from([0.0, 0.2, 1.0]),
    cutmix=st.sampled_from([0.0, 0.5, 1.0]),
    count=st.integers(1, 6),
)
def test_targets_sum_to_one_and_all_frames_are_mixed_alike(
    seed: int, mixup: float, cutmix: float, count: int
) -> None:
    inputs, mask, targets = mixed(seed, mixup=mixup, cutmix=cutmix, count=count)
    assert targets.shape == (count, CLASSES)
    assert targets.dtype == torch.float32
    assert torch.allclose(targets.sum(1), torch.ones(count))
    assert (targets >= 0).all()
    assert mask.all()
    for images in inputs:
        assert images.dtype == torch.uint8
        assert (images == images[:, :1]).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.booleans())
def test_pixels_and_targets_have_the_same_shares(seed: int, cut: bool) -> None:
    """Colours stand for classes, so the mean colour of a clip says what its target must be."""
    inputs, _, targets = mixed(seed, mixup=0.0 if cut else 0.7, cutmix=0.7 if cut else 0.0)
    expected = (targets[:, :4] * (10 + 20 * torch.arange(4))).sum(1)
    means = torch.stack([images.float().mean((1, 2, 3, 4)) for images in inputs]).mean(0)
    assert torch.allclose(means, expected, atol=0.51)


def test_cutmix_keeps_pixels_whole_and_mixup_does_not() -> None:
    plain = {10, 30, 50, 70}
    for seed in range(10):
        cut, _, _ = mixed(seed, mixup=0.0, cutmix=1.0)
        assert all(set(images.unique().tolist()) <= plain for images in cut)
    colours = {c for seed in range(10) for c in mixed(seed, mixup=1.0, cutmix=0.0)[0][0].unique()}
    assert len({int(c) for c in colours} - plain) > 10


def test_with_both_each_comes_about_every_other_batch() -> None:
    plain = {10, 30, 50, 70}
    cuts = [
        set(mixed(seed, mixup=1.0, cutmix=1.0)[0][0].unique().tolist()) <= plain
        for seed in range(60)
    ]
    assert 15 < sum(cuts) < 45


def test_the_same_seed_mixes_the_same_and_leaves_its_input_alone() -> None:
    inputs, mask, targets = batch(), torch.ones(4, 3, dtype=torch.bool), torch.arange(4)
    before = [images.clone() for images in inputs]
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        runs.append(mix(inputs, mask, targets, classes=4, mixup=0.5, cutmix=0.5, rng=rng))
    assert all(torch.equal(one, other) for one, other in zip(runs[0][0], runs[1][0]))
    assert torch.equal(runs[0][2], runs[1][2])
    assert all(torch.equal(one, other) for one, other in zip(inputs, before))


def test_several_labels_are_mixed_in_their_shares() -> None:
    hot = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 1], [0, 0, 0, 0, 0.0]])
    _, _, targets = mixed(1, mixup=1.0, cutmix=0.0, targets=hot)
    assert targets.max() <= 1
    assert targets.sum() == pytest.approx(float(hot.sum()), abs=1.5)
    assert not torch.equal(targets, hot)


def test_a_frame_counts_where_one_of_both_clips_has_it() -> None:
    mask = torch.tensor([[True, False, False], [True, True, False]])
    for seed in range(20):
        inputs = batch(2)
        rng = np.random.default_rng(seed)
        _, found, _ = mix(inputs, mask, torch.arange(2), classes=2, mixup=1.0, cutmix=0.0, rng=rng)
        assert found.tolist() == [[True, True, False]] * 2


def test_no_clip_is_mixed_with_itself() -> None:
    for seed in range(50):
        _, _, targets = mixed(seed, mixup=5.0, cutmix=0.0)
        assert ((targets > 0).sum(1) == 2).all()


def test_nothing_to_mix_only_writes_out_the_targets() -> None:
    inputs, _, targets = mixed(0, mixup=0.0, cutmix=0.0)
    assert torch.equal(targets, torch.eye(5)[:4])
    assert all(torch.equal(one, other) for one, other in zip(inputs, batch()))
