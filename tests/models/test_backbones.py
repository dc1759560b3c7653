import functools
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.errors import UsageError
from frameflow.models.backbones import (
    Backbone,
    Preprocess,
    build_backbone,
    normalise,
    restore_backbone,
)
from frameflow.models.pooling import last_maps

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


# What learns -----------------------------------------------------------------------------------

TINY = "resnet10t"


@pytest.fixture
def backbone() -> Backbone:
    return build_backbone(TINY, weights="none", size=32)


@pytest.mark.parametrize(
    ("parts", "roots"),
    [
        ([], set()),
        (["layer4"], {"layer4"}),
        (["layer3", "layer4.0.bn1"], {"layer3", "layer4.0.bn1"}),
        (["layer[12]", "conv1.0.weight"], {"layer1", "layer2", "conv1.0.weight"}),
        (["layer1*"], {"layer1"}),
        (["*"], {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    ],
)
def test_exactly_the_parts_that_are_named_learn(
    parts: list[str], roots: set[str], backbone: Backbone
) -> None:
    backbone.learn(["*"])
    names = backbone.learn(parts)
    parameters = dict(backbone.model.named_parameters())
    under = [n for n in parameters if any(n == r or n.startswith(f"{r}.") for r in roots)]
    assert names == under
    assert names == [name for name, p in parameters.items() if p.requires_grad]
    assert backbone.frozen == (not parts)


@functools.cache
def _one() -> Backbone:
    return build_backbone(TINY, weights="none", size=32)


@given(parts=st.sets(st.sampled_from(["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"])))
@settings(max_examples=12, deadline=None)
def test_only_what_learns_changes_in_training(parts: set[str]) -> None:
    """Of the statistics of normalisation, which follow the data where they may."""
    backbone = _one()
    backbone.train().learn(sorted(parts), norm="learn")
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    backbone(torch.rand(2, 3, 32, 32))
    moved = {k for k, v in backbone.model.state_dict().items() if not torch.equal(v, before[k])}
    expected = {k for k in before if k.split(".")[0] in parts and "running_" in k}
    assert {key for key in moved if "num_batches" not in key} == expected
    backbone.learn(sorted(parts), norm="fixed")
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    backbone(torch.rand(2, 3, 32, 32))
    assert all(torch.equal(v, before[k]) for k, v in backbone.model.state_dict().items())
    backbone.eval()
    assert not any(module.training for module in backbone.model.modules())


def test_dropout_of_parts_that_learn_is_on() -> None:
    backbone = build_backbone("vit_tiny_patch16_224", weights="none", size=32)
    backbone.train().learn(["blocks.11"])
    model = backbone.model
    assert model.get_submodule("blocks.11.mlp.drop1").training
    assert not model.get_submodule("blocks.10.mlp.drop1").training


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("layer5", r"resnet10t has no part 'layer5'. Did you mean 'layer\d'"),
        ("zzz", r"no part 'zzz'. It has conv1, bn1, layer1, layer2, layer3, layer4. Parts are"),
        ("model.layer4", r"no part 'model.layer4'. Did you mean 'layer4"),
        ("layer[5-9]", r"no part 'layer\[5-9\]'"),
    ],
)
def test_a_part_that_names_nothing(part: str, said: str, backbone: Backbone) -> None:
    with pytest.raises(UsageError, match=said):
        backbone.learn(["layer4", part])


@pytest.mark.parametrize("name", [*FAMILIES, "inception_v3"])
def test_layers_hold_every_parameter_once_from_input_to_output(name: str) -> None:
    backbone = build_backbone(name, weights="none", size=96)
    layers = backbone.layers()
    named = [key for key, _ in backbone.model.named_parameters()]
    assert sorted(key for layer in layers for key in layer) == sorted(named)
    assert all(layers)
    assert named[0] in layers[0]
    assert len(layers) > 4


def test_layers_of_a_model_without_groups() -> None:
    backbone = build_backbone(TINY, weights="none", size=32)
    backbone.model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    assert backbone.layers() == [["0.weight", "0.bias"], ["1.weight", "1.bias"]]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"grid": 2},
        {"pool": "max"},
        {"pool": "max", "grid": 2},
        {"shift": 4},
        {"cut": "layer3", "shift": 4, "pool": "max"},
    ],
)
def test_a_description_builds_the_same_backbone(options: dict[str, Any]) -> None:
    built = build_backbone(TINY, weights="none", size=48, **options)
    described = json.loads(json.dumps(built.describe()))
    again = restore_backbone(described)
    again.model.load_state_dict(built.model.state_dict())
    frames = torch.rand(1, 2, 3, 48, 48) if built.temporal else torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(again(frames), built(frames))
    assert json.loads(json.dumps(again.describe())) == described
    assert (again.cut, again.layer, again.dim) == (built.cut, built.layer, built.dim)


@pytest.mark.parametrize("grid", [1, 2, 3])
def test_the_maximum_over_the_last_stage(grid: int) -> None:
    backbone = build_backbone(TINY, weights="none", size=96, grid=grid, pool="max")
    frames = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        maps = last_maps(backbone.model, frames)
        expected = torch.nn.functional.adaptive_max_pool2d(maps, grid)
        assert torch.equal(backbone(frames), expected.permute(0, 2, 3, 1).flatten(1))


def test_image_models_have_no_tokens() -> None:
    with pytest.raises(UsageError, match=r"pool \('tokens'\) of resnet10t must be own or max"):
        build_backbone(TINY, weights="none", pool="tokens")
