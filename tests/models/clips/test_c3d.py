"""C3D: as published, and the small one."""

from pathlib import Path

import pytest
import torch
from torch import nn

from frameflow.errors import UsageError
from frameflow.models.clips import build_clip_backbone
from frameflow.models.clips.c3d import C3d


def test_the_published_network() -> None:
    with torch.device("meta"):
        net = C3d((64, 128, 256, 256, 512, 512, 512, 512), 4096, size=112, frames=16)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv3d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert all(c.kernel_size == (3, 3, 3) and c.padding == (1, 1, 1) for c in convolutions)
    assert net.maps(torch.zeros(1, 3, 16, 112, 112, device="meta")).shape == (1, 512, 2, 7, 7)
    assert (net.fc6.in_features, net.fc6.out_features) == (8192, 4096)
    assert (net.fc7.in_features, net.fc7.out_features) == (4096, 4096)
    assert sum(p.numel() for p in net.parameters()) == 77_995_776
    names = ["conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b"]
    assert [key for key, _ in net.named_children()][:8] == names


def test_the_small_one_is_small() -> None:
    small = build_clip_backbone("c3d-small", weights="none")
    assert sum(p.numel() for p in small.parameters()) < 4e6
    assert small.preprocess.size == 112


def test_the_direction_of_a_motion_can_be_learnt() -> None:
    """A bar that moves to the right and one that moves to the left: one frame does not tell."""
    torch.manual_seed(0)
    clips = torch.zeros(8, 16, 3, 32, 32)
    for row in range(8):
        for t in range(16):
            place = (2 * t if row % 2 else 30 - 2 * t) + row // 2
            clips[row, t, :, :, place % 32] = 2.0
    targets = torch.arange(8) % 2
    backbone = build_clip_backbone("c3d-small", weights="none", size=32)
    assert set(backbone.learn(["*"], norm="learn")) == {
        k for k, _ in backbone.model.named_parameters()
    }
    head = nn.Linear(backbone.dim, 2)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *head.parameters()], lr=1e-3)
    backbone.train()
    for _ in range(12):
        loss = nn.functional.cross_entropy(head(backbone(clips)[:, 0]), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_a_file_of_the_published_names(tmp_path: Path) -> None:
    """The names of the paper's layers, with the classifier of Sports-1M."""
    made = build_clip_backbone("test-c3d", weights="none")
    state = {key: value * 1.5 for key, value in made.model.state_dict().items()}
    state |= {"fc8.weight": torch.zeros(487, 16), "fc8.bias": torch.zeros(487)}
    torch.save(state, tmp_path / "c3d.pth")
    loaded = build_clip_backbone("test-c3d", weights=tmp_path / "c3d.pth")
    assert loaded.weights.source == "file c3d.pth"
    assert torch.equal(loaded.model.get_parameter("fc7.bias"), state["fc7.bias"])
    with pytest.raises(UsageError, match=r"fc6\.weight"):
        build_clip_backbone("test-c3d", weights=tmp_path / "c3d.pth", size=64)
    with pytest.raises(UsageError, match=r"'c3d\.pht' of test-c3d are no file"):
        build_clip_backbone("test-c3d", weights="c3d.pht")
