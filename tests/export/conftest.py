"""A small run whose head has been given opinions, and tiny recognizers of all kinds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from frameflow.config import dump_recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.evaluation.calibration import Calibration
from frameflow.models.recognizer import Recognizer, build_recognizer

LABELS = ["sits", "walks", "wäscht, schnell"]


def make_recognizer(*changes: str, labels: list[str] | None = None) -> Recognizer:
    """Untrained, but of different opinions on different clips, and calibrated."""
    recipe = load_recipe(
        "default",
        [
            "sampling.frames=4",
            "streams.0.backbone=resnet10t",
            "streams.0.weights=none",
            "streams.0.size=32",
            "streams.0.grid=1",
            "head.name=mean",
            *changes,
        ],
    )
    torch.manual_seed(0)
    names = labels or LABELS
    recognizer = build_recognizer(recipe, names).eval()
    with torch.no_grad():
        for parameter in recognizer.head.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    scale, bias = (1.5, 0.7, 1.1)[: len(names)], (0.2, -0.1, 0.0)[: len(names)]
    several = recognizer.recipe.multilabel
    calibration = Calibration("vector", scale, bias, multilabel=several)
    recognizer.extra["calibration"] = calibration.to_dict()
    return recognizer


@pytest.fixture(scope="session")
def _films(tmp_path_factory: pytest.TempPathFactory, film: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number in range(14):
        film(folder / "clips" / f"{number:02d}.mp4", scene=number, seed=number)
    return folder


@pytest.fixture
def make_run(tmp_path: Path, _films: Path) -> Callable[..., Path]:
    """Saves a recognizer as a run, its clips beside it."""

    def make(recognizer: Recognizer, *, videos: bool = True) -> Path:
        run = tmp_path / "a run"
        recognizer.save(run, recognizer.extra)
        (run / "recipe.yaml").write_text(dump_recipe(recognizer.recipe), encoding="utf-8")
        if videos:
            shutil.copytree(_films / "clips", tmp_path / "clips")
        splits = ["train"] * 7 + ["val"] * 3 + ["test"] * 4
        labels = recognizer.labels
        samples = [
            Sample(f"../clips/{n:02d}.mp4", labels[n % len(labels)], split=split, group=f"g{n}")
            for n, split in enumerate(splits)
        ]
        Manifest(samples, run).write(run / "manifest.csv")
        return run

    return make


@pytest.fixture
def recognizer() -> Callable[..., Recognizer]:
    return make_recognizer
