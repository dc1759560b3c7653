"""Timelines made of numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from frameflow.inference.timeline.compute import Timeline
from frameflow.inference.timeline.plan import WindowPlan

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor


def timeline_of(
    probabilities: Any,
    *,
    labels: tuple[str, ...] | None = None,
    length: float = 2.0,
    stride: float = 1.0,
    multilabel: bool = False,
    abstained: Any = None,
    video: str = "match.mp4",
    ending: bool = False,
) -> Timeline:
    """Windows of 2 s, one each second; the letters name the labels."""
    shares = np.asarray(probabilities, dtype=np.float32)
    starts = np.arange(len(shares)) * stride
    return Timeline(
        video=video,
        labels=labels or tuple("abcdefgh"[: shares.shape[1]]),
        starts=starts,
        ends=starts + length,
        probabilities=shares,
        abstained=np.zeros(len(shares), bool) if abstained is None else np.asarray(abstained),
        duration=float(starts[-1] + length) if len(shares) else 1.0,
        rate=25.0,
        width=64,
        height=48,
        plan=WindowPlan(length, stride, 4.0, ending=ending),
        multilabel=multilabel,
    )


@pytest.fixture(scope="session")
def make_timeline() -> Callable[..., Timeline]:
    """``make_timeline(probabilities, labels=..., multilabel=...)``."""
    return timeline_of


# Predictors with tiny untrained backbones, and long films for them ----------------------------


def predictor(*overrides: str, recipe: str = "default", **extra: object) -> "Predictor":
    """Of a recipe with four frames of 32 px and a head that is of different opinions."""
    import torch

    from frameflow.config import load_recipe
    from frameflow.inference.predictor import Predictor
    from frameflow.models.recognizer import build_recognizer

    tiny = [
        "sampling.frames=4",
        "streams.0.backbone=resnet10t",
        "streams.0.weights=none",
        "streams.0.size=32",
        "head.name=mean",
    ]
    torch.manual_seed(0)
    recognizer = build_recognizer(load_recipe(recipe, [*tiny, *overrides]), ["run", "sit", "wave"])
    recognizer.extra = {"clip_seconds": 1.0, **extra}
    made = Predictor(recognizer.eval(), engine="torch")
    pictures = np.random.default_rng(0).integers(0, 255, (16, 4, 4, 3), dtype=np.uint8)
    flat = []
    for engine, stream in zip(made.encoder.engines, made.recognizer.backbones()):
        size = stream.preprocess.size
        images = pictures.repeat(size // 4 + 1, 1).repeat(size // 4 + 1, 2)[:, :size, :size]
        images = images if engine.steps is None else images.reshape(4, -1, size, size, 3)
        flat.append(torch.from_numpy(engine(images)).reshape(4, -1, engine.dim))
    features = torch.cat(flat, dim=-1)
    recognizer.head.prepare([(features, torch.ones(features.shape[:2], dtype=torch.bool))])
    with torch.no_grad():
        for parameter in recognizer.head.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))
    return made


def film(path: Path, *, seconds: float, rate: float = 20, seed: int = 0) -> Path:
    """Scenes of a second each, in which a block wanders."""
    from frameflow.video.write import write_video

    rng = np.random.default_rng(seed)
    frames = np.empty((round(seconds * rate), 48, 64, 3), np.uint8)
    scene = np.zeros((48, 64, 3), np.uint8)
    for index, frame in enumerate(frames):
        if index % round(rate) == 0:
            scene = rng.integers(20, 200, (4, 4, 3)).repeat(12, 0).repeat(16, 1)
        frame[:] = scene
        frame[index % 30 :, 2 * index % 50 :][:14, :14] = 250
    write_video(path, frames, rate=rate)
    return path


@pytest.fixture(scope="session")
def make_predictor(_one_thread: None) -> "Callable[..., Predictor]":
    """``make_predictor("head.name=gru", recipe="default", extra_key=...)``."""
    return predictor


@pytest.fixture(scope="session")
def make_film() -> Callable[..., Path]:
    """``make_film(path, seconds=6, rate=20)``, 64 x 48."""
    return film


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of 20 frames, 64 x 48."""
    return film(tmp_path_factory.mktemp("films") / "film.mp4", seconds=6)
