"""Grid features keep where something is, which pooled features lose."""

import numpy as np
import pytest
import torch

from frameflow.config import load_recipe
from frameflow.models.backbones import build_backbone
from frameflow.models.heads import build_head
from frameflow.models.pooling import part_weights
from frameflow.models.recognizer import Recognizer, build_recognizer


@pytest.mark.parametrize(("length", "parts"), [(7, 1), (7, 2), (7, 3), (5, 3), (2, 3), (6, 6)])
def test_parts_are_those_of_adaptive_pooling(length: int, parts: int) -> None:
    line = torch.rand(1, 1, length)
    expected = torch.nn.functional.adaptive_avg_pool1d(line, parts)
    torch.testing.assert_close((part_weights(length, parts) @ line[0, 0])[None, None], expected)


@pytest.mark.parametrize(("part", "top", "left"), [(0, 0, 0), (1, 0, 96), (2, 96, 0), (3, 96, 96)])
def test_a_part_shows_what_is_in_it(part: int, top: int, left: int) -> None:
    model = build_backbone("lite0", size=160, grid=2)
    frames = torch.zeros(2, 3, 160, 160)
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    frames[1, :, top : top + 64, left : left + 64] = noise
    with torch.no_grad():
        empty, shown = model(frames).view(2, 4, -1)
    change = (shown - empty).abs().mean(1)
    assert change.argmax() == part


def test_a_recognizer_keeps_its_grid(tmp_path: object) -> None:
    changes = [
        "streams.0.backbone=mobilenetv3_small_050",
        "streams.0.weights=none",
        "streams.0.size=64",
        "streams.0.grid=2",
    ]
    made = build_recognizer(load_recipe("default", changes), ["a", "b"])
    made.save(str(tmp_path))
    loaded = Recognizer.load(str(tmp_path))
    frames = np.random.default_rng(0).integers(0, 255, (1, 3, 64, 64, 3), dtype=np.uint8)
    torch.testing.assert_close(loaded.encode([frames]), made.eval().encode([frames]))


@pytest.mark.parametrize("name", ["gru", "conv1d", "statistics"])
def test_a_centred_head_does_not_see_what_is_constant(name: str) -> None:
    torch.manual_seed(0)
    head = build_head(name, dim=6, frames=5, classes=3, centre=True).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    features, mask = torch.randn(4, 5, 6), torch.ones(4, 5, dtype=torch.bool)
    mask[:, 4] = False
    moved = features + torch.randn(4, 1, 6)
    same = torch.allclose(head(features, mask), head(moved, mask), atol=1e-4)
    # The statistics head centres the parts' means only; mean and maximum still see the scene.
    assert same == (name != "statistics")
    head.prepare([(moved, mask)])
    torch.testing.assert_close(head(features, mask), head(features, mask))
