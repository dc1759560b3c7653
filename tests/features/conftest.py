"""Small videos and a small backbone, so that whole extractions take a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample

SIZE = 64
BACKBONE = "mobilenetv3_small_050"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Threads that wait for one another on a busy machine make small networks slow."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """Write a small H.264 file whose frames differ from one another and from other seeds'."""

    def write(
        path: Path, *, seed: int = 0, frames: int = 12, size: tuple[int, int] = (96, 64)
    ) -> Path:
        import av

        width, height = size
        y, x = np.mgrid[0:height, 0:width]
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "20"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for t in range(frames):
                wave = np.sin(x / (5 + seed) + t / 2) + np.cos(y / (3 + seed % 7) - t / 3)
                image = np.stack([128 + 60 * wave, 255 * x / width, 20 * (seed % 12) + 0 * x], -1)
                frame = av.VideoFrame.from_ndarray(image.clip(0, 255).astype(np.uint8), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder of 24 readable videos, 00.mp4 to 23.mp4."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(24):
        write_clip(folder / f"{seed:02}.mp4", seed=seed, frames=10 + seed % 5)
    return folder


@pytest.fixture
def manifest(clips: Path) -> Manifest:
    return Manifest([Sample(f"{i:02}.mp4", row=i + 2) for i in range(24)], clips)


@pytest.fixture
def recipe() -> Recipe:
    return make_recipe()


@pytest.fixture(scope="session")
def recipe_with() -> Callable[..., Recipe]:
    """The tests' recipe with further overrides."""
    return make_recipe


def make_recipe(*overrides: str) -> Recipe:
    return load_recipe(
        "default",
        [
            "sampling.frames=4",
            f"streams.0.backbone={BACKBONE}",
            "streams.0.weights=none",
            f"streams.0.size={SIZE}",
            "streams.0.fit=crop",
            "streams.0.grid=1",
            *overrides,
        ],
    )
