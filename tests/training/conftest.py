"""Small features whose classes a head can learn."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from frameflow.data.manifest import Manifest, Sample
from frameflow.training.examples import ArrayFeatures, FeatureExamples

sys.path.append(str(Path(__file__).parent))  # for tiny_clips, which children run too


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


TINY = [
    "sampling.frames=4",
    "streams.0.backbone=resnet10t",
    "streams.0.weights=none",
    "streams.0.size=32",
    "head.name=mean",
    "train.epochs=30",
    "train.lr=0.02",
    "train.patience=30",
    "evaluation.resamples=100",
]


@pytest.fixture
def tiny() -> list[str]:
    """Overrides that make the default recipe small: random weights, four frames of 32 px."""
    return list(TINY)


@pytest.fixture(scope="session")
def always_tiny() -> list[str]:
    """The same for what is made once for several tests."""
    return list(TINY)


@pytest.fixture(scope="session")
def made_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders: the class is a colour, the group (in the name, as in UCF101) a pattern."""
    from frameflow.video.write import write_video

    root = tmp_path_factory.mktemp("made") / "colour clips"
    colours = {"red": (200, 30, 30), "green, dark": (30, 160, 30), "blå": (30, 30, 200)}
    for label, colour in colours.items():
        (root / label).mkdir(parents=True)
        for group in range(1, 7):
            pattern = np.random.default_rng(group).integers(0, 90, (6, 8, 3))
            for number in range(1, 3):
                noise = np.random.default_rng([group, number]).integers(-20, 20, (6, 6, 8, 3))
                small = np.clip(pattern + colour + noise, 0, 255).astype(np.uint8)
                frames = small.repeat(8, axis=1).repeat(8, axis=2)
                write_video(root / label / f"v_X_g{group:02d}_c{number:02d}.mp4", frames)
    return root


@pytest.fixture
def videos(made_videos: Path, tmp_path: Path) -> Path:
    """A copy of the class folders that the test may change."""
    return Path(shutil.copytree(made_videos, tmp_path / "colour clips"))


@pytest.fixture
def manifest(videos: Path) -> Manifest:
    """The same as a manifest with groups, and a split of them: 4 train, 1 val, 1 test."""
    return _manifest_of(videos)


@pytest.fixture(scope="session")
def made_manifest(made_videos: Path) -> Manifest:
    """That of the class folders themselves, for tests that leave the videos as they are."""
    return _manifest_of(made_videos)


def _manifest_of(videos: Path) -> Manifest:
    splits = ["train"] * 4 + ["val", "test"]
    samples = []
    for path in sorted(videos.rglob("*.mp4")):
        group = int(path.name[5:7])
        name = path.relative_to(videos).as_posix()
        samples.append(Sample(name, path.parent.name, split=splits[group - 1], group=f"g{group}"))
    return Manifest(samples, videos)
