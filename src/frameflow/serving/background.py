"""Long work that lets short work go first."""

import copy
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from frameflow.features.engines import Engine
    from frameflow.inference.predictor import Predictor

_FRAMES = 16  # computed at once: a prediction that comes meanwhile waits for no more
PATIENCE = 0.25  # seconds that a piece waits for predictions: under load a timeline goes on, slowly


class PoliteEngine:
    """An engine as it is, but in small pieces, each after the predictions that wait.

    Args:
        engine: that predictions use too.
        idle: set while no prediction waits or is computed.
    """

    def __init__(self, engine: "Engine", idle: threading.Event) -> None:
        self.name, self.precision = engine.name, engine.precision
        self.dim, self.steps = engine.dim, engine.steps
        self.batch = min(engine.batch, _FRAMES)
        self._engine, self._idle = engine, idle

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """As the engine's own."""
        together = self.batch if self.steps is None else max(1, self.batch // frames.shape[1])
        if not len(frames):
            return self._engine(frames)
        found = []
        for start in range(0, len(frames), together):
            self._idle.wait(PATIENCE)
            found.append(self._engine(frames[start : start + together]))
        return np.concatenate(found)


def in_background(predictor: "Predictor", idle: threading.Event) -> "Predictor":
    """The same predictor, with engines that let predictions go first."""
    polite = {id(engine): PoliteEngine(engine, idle) for engine in predictor.encoder.engines}
    engines = tuple(polite[id(engine)] for engine in predictor.encoder.engines)
    quiet = copy.copy(predictor)
    quiet.encoder = copy.copy(predictor.encoder)
    quiet.encoder.engines = engines
    return quiet
