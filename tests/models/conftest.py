"""Small recognizers and features for the tests of the models."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from frameflow.config import Recipe, load_recipe

torch.set_num_threads(1)  # the tensors here are small: threads would only wait for one another


@pytest.fixture
def recipe() -> Recipe:
    """Two streams that look through one small backbone of random values."""
    stream = "backbone: resnet10t, weights: none, size: 32"
    streams = f"streams=[{{kind: rgb, {stream}}}, {{kind: difference, gain: 2, {stream}}}]"
    return load_recipe("default", [streams, "sampling.frames=4", "head={name: gru, hidden: 8}"])


def waken(model: nn.Module) -> None:
    """Fresh residual branches end in a normalisation of scale 0: nothing in them shows."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)


@pytest.fixture
def awake() -> Callable[[nn.Module], None]:
    return waken
