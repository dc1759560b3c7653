"""Small recognizers and features for the tests of the models."""

import pytest
import torch

from frameflow.config import Recipe, load_recipe

torch.set_num_threads(1)  # the tensors here are small: threads would only wait for one another


@pytest.fixture
def recipe() -> Recipe:
    """Two streams that look through one small backbone of random values."""
    stream = "backbone: resnet10t, weights: none, size: 32"
    streams = f"streams=[{{kind: rgb, {stream}}}, {{kind: difference, gain: 2, {stream}}}]"
    return load_recipe("default", [streams, "sampling.frames=4", "head={name: gru, hidden: 8}"])
