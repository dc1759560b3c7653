from pathlib import Path

import numpy as np
import pytest

from frameflow.data.manifest import Manifest, Sample
from frameflow.video.write import write_video


def room(seed: int) -> np.ndarray:
    """A (48, 96, 3) picture of coloured blocks; another seed gives another room."""
    blocks = np.random.default_rng(seed).integers(20, 235, (6, 12, 3))
    return blocks.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def film(path: Path, *, scene: int, seed: int) -> None:
    """Twelve frames of a white square that wanders through a room, with some noise."""
    rng = np.random.default_rng(seed)
    frames = np.repeat(room(scene)[None], 12, axis=0).astype(int)
    start = rng.integers(0, 60)
    for index, frame in enumerate(frames):
        frame[15:35, start + 2 * index : start + 2 * index + 12] = 255
    frames += rng.integers(-6, 7, frames.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.clip(frames, 0, 255).astype(np.uint8), rate=12)


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Sixteen clips of four rooms, four of each; ``group`` is hidden in the column ``room``."""
    folder = tmp_path_factory.mktemp("rooms")
    samples = []
    for number in range(16):
        name = f"clip{number:02d}.mp4"
        film(folder / name, scene=number % 4, seed=number)
        label = "run" if number < 8 else "walk"
        samples.append(Sample(video=name, label=label, extra={"room": str(number % 4)}))
    return Manifest(samples, folder)
