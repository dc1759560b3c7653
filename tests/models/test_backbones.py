import numpy as np
import pytest
import torch

from frameflow.errors import UsageError
from frameflow.models.backbones import (
    Preprocess,
    build_backbone,
    normalise,
)

FAMILIES = ["resnet10t", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"]


@pytest.mark.parametrize("name", FAMILIES)
def test_families_give_one_vector_per_frame(name: str) -> None:
    backbone = build_backbone(name, weights="none", size=64)
    frames = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = backbone(frames)
    assert features.shape == (2, backbone.dim)
    assert features.isfinite().all()
    assert backbone.preprocess.size == 64


def test_preprocessing_is_the_backbones_own() -> None:
    half = (0.5, 0.5, 0.5)
    assert build_backbone("lite2").preprocess == Preprocess(260, half, half, "bicubic")
    resnet = build_backbone("resnet10t", weights="none").preprocess
    assert resnet.size == 176
    assert resnet.mean == (0.485, 0.456, 0.406)


def test_a_frozen_backbone_stays_as_it_is_in_training() -> None:
    backbone = build_backbone("resnet10t", weights="none", size=32).train()
    before = backbone.model.state_dict()["bn1.running_mean"].clone()
    backbone(torch.rand(2, 3, 32, 32))
    assert torch.equal(backbone.model.state_dict()["bn1.running_mean"], before)
    assert not any(p.requires_grad for p in backbone.parameters())
    backbone.learn(["*"], norm="learn")
    backbone(torch.rand(2, 3, 32, 32)).sum().backward()
    assert not torch.equal(backbone.model.state_dict()["bn1.running_mean"], before)
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize("size", [0, -3])
def test_sizes_must_be_positive(size: int) -> None:
    with pytest.raises(UsageError, match=rf"\({size}\) must be > 0"):
        build_backbone("resnet10t", weights="none", size=size)


def test_a_size_the_model_cannot_take() -> None:
    with pytest.raises(UsageError, match=r"swin_tiny.*cannot take frames of 3 px"):
        build_backbone("swin_tiny_patch4_window7_224", weights="none", size=3)


def test_normalise_follows_its_formula() -> None:
    preprocess = Preprocess(4, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 6, 3), dtype=np.uint8)
    got = normalise(frames, preprocess)
    expected = (frames / 255 - np.array(preprocess.mean)) / np.array(preprocess.std)
    assert got.shape == (2, 5, 3, 4, 6)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), np.moveaxis(expected, -1, -3), atol=1e-5)
    one = normalise(torch.from_numpy(frames[0]), preprocess)
    assert torch.equal(one, got[0])
    assert one.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("frames", [np.zeros((4, 4, 3), np.float32), np.zeros((3, 4, 4), np.uint8)])
def test_normalise_refuses_other_arrays(frames: np.ndarray) -> None:
    with pytest.raises(UsageError, match="must be uint8 of shape"):
        normalise(frames, Preprocess(4, (0, 0, 0), (1, 1, 1)))
