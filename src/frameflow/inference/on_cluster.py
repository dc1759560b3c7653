"""Predictions by the workers of a cluster, in the order in which the videos were named."""

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from frameflow._places import path_of, shown
from frameflow.cluster import Cluster, run
from frameflow.errors import VideoError
from frameflow.features.engines import precision_of
from frameflow.inference.prediction import Result
from frameflow.inference.predictor import EngineKind, Predictor, Source, run_folder

BLOCK = 16  # videos handed to a worker at once: what is done again where it ends
_FILES = ("model.json", "model.safetensors")

_Numbered = tuple[int, str]


def predict_on_cluster(
    cluster: Cluster,
    folder: Source,
    videos: Sequence[Path],
    *,
    engine: EngineKind = "auto",
    views: int | None = None,
    topk: int = 5,
) -> Generator[Result, None, None]:
    """Predict videos that the workers can read under the same paths or URLs.

    The model is sent to the workers, so the run needs to be on this machine only. What a worker
    had in hand when it ended is predicted again by another; a video that ends its worker each time
    is one that cannot be read.

    Args:
        cluster: where.
        folder: of a run.
        videos: which.
        engine: what runs the backbone there.
        views: clips averaged per video; the recipe's where None.
        topk: how many labels each prediction ranks.

    Yields:
        In the order given and with the names given, a `Prediction` or a `VideoError`.

    Raises:
        UsageError: no such run, or what `frameflow.cluster.run` raises; so is the next.
        FrameFlowError: the cluster cannot be reached, or its workers cannot work.
    """
    model = {name: (run_folder(folder) / name).read_bytes() for name in _FILES}
    items = [(number, _named_there(video)) for number, video in enumerate(videos)]
    found = run(
        cluster,
        items,
        _maker(model, engine, views, topk),
        block=BLOCK,
        what="Predicting",
        unit="videos",
        gpu=precision_of(engine) == "float16",  # workers compute as this machine would
        lost=lambda item, reason: VideoError(item[1], reason),
        name=lambda item: item[1],
    )
    waiting: dict[int, Result] = {}
    following = 0
    for (number, _), result in found:
        waiting[number] = result
        while following in waiting:
            yield _named_here(waiting.pop(following), videos[following])
            following += 1


def _named_there(video: Path) -> str:
    """A URL, or an absolute path: the workers' current folder may be another."""
    name = shown(video)
    return name if name != os.fspath(video) else os.path.abspath(video)  # noqa: PTH100  (keeps links)


def _named_here(result: Result, video: Path) -> Result:
    if isinstance(result, VideoError):
        return VideoError(video, result.reason)
    return replace(result, video=shown(video))


def _maker(
    model: dict[str, bytes], engine: EngineKind, views: int | None, topk: int
) -> "Callable[[], Callable[[Sequence[_Numbered]], list[Result]]]":
    def make() -> "Callable[[Sequence[_Numbered]], list[Result]]":
        predictor = _loaded(model, engine, views)

        def work(items: Sequence[_Numbered]) -> list[Result]:
            return list(predictor.stream([path_of(name) for _, name in items], topk=topk))

        return work

    return make


def _loaded(model: dict[str, bytes], engine: EngineKind, views: int | None) -> Predictor:
    from frameflow.models.recognizer import Recognizer

    with TemporaryDirectory(prefix="frameflow-") as name:
        for file, content in model.items():
            Path(name, file).write_bytes(content)
        return Predictor(Recognizer.load(name), engine=engine, views=views)
