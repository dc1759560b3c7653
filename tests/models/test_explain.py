"""Maps of evidence over the frames of a clip."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.config import load_recipe
from frameflow.errors import UsageError
from frameflow.models._last_maps import last_maps_of
from frameflow.models.backbones import build_backbone
from frameflow.models.clips.backbone import build_clip_backbone
from frameflow.models.explain import Look, log_odds, spoken_by
from frameflow.models.recognizer import Recognizer, build_recognizer

SIZE, FRAMES = 64, 4
SMALL = "mobilenetv3_small_050"


def recognizer(
    *changes: str, labels: int = 2, backbone: str = SMALL, size: int = SIZE
) -> Recognizer:
    """Of random weights, classifier included."""
    recipe = load_recipe(
        "default",
        [
            f"sampling.frames={FRAMES}",
            f"streams.0.backbone={backbone}",
            "streams.0.weights=none",
            f"streams.0.size={size}",
            *changes,
        ],
    )
    built = build_recognizer(recipe, [f"label {n}" for n in range(labels)]).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return built


def film(seed: int = 0, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (frames, size, size, 3), dtype=np.uint8)


SEEN = np.ones(FRAMES, dtype=bool)


# Halves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (SMALL, {}),
        (SMALL, {"grid": 2}),
        (SMALL, {"pool": "max"}),
        (SMALL, {"shift": 4}),
        (SMALL, {"cut": "blocks.1"}),
        ("resnet10t", {}),
        ("vgg11", {}),
        ("convnext_atto", {}),
        ("vit_tiny_patch16_224", {}),
        ("vit_tiny_patch16_224", {"grid": 2}),
        ("swin_tiny_patch4_window7_224", {}),
    ],
)
def test_the_halves_of_an_image_model_are_the_whole(name: str, options: dict[str, Any]) -> None:
    backbone = build_backbone(name, weights="none", size=SIZE, **options)
    frames = torch.randn(FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    last = last_maps_of(backbone, frames)
    whole = backbone(frames.unsqueeze(0))[0] if backbone.temporal else backbone(frames)
    torch.testing.assert_close(last.finish(last.maps)[0], whole, rtol=1e-3, atol=1e-4)
    assert last.maps.shape[2] == last.maps.shape[3] > 1


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("c3d-small", "own"),
        ("c3d-small", "tokens"),
        ("test-c3d", "own"),
        ("test-r2plus1d", "own"),
        ("test-swin3d", "own"),
        ("test-swin3d", "tokens"),
        ("test-mvit", "tokens"),
    ],
)
def test_the_halves_of_a_video_model_are_the_whole(name: str, pool: str) -> None:
    frames = {"test-c3d": 16, "c3d-small": 8}.get(name, 4)
    backbone = build_clip_backbone(name, weights="none", size=32, frames=frames, pool=pool)
    clip = torch.randn(frames, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    last = last_maps_of(backbone, clip)
    torch.testing.assert_close(
        last.finish(last.maps), backbone(clip.unsqueeze(0)), rtol=1e-3, atol=1e-4
    )


def test_a_model_that_reads_one_token_is_refused() -> None:
    backbone = build_clip_backbone("test-mvit", weights="none", size=32, frames=4)
    with pytest.raises(UsageError, match=r"test-mvit .* cannot be traced"):
        last_maps_of(backbone, torch.zeros(4, 3, 32, 32))


# Evidence ---------------------------------------------------------------------------------------


def test_evidence_of_what_is_linear_adds_up_to_the_log_odds() -> None:
    built = recognizer("head={name: mean, standardise: false}")
    look = Look(built, [film()], SEEN)
    (maps,) = look.evidence(1)
    bias = built.head.classifier.bias  # type: ignore[union-attr]
    logits = built.logits(look.features, look.mask)
    wanted = (log_odds(logits, 1) - (bias[1] - bias[0])).detach()  # type: ignore[index]
    assert maps.shape == (FRAMES, 2, 2)
    assert maps.sum() == pytest.approx(float(wanted), rel=1e-3)


def test_evidence_of_a_head_that_reads_order_adds_up_to_what_moving_changes() -> None:
    built = recognizer("head={name: gru, hidden: 8, centre: true, standardise: false}")
    with torch.no_grad():  # not so saturated that sixteen steps would be too few
        for parameter in built.head.parameters():
            parameter.mul_(0.6)
    look = Look(built, [film(2)], SEEN)
    still = look.features.mean(dim=1, keepdim=True).expand_as(look.features)
    moving, resting = (log_odds(built.logits(f, look.mask), 0) for f in (look.features, still))
    wanted = float((moving - resting).detach())
    assert abs(wanted) > 0.02
    assert look.evidence(0)[0].sum() == pytest.approx(wanted, rel=0.03)


def test_what_stands_still_says_nothing_where_only_change_counts() -> None:
    built = recognizer("head={name: gru, hidden: 8, centre: true}", "streams.0.backbone=resnet10t")
    frames = np.repeat(film(3)[:1], FRAMES, axis=0)
    (maps,) = Look(built, [frames], SEEN).evidence(0)
    assert np.abs(maps).max() < 1e-4


def test_evidence_falls_where_the_model_looks() -> None:
    """Of a grid's parts the classifier reads the lower right one alone."""
    built = recognizer("streams.0.grid=2", "head={name: mean, standardise: false}", size=128)
    weight = built.head.classifier.weight  # type: ignore[union-attr]
    with torch.no_grad():
        weight[:, : weight.shape[1] * 3 // 4] = 0  # type: ignore[index,operator]
    (maps,) = Look(built, [film(4, size=128)], SEEN).evidence(0)
    assert maps.shape == (FRAMES, 4, 4)
    assert np.abs(maps[:, 2:, 2:]).min() > 0
    maps[:, 2:, 2:] = 0
    assert np.abs(maps).max() == 0


@pytest.mark.parametrize("head", ["gru", "bilstm-attention", "self-attention", "statistics"])
def test_padding_says_nothing_and_changes_nothing(head: str) -> None:
    built = recognizer(f"head={{name: {head}}}")
    mask = np.array([True, True, False, True])
    one, two = film(5), film(5)
    two[2] = film(6)[0]
    first, second = (Look(built, [frames], mask) for frames in (one, two))
    assert (first.evidence(0)[0][2] == 0).all()
    np.testing.assert_allclose(first.evidence(0)[0], second.evidence(0)[0], atol=1e-5)
    weights = first.attention()
    assert (weights is None) == ("attention" not in head)
    if weights is not None:
        assert weights[2] == 0
        assert weights.sum() == pytest.approx(1)


def test_a_random_head_gives_another_map() -> None:
    """Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018."""
    built, frames = recognizer("streams.0.grid=2", size=128), film(7, size=128)
    (before,) = Look(built, [frames], SEEN).evidence(0)
    with torch.no_grad():
        for parameter in built.head.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
            )
    (after,) = Look(built, [frames], SEEN).evidence(0)
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.5


