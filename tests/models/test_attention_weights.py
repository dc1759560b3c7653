"""Weights over time of heads that have attention."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.models.heads import build_head, head_names
from frameflow.models.heads.base import Head
from frameflow.models.heads.bilstm_attention import BilstmAttentionHead
from frameflow.models.heads.late_fusion import LateFusionHead

DIM, FRAMES = 6, 7
WITH = {
    "bilstm-attention": {"hidden": 5, "attention": 4},
    "self-attention": {"width": 16, "heads": 2},
    "attentive-probe": {"heads": 2, "depth": 2},
}


def make(name: str, **options: Any) -> Head:
    generator = torch.Generator().manual_seed(0)
    head = build_head(name, dim=DIM, frames=FRAMES, classes=3, **WITH.get(name, {}), **options)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return head.eval()


def clips(seed: int, count: int = 1) -> torch.Tensor:
    return torch.randn(count, FRAMES, DIM, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", sorted(WITH))
@settings(max_examples=15, deadline=None)
@given(
    seen=st.lists(st.booleans(), min_size=FRAMES, max_size=FRAMES).filter(any),
    seed=st.integers(0, 999),
)
def test_weights_are_shares_of_the_visible_frames(name: str, seen: list[bool], seed: int) -> None:
    head, mask, features = make(name), torch.tensor([seen]), clips(seed)
    features[~mask] = math.nan
    weights = head.attention_weights(features, mask)
    assert weights is not None
    assert weights.shape == (1, FRAMES)
    assert (weights[~mask] == 0).all()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_the_states_so_weighted_are_what_the_classifier_sees() -> None:
    head, features = make("bilstm-attention"), clips(1)
    assert isinstance(head, BilstmAttentionHead)
    mask = torch.tensor([[False, True, True, False, True, True, False]])
    weights = head.attention_weights(features, mask)
    assert weights is not None
    states, _ = head.recurrent(features[:, mask[0]], mask.sum(dim=1))
    context = weights[:, mask[0]].unsqueeze(1) @ head.value(states)
    torch.testing.assert_close(head.classifier(context.squeeze(1)), head(features, mask))
    assert weights[mask].std() > 0.01  # not the mean in disguise


def test_a_probe_looks_where_its_query_points() -> None:
    head = build_head("attentive-probe", dim=4, frames=5, classes=2, heads=1)
    features, mask = torch.zeros(1, 5, 4), torch.ones(1, 5, dtype=torch.bool)
    features[0, 3] = torch.tensor([3.0, -3.0, 3.0, -3.0])
    with torch.no_grad():
        head.attention.project_query.bias.copy_(torch.tensor([9.0, -9.0, 9.0, -9.0]))  # type: ignore[union-attr]
        head.attention.project_tokens.weight[:4].copy_(torch.eye(4))  # type: ignore[union-attr]
    weights = head.eval().attention_weights(features, mask)
    assert weights is not None
    assert weights[0, 3] > 0.99


def test_fused_streams_have_their_weighted_mean() -> None:
    head = make("late-fusion", of="attentive-probe", dims=[4, 2], heads=2)
    assert isinstance(head, LateFusionHead)
    head.weights.copy_(torch.tensor([0.75, 0.25]))
    features, mask = clips(2, count=2), torch.ones(2, FRAMES, dtype=torch.bool)
    parts = zip(head.heads, features.split([4, 2], dim=2), strict=True)
    one, two = (inner.attention_weights(part, mask) for inner, part in parts)  # type: ignore[operator]
    found = head.attention_weights(features, mask)
    assert found is not None
    torch.testing.assert_close(found, 0.75 * one + 0.25 * two)


@pytest.mark.parametrize("name", sorted(set(head_names()) - set(WITH)))
def test_other_heads_have_none(name: str) -> None:
    mask = torch.ones(1, FRAMES, dtype=torch.bool)
    assert make(name).attention_weights(clips(3), mask) is None


@pytest.mark.parametrize("name", sorted(WITH))
def test_a_clip_without_visible_frames_has_no_weights(name: str) -> None:
    weights = make(name).attention_weights(clips(4), torch.zeros(1, FRAMES, dtype=torch.bool))
    assert weights is not None
    assert (weights == 0).all()
