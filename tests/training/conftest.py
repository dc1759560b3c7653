"""Small features whose classes a head can learn."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from frameflow.training.examples import ArrayFeatures, FeatureExamples


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tiny products only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class MeanHead(nn.Module):
    """The mean over unmasked frames, standardised, with dropout (which uses torch's generator)."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(dim))
        self.hidden = nn.Linear(dim, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(16, classes)

    def prepare(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.shift.copy_(torch.cat([features[mask] for features, mask in batches]).mean(0))

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mean = ((features - self.shift) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.out(self.drop(torch.relu(self.norm(self.hidden(mean)))))


@pytest.fixture
def make_head() -> Callable[..., nn.Module]:
    def make(dim: int = 12, classes: int = 4, *, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return MeanHead(dim, classes)

    return make


@pytest.fixture
def make_examples() -> Callable[..., FeatureExamples]:
    def make(
        samples: int = 120, *, classes: int = 4, views: int = 2, noise: float = 1.0, seed: int = 0
    ) -> FeatureExamples:
        rng = np.random.default_rng(seed)
        centres = np.random.default_rng(99).normal(size=(classes, 12))
        targets = np.arange(samples) % classes
        features = centres[targets][None, :, None, :] + noise * rng.normal(
            size=(views, samples, 6, 12)
        )
        mask = np.ones((views, samples, 6), dtype=bool)
        mask[:, ::5, 4:] = False
        return FeatureExamples(ArrayFeatures(features.astype(np.float16), mask), targets)

    return make
