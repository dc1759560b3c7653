"""A finished run with a tiny backbone of random weights, and tiny clips it can look at."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from frameflow.config import dump_recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.video.write import write_video

LABELS = ["läuft, schnell", "sitzt", "winkt"]


def clip(seed: int, *, frames: int = 12, side: int = 48) -> np.ndarray:
    """Blobs of colour that drift: any two seeds look different."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (frames // 3 + 1, 4, 5, 3), dtype=np.uint8)
    return small.repeat(3, axis=0)[:frames].repeat(side // 4, axis=1).repeat(side // 4, axis=2)


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from frameflow.features.extract import make_encoder
    from frameflow.models.recognizer import build_recognizer

    root = tmp_path_factory.mktemp("made")
    (root / "clips").mkdir()
    samples = []
    for number in range(18):
        split = "test" if number < 9 else "val" if number < 12 else "train"
        name = f"clips/{number:02d}.mp4"
        write_video(root / name, clip(number))
        group = f"{split}{number % 4}"
        samples.append(Sample(f"../{name}", LABELS[number % 3], split=split, group=group))
    torch.manual_seed(0)
    recipe = load_recipe(
        "default",
        [
            "sampling.frames=4",
            "streams.0.backbone=resnet10t",
            "streams.0.weights=none",
            "streams.0.size=32",
            "head.name=mean",
            "evaluation.resamples=100",
        ],
    )
    run = root / "first run"
    recognizer = build_recognizer(recipe, LABELS)
    encoder = make_encoder(recognizer, engine="torch")
    found = [encoder.encode(encoder.read(path)) for path in sorted((root / "clips").iterdir())]
    features, mask = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*found))
    recognizer.head.prepare([(features, mask)])
    with torch.no_grad():  # untrained, but of different opinions on different clips
        for parameter in recognizer.head.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))
    recognizer.save(run)
    (run / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    (run / "history.csv").write_text(
        "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,seconds\n"
        "1,0.001,1.2,0.3,1.1,0.3,,0.1\n2,0.001,0.9,0.5,1.0,0.4,,0.1\n",
        encoding="utf-8",
    )
    Manifest(samples, run).write(run / "manifest.csv")
    return root


@pytest.fixture
def run(_made: Path, tmp_path: Path) -> Path:
    """A copy of the run that the test may write into; the clips are beside it."""
    shutil.copytree(_made, tmp_path / "made")
    return tmp_path / "made" / "first run"


@pytest.fixture(scope="session")
def blobs() -> Callable[..., np.ndarray]:
    """``blobs(seed, frames=12, side=48)``: (T, H, W, 3), drifting colours."""
    return clip


@pytest.fixture
def settle() -> Callable[..., None]:
    """Give a run a calibration and a refusal: ``settle(run, scale=, quantile=, threshold=)``."""
    from frameflow.evaluation.abstain import Refusal
    from frameflow.evaluation.calibration import Calibration
    from frameflow.models.recognizer import Recognizer

    def change(run: Path, *, scale: float, quantile: float | None, threshold: float | None) -> None:
        recognizer = Recognizer.load(run)
        calibration = Calibration("temperature", (scale,) * 3, (0.0,) * 3, "50 clips", 50)
        refusal = Refusal(0.1, quantile, threshold, 0.95, None, 50, 12, "groups", "50 clips")
        settled = {"calibration": calibration.to_dict(), "refusal": refusal.to_dict()}
        recognizer.save(run, extra=settled | {"refusal_reason": ""})

    return change


@pytest.fixture
def clips(run: Path) -> list[Path]:
    """The clips of the run's manifest, in its order."""
    return sorted((run.parent / "clips").iterdir())


@pytest.fixture
def write_manifest(run: Path) -> Callable[..., Path]:
    """Writes another manifest over the same clips: ``write("name", [Sample(...), ...])``."""

    def write(name: str, samples: list[Sample]) -> Path:
        path = run.parent / f"{name}.csv"
        Manifest(samples, run.parent).write(path)
        return path

    return write


SETS = ["läuft, schnell", "läuft, schnell|winkt", "none", "sitzt|winkt", "winkt"]


@pytest.fixture
def run_of_sets(run: Path) -> Path:
    """The run as one of multi-label: the same weights, and label cells that hold several."""
    from dataclasses import replace

    from frameflow.config import load_recipe
    from frameflow.models.recognizer import Recognizer

    recognizer = Recognizer.load(run)
    recognizer.recipe = load_recipe(recognizer.recipe, ["multilabel=true"])
    recognizer.save(run)
    (run / "recipe.yaml").write_text(dump_recipe(recognizer.recipe), encoding="utf-8")
    manifest = Manifest.read(run / "manifest.csv")
    samples = [replace(sample, label=SETS[n % 5]) for n, sample in enumerate(manifest)]
    manifest.replace(samples).write(run / "manifest.csv")
    return run
