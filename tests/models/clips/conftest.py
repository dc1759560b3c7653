"""The tiny video models of each family, and a clip for each."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from frameflow.models.clips import ClipBackbone

torch.set_num_threads(1)  # the tensors here are small: threads would only wait for one another


@pytest.fixture
def clips_for() -> Callable[[ClipBackbone], Tensor]:
    """``(2, T, 3, H, W)`` of noise that a video model takes."""

    def make(backbone: ClipBackbone) -> Tensor:
        side = backbone.preprocess.size
        generator = torch.Generator().manual_seed(1)
        return torch.randn(2, backbone.frames, 3, side, side, generator=generator)

    return make
