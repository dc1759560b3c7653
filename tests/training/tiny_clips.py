"""A tiny recognizer of tiny clips, learning end to end in threads; also run as a script."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from frameflow.config import Train, Unfreeze
from frameflow.models.backbones import Backbone, Preprocess, normalise
from frameflow.models.weights import Weights
from frameflow.training import _checkpoint
from frameflow.training.examples import Batch
from frameflow.training.history import Fitted
from frameflow.training.loop import fit

SIDE, FRAMES, CLASSES = 8, 3, 3

# Everything that must survive a kill: rounds, plateau, average, accumulation, thawing parts.
EVERYTHING = Train(
    epochs=4,
    batch_size=4,
    accumulate=2,
    lr=0.02,
    schedule="plateau",
    plateau=1,
    warmup_epochs=1,
    rounds=(1.0, 0.3),
    ema=0.9,
    patience=3,
    clip_grad=1.0,
    learn=(Unfreeze(parts=("4",), epoch=1, lr=0.5), Unfreeze(parts=("*",), epoch=2, lr=0.1)),
    layer_decay=0.8,
    norm="learn",
    precision="float32",
)


class TinyClips(nn.Module):
    """Frames through a backbone, their mean, dropout, a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = tiny_backbone()
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(6, CLASSES)

    def forward(self, inputs: list[Tensor], mask: Tensor) -> Tensor:
        (images,) = inputs
        frames = normalise(images.flatten(0, 1), self.backbone.preprocess)
        features = self.backbone(frames).unflatten(0, images.shape[:2])
        mean = (features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.out(self.drop(mean))


def tiny_backbone() -> Backbone:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    preprocess = Preprocess(SIDE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Backbone(
        model, name="tiny", dim=6, preprocess=preprocess, weights=Weights("none", "none")
    )


def tiny_module(seed: int = 0) -> TinyClips:
    torch.manual_seed(seed)
    return TinyClips()


class TinyVideos:
    """Clips whose class is a colour; augmentation is noise.

    Args:
        samples: how many.
        workers: threads that make batches.
        pause: seconds that a batch takes to make.
    """

    def __init__(
        self, samples: int = 22, *, seed: int = 0, workers: int = 2, pause: float = 0.0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.targets = np.arange(samples) % CLASSES
        self.images = rng.integers(0, 120, (samples, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
        for image, target in zip(self.images, self.targets):
            image[..., target] += 60
        self.workers, self.pause = workers, pause

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        time.sleep(self.pause)
        images = self.images[rows]
        if rng is not None:
            images = images + rng.integers(0, 40, images.shape, dtype=np.uint8)
        mask = torch.ones(len(rows), FRAMES, dtype=torch.bool)
        return Batch([torch.from_numpy(images)], mask, torch.from_numpy(self.targets[rows]))

    def names(self, rows: np.ndarray) -> list[str]:
        return [f"clip{row}.mp4" for row in rows]


def fit_tiny(
    module: TinyClips,
    training: TinyVideos,
    folder: Path | None,
    *,
    settings: Train = EVERYTHING,
    resume: bool = False,
) -> Fitted:
    return fit(
        module,
        training,
        TinyVideos(12, seed=1),
        settings,
        backbones=[module.backbone],
        folder=folder,
        resume=resume,
    )


def checkpoint_always() -> None:
    """After every update."""
    _checkpoint.INTERVAL, _checkpoint.COST = 0.0, float("inf")


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoint_always()
    fit_tiny(
        tiny_module(),
        TinyVideos(pause=0.05),
        Path(sys.argv[1]),
        resume="--resume" in sys.argv,
    )
