from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from frameflow.errors import UsageError
from frameflow.models.backbones import build_backbone, restore_backbone
from frameflow.models.shift import shifted


@given(
    clips=st.integers(1, 3),
    frames=st.integers(1, 5),
    channels=st.integers(1, 17),
    share=st.integers(2, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_share_of_the_channels_moves_each_way(
    clips: int, frames: int, channels: int, share: int
) -> None:
    x = torch.rand(clips, frames, channels, 2, 3)
    got = shifted(x.flatten(0, 1), frames, share).unflatten(0, (clips, frames))
    fold = channels // share
    expected = np.zeros(x.shape, np.float32)
    expected[:, :, 2 * fold :] = x[:, :, 2 * fold :]
    for t in range(frames):
        if t + 1 < frames:
            expected[:, t, :fold] = x[:, t + 1, :fold]
        if t > 0:
            expected[:, t, fold : 2 * fold] = x[:, t - 1, fold : 2 * fold]
    np.testing.assert_array_equal(got.numpy(), expected)


def test_shift_keeps_memory_as_it_is_and_passes_gradients() -> None:
    x = torch.rand(4, 8, 3, 3).to(memory_format=torch.channels_last).requires_grad_()
    moved = shifted(x, 2, 4)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    moved.sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == moved.numel() - 4 * 2 * 9  # what left the clips does not count


def test_with_one_frame_nothing_comes_in() -> None:
    assert (shifted(torch.ones(2, 8, 1, 1), 1, 4)[:, :4] == 0).all()


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "tf_efficientnet_lite0"])
def test_frames_see_their_neighbours_and_no_other_clip(
    name: str, awake: Callable[[nn.Module], None]
) -> None:
    backbone = build_backbone(name, weights="none", size=32, shift=8)
    awake(backbone)
    assert backbone.temporal
    clips = torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = clips.clone()
    changed[0, 2] += 3
    with torch.no_grad():
        before, after = backbone(clips), backbone(changed)
    assert before.shape == (2, 5, backbone.dim)
    assert backbone.steps(5) == 5
    differs = (before != after).any(dim=2)
    assert differs[0, 1:4].all()
    assert not differs[1].any()


def test_a_shift_changes_neither_names_nor_weights(awake: Callable[[nn.Module], None]) -> None:
    plain = build_backbone("resnet10t", weights="none", size=32)
    shifting = build_backbone("resnet10t", weights="none", size=32, shift=4)
    assert shifting.weights.digest == plain.weights.digest
    assert list(shifting.model.state_dict()) == list(plain.model.state_dict())
    assert shifting.layer != plain.layer
    awake(shifting)
    awake(plain)
    restored = restore_backbone(shifting.describe())
    restored.model.load_state_dict(shifting.model.state_dict())
    clips = torch.rand(1, 3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(restored(clips), shifting(clips))
        assert not torch.equal(restored(clips)[0], plain(clips[0]))


def test_behind_a_cut_alone() -> None:
    backbone = build_backbone("resnet10t", weights="none", size=32, shift=4, cut="layer2")
    hooked = [name for name, module in backbone.model.named_modules() if module._forward_pre_hooks]
    assert hooked == ["layer3.0.conv1", "layer4.0.conv1"]


@pytest.mark.parametrize(
    ("name", "shift", "said"),
    [
        ("resnet10t", 1, r"shift \(1\) must be 2 or more"),
        ("resnet10t", 600, r"no residual block of convolutions with 600 or more channels, which"),
        ("vit_tiny_patch16_224", 8, r"vit_tiny_patch16_224 has no residual block.*shift: 0"),
    ],
)
def test_where_nothing_can_be_shifted(name: str, shift: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_backbone(name, weights="none", size=32, shift=shift)
