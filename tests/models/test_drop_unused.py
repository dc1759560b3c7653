"""Pooled maxima need nothing behind the last stage, so it is neither kept nor saved."""

import pytest
import torch

from frameflow.models import weights
from frameflow.models.backbones import build_backbone, restore_backbone
from frameflow.models.pooling import drop_unused, last_maps


@pytest.mark.parametrize(
    "name",
    ["resnet10t", "mobilenetv3_small_050", "tf_efficientnet_lite0", "convnext_atto", "regnetx_002"],
)
def test_the_maps_stay_as_they_are(name: str) -> None:
    model = weights.create_model(name)
    frames = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = last_maps(model, frames)
        drop_unused(model)
        assert torch.equal(last_maps(model, frames), expected)


def test_a_backbone_without_its_last_layers_is_described_and_restored() -> None:
    full = build_backbone("mobilenetv3_small_050", weights="none", size=64)
    backbone = build_backbone("mobilenetv3_small_050", weights="none", size=64, pool="max")
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count < 0.5 * sum(parameter.numel() for parameter in full.parameters())
    described = backbone.describe()
    assert described["source"] == full.weights.source, "nothing was trained"
    again = restore_backbone(described)
    again.model.load_state_dict(backbone.model.state_dict())
    frames = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(frames), backbone(frames))