def test_each_stream_has_its_map_and_speaks_by_its_weight() -> None:
    streams = "streams=[{kind: rgb, backbone: %s, weights: none, size: 64}, "
    streams += "{kind: difference, backbone: %s, weights: none, size: 96}]"
    built = recognizer(streams % (SMALL, SMALL), "head={name: late-fusion, of: mean}")
    built.head.weights.copy_(torch.tensor([1.0, 0.0]))  # type: ignore[operator,union-attr]
    one, two = Look(built, [film(8), film(8, size=96)], SEEN).evidence(0)
    assert one.shape == (FRAMES, 2, 2)
    assert two.shape == (FRAMES, 3, 3)
    assert np.abs(one).max() > 0
    assert np.abs(two).max() == 0


def test_a_video_model_has_maps_over_its_frames() -> None:
    built = recognizer("streams.0.grid=1", backbone="test-swin3d", size=32)
    (maps,) = Look(built, [film(9, size=32)], SEEN).evidence(0)
    assert maps.shape == (FRAMES, 4, 4)
    np.testing.assert_array_equal(maps[0], maps[1])  # two frames are one step of the model
    assert np.abs(maps).max() > 0


def test_attention_over_the_tokens_of_a_video_model() -> None:
    built = recognizer(
        "streams.0.grid=1",
        "streams.0.pool=tokens",
        "head={name: attentive-probe, heads: 2}",
        backbone="test-mvit",
        size=32,
    )
    weights = Look(built, [film(10, size=32)], SEEN).attention()
    assert weights is not None
    assert weights.shape == (FRAMES,)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights[1] != weights[2]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    visible=st.lists(st.booleans(), min_size=5, max_size=5).filter(any),
)
def test_time_is_shared_anew_but_nothing_is_added(seed: int, visible: list[bool]) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps, gradient = (torch.randn(5, 3, 2, 2, generator=generator) for _ in range(2))
    seen = torch.tensor(visible)
    plain = (maps * gradient).sum(dim=1)[seen].sum(dim=0)
    found = spoken_by(maps, gradient, seen)
    torch.testing.assert_close(found.sum(dim=0), plain, rtol=1e-4, atol=1e-5)
    assert (found[~seen] == 0).all()


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    share = logits.softmax(dim=1)[0, 2]
    assert float(log_odds(logits, 2)) == pytest.approx(float((share / (1 - share)).log()))
    assert float(log_odds(logits, 1, multilabel=True)) == -2
    assert float(log_odds(logits[:, :1], 0)) == 1


def test_inputs_must_be_one_for_each_stream() -> None:
    with pytest.raises(UsageError, match="2 inputs for 1 streams"):
        Look(recognizer(), [film(), film()], SEEN)
