"""What all video models have in common, whatever their family."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models import _hub
from frameflow.models.backbones import restore_backbone
from frameflow.models.clips import (
    ClipBackbone,
    build_clip_backbone,
    clip_model_names,
    is_clip_model,
)
from frameflow.models.clips.backbone import _KNOWN
from frameflow.models.clips.family import shape_of
from frameflow.models.clips.huggingface import TransformersFamily

Clips = Callable[[ClipBackbone], Tensor]

OURS = ["test-c3d", "test-r2plus1d", "test-mvit", "test-swin3d"]
EXTRA = ["test-videomae", "test-timesformer", "test-vivit", "test-vjepa2"]
# At the published size: tokens of a clip (None: it has none), and the length of its features.
PUBLISHED = {
    "c3d": (None, 4096),
    "c3d-small": (2 * 7 * 7, 256),
    "r2plus1d_18": (2 * 7 * 7, 512),
    "s3d": (8 * 7 * 7, 1024),
    "mvit_v2_s": (8 * 7 * 7 + 1, 768),
    "swin3d_t": (16 * 7 * 7, 768),
    "videomae-small": (8 * 14 * 14, 384),
    "videomae-base": (8 * 14 * 14, 768),
    "timesformer-base": (8 * 14 * 14 + 1, 768),
    "vivit-base": (16 * 14 * 14 + 1, 768),
    "vjepa2-vitl": (32 * 16 * 16, 1024),
}


def extra(name: str) -> str:
    """The name, where transformers is there for those that need it."""
    if isinstance(_KNOWN[name], TransformersFamily):
        pytest.importorskip("transformers", reason="the extra transformers is not installed")
    return name


@pytest.fixture(params=[*OURS, *EXTRA])
def name(request: pytest.FixtureRequest) -> str:
    return extra(request.param)


def test_names_are_those_of_the_published_models() -> None:
    assert clip_model_names() == sorted(PUBLISHED)
    assert is_clip_model("R2plus1d-18")
    assert is_clip_model("swin3d_t")
    assert not is_clip_model("resnet18")
    with pytest.raises(UsageError, match=r"No video model is named 'videomea-base'.*videomae-base"):
        build_clip_backbone("videomea-base", weights="none")


@pytest.mark.parametrize("published", sorted(PUBLISHED))
def test_shapes_at_the_published_size(published: str) -> None:
    family = _KNOWN[extra(published)]
    variant = family.variants[published]
    tokens, dim = PUBLISHED[published]
    shape = {"size": variant.size, "frames": variant.frames, "options": {}}
    found = shape_of(family, variant, tokens=tokens is not None, **shape)  # type: ignore[arg-type]
    assert found == (tokens or 1, dim)


def test_one_vector_a_clip_or_one_for_each_place(name: str, clips_for: Clips) -> None:
    pooled = build_clip_backbone(name, weights="none")
    clips = clips_for(pooled)
    found = pooled(clips)
    assert found.shape == (2, 1, pooled.dim)
    assert pooled.steps(pooled.frames) == 1
    assert pooled.temporal
    assert not pooled.framewise
    assert not torch.equal(found[0], found[1])
    if name != "test-c3d":
        tokens = build_clip_backbone(name, weights="none", pool="tokens")
        places = tokens(clips)
        assert places.shape == (2, tokens.steps(tokens.frames), tokens.dim)
        assert places.shape[1] > 1


def test_the_order_of_the_frames_matters(name: str, clips_for: Clips) -> None:
    backbone = build_clip_backbone(name, weights="none")
    for parameter in backbone.parameters():  # TimeSformer's places in time begin at zero
        if parameter.ndim == 3:
            nn.init.normal_(parameter, std=0.5)
    clips = clips_for(backbone)
    assert not torch.allclose(backbone(clips), backbone(clips.flip(1)), atol=1e-5)


def test_random_values_are_the_same_and_leave_the_random_state_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    first, second = (build_clip_backbone(name, weights="none") for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.weights == second.weights
    assert first.weights.source == "random values, seed 0"
    state = second.model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in first.model.state_dict().items())


@pytest.mark.parametrize("pool", ["own", "tokens"])
def test_a_described_model_is_restored(name: str, pool: str, clips_for: Clips) -> None:
    if name == "test-c3d":
        pool = "own"
    backbone = build_clip_backbone(name, weights="none", pool=pool)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(1.25)
    restored = restore_backbone(backbone.describe())
    assert isinstance(restored, ClipBackbone)
    restored.model.load_state_dict(backbone.model.state_dict())
    assert torch.equal(restored(clips_for(backbone)), backbone(clips_for(backbone)))
    again = restored.describe()
    assert again == backbone.describe()
    assert again["kind"] == "video"
    assert again["source"] == "random values, seed 0, trained further"


def test_layers_hold_each_parameter_once_and_begin_at_the_input(name: str) -> None:
    backbone = build_clip_backbone(name, weights="none")
    layers = backbone.layers()
    named = [key for key, _ in backbone.model.named_parameters()]
    assert sorted(key for layer in layers for key in layer) == sorted(named)
    assert len(layers) >= 4
    first = {"test-c3d": "conv1", "test-r2plus1d": "stem", "test-mvit": "conv_proj"}
    begins = first.get(name, "patch_embed" if name == "test-swin3d" else "embeddings")
    assert any(key.startswith(begins) for key in layers[0])


def test_what_is_named_learns_and_nothing_else(name: str, clips_for: Clips) -> None:
    backbone = build_clip_backbone(name, weights="none").train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.model.modules())
    behind = [layer for layer in backbone.layers() if len(layer) > 1][-1]
    learning = backbone.learn(behind)
    assert set(learning) == set(behind)
    backbone(clips_for(backbone)).square().sum().backward()
    for key, parameter in backbone.model.named_parameters():
        assert (parameter.grad is not None) == (key in learning), key
    for module in backbone.model.modules():
        if isinstance(module, nn.BatchNorm3d):
            assert not module.training
    with pytest.raises(UsageError, match="has no part 'layer9'"):
        backbone.learn(["layer9"])


@pytest.mark.parametrize(
    ("model", "choices", "said"),
    [
        ("c3d", {"pool": "tokens"}, r"pool \('tokens'\) of c3d must be own"),
        ("c3d-small", {"pool": "max"}, r"pool \('max'\) of c3d-small must be own or tokens"),
        ("c3d", {"frames": 8}, r"sampling.frames\) \(8\) must be a multiple of 16"),
        ("mvit_v2_s", {"size": 200}, r"size\) \(200\) must be a multiple of 32.* of 224 px"),
        ("r2plus1d_18", {"frames": 0}, r"sampling.frames\) \(0\) must be > 0"),
        ("videomae-base", {"frames": 5}, r"\(5\) must be a multiple of 2; .* 16 frames of 224 px"),
        ("s3d", {"frames": 2, "size": 32}, "s3d cannot take clips of 2 frames of 32 px"),
        ("c3d-small", {"weights": "auto"}, "No weights are published for c3d-small.*weights: none"),
        ("test-swin3d", {"weights": "hub"}, "No weights are published for test-swin3d"),
    ],
)
def test_what_a_model_cannot_take_is_said(
    model: str, choices: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        build_clip_backbone(model, **({"weights": "none"} | choices))  # type: ignore[arg-type]


def test_clips_of_another_length_are_refused(clips_for: Clips) -> None:
    backbone = build_clip_backbone("test-c3d", weights="none")
    with pytest.raises(UsageError, match="clips of 16 frames, not 8"):
        backbone(clips_for(backbone)[:, :8])
    with pytest.raises(UsageError, match="not at single frames"):
        backbone.encode_frames(clips_for(backbone)[0])


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'frameflow-video\[transformers\]'"):
        build_clip_backbone("videomae-base", weights="none")


@pytest.mark.parametrize("model", ["s3d", "videomae-small"])
def test_without_a_network_the_cure_is_said(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extra(model)
    monkeypatch.setattr(_hub, "_reachable", lambda *_: False)
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    with pytest.raises(UsageError, match=rf"weights of {model} .* cannot be reached.*weights: F"):
        build_clip_backbone(model)
