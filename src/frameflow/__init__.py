"""FrameFlow: train, honestly evaluate, explain and serve action recognizers.

Example:
    >>> import frameflow as ff
    >>> run = ff.train("manifest.csv")  # doctest: +SKIP
    >>> ff.load(run.path).predict("clip.mp4")  # doctest: +SKIP
    Prediction('clip.mp4': serve 0.912, backhand 0.053, ...)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frameflow.config import Recipe, load_recipe
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.errors import FrameFlowError, LeakError, UsageError, VideoError
    from frameflow.inference.evaluate import evaluate
    from frameflow.inference.predictor import Prediction, Predictor, load, predict
    from frameflow.models.recognizer import Recognizer
    from frameflow.training.crossval import crossval
    from frameflow.training.pipeline import resume, train
    from frameflow.training.run import Run

__version__ = "0.1.0"

# Where each public name lives; imported on first use, so `import frameflow` costs nothing.
_HOMES = {
    "FrameFlowError": "errors",
    "LeakError": "errors",
    "Manifest": "data.manifest",
    "Prediction": "inference.predictor",
    "Predictor": "inference.predictor",
    "Recipe": "config",
    "Recognizer": "models.recognizer",
    "Run": "training.run",
    "Sample": "data.manifest",
    "UsageError": "errors",
    "VideoError": "errors",
    "crossval": "training.crossval",
    "evaluate": "inference.evaluate",
    "load": "inference.predictor",
    "load_recipe": "config",
    "predict": "inference.predictor",
    "resume": "training.pipeline",
    "train": "training.pipeline",
}
__all__ = [
    "FrameFlowError",
    "LeakError",
    "Manifest",
    "Prediction",
    "Predictor",
    "Recipe",
    "Recognizer",
    "Run",
    "Sample",
    "UsageError",
    "VideoError",
    "crossval",
    "evaluate",
    "load",
    "load_recipe",
    "predict",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'frameflow' has no attribute {name!r}")
    return getattr(import_module(f"frameflow.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
