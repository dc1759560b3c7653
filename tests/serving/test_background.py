"""Long work in small pieces, each after the predictions that wait."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.serving import background
from frameflow.serving.background import PoliteEngine, in_background
from frameflow.serving.batching import Batcher


@pytest.fixture(scope="module")
def predictor(served: Path, _one_thread: None) -> Any:
    from frameflow.inference.predictor import load

    return load(served / "run", engine="torch")


class Counting:
    """An engine that remembers how much it was given at once."""

    name, precision, dim = "torch", "float32", 2

    def __init__(self, *, batch: int, steps: int | None = None) -> None:
        self.batch, self.steps = batch, steps
        self.given: list[int] = []

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        self.given.append(len(frames))
        return flat(frames).astype(np.float32)


def flat(frames: np.ndarray) -> np.ndarray:
    """(N, 2): two numbers of each frame."""
    return frames.reshape(len(frames), int(np.prod(frames.shape[1:])))[:, :2]


@pytest.mark.parametrize(
    ("batch", "steps", "shape", "pieces"),
    [
        (64, None, (40, 4, 4, 3), [16, 16, 8]),
        (8, None, (20, 4, 4, 3), [8, 8, 4]),
        (64, 2, (5, 8, 4, 4, 3), [2, 2, 1]),  # clips of 8 frames
        (64, 2, (3, 32, 4, 4, 3), [1, 1, 1]),
        (64, None, (0, 4, 4, 3), [0]),
    ],
)
def test_it_computes_in_pieces(
    batch: int, steps: int | None, shape: tuple[int, ...], pieces: list[int]
) -> None:
    engine: Any = Counting(batch=batch, steps=steps)
    idle = threading.Event()
    idle.set()
    frames = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = PoliteEngine(engine, idle)(frames)
    assert engine.given == pieces
    assert np.array_equal(found, flat(frames))


def test_a_piece_waits_for_predictions_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE", 30.0)
    engine: Any = Counting(batch=4)
    idle = threading.Event()
    polite = PoliteEngine(engine, idle)
    frames = np.zeros((8, 4, 4, 3), np.uint8)
    worker = threading.Thread(target=polite, args=(frames,))
    worker.start()
    time.sleep(0.1)
    assert engine.given == []
    idle.set()
    worker.join(20)
    assert engine.given == [4, 4]
    monkeypatch.setattr(background, "PATIENCE", 0.01)
    idle.clear()
    polite(frames)
    assert engine.given == [4, 4, 4, 4]


def test_a_timeline_is_the_same(predictor: Any, served_clips: list[Path]) -> None:
    from frameflow.inference.timeline.compute import timeline

    idle = threading.Event()
    idle.set()
    own = predictor.encoder.engines
    quiet = in_background(predictor, idle)
    options = {"window": 1.0, "stride": 0.25, "grid": 12.0}
    found, plain = (timeline(each, served_clips[0], **options) for each in (quiet, predictor))
    assert np.array_equal(found.probabilities, plain.probabilities)
    assert predictor.encoder.engines is own, "predictions go on as they were"
    assert quiet.encoder.engines[0].batch <= 16


def test_idle_is_when_nothing_waits(predictor: Any, served_clips: list[Path]) -> None:
    batcher = Batcher(4)
    assert batcher.idle.is_set()
    clips = predictor.encoder.read(served_clips[0])
    asked = [batcher.submit(predictor, "a", clips, 1) for _ in range(9)]
    broken = batcher.submit(predictor, "b", [["none"]], 1)  # type: ignore[list-item]
    assert not batcher.idle.is_set()
    dropped = asked.pop()
    dropped.cancel()
    assert all(future.result(60) for future in asked)
    assert broken.exception(60)
    assert batcher.idle.wait(20)
    batcher.close()
    batcher.submit(predictor, "late", clips, 1)
    assert batcher.idle.is_set()
