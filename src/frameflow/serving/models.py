"""The runs that are served: loaded once, held in memory, named."""

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow.errors import UsageError, listing, near_names
from frameflow.inference.predictor import Predictor, load_recognizer, run_folder
from frameflow.serving.faults import missing
from frameflow.serving.limits import Refused

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.inference.explain import Explainer

log = logging.getLogger(__name__)

PICTURE_SIDE = 480  # px of the longer side of explained frames


@dataclass(slots=True)
class Served:
    """One run.

    Attributes:
        name: under which clients ask for it.
        folder: where it was loaded from; it may be gone since.
        predictor: what answers.
        score: its headline score as the page shows it; None where it was never evaluated.
        clip_seconds: length of the windows of its timelines; None where a client must say it.
    """

    name: str
    folder: Path
    predictor: Predictor
    score: dict[str, Any] | None
    clip_seconds: float | None
    _explainer: "Explainer | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def explainer(self) -> "Explainer":
        """What explains its predictions; made when it is first asked for."""
        from frameflow.inference.explain import Explainer

        with self._lock:
            if self._explainer is None:
                self._explainer = Explainer(self.predictor.recognizer, side=PICTURE_SIDE)
            return self._explainer

    @property
    def gone(self) -> bool:
        """Whether its folder has disappeared. Predictions do not need it."""
        return not (self.folder / "model.json").is_file()

    def text(self, name: str, what: str) -> str:
        """A file of the run's folder.

        Raises:
            Refused: 503 where the folder has disappeared, 404 where it has no such file.
        """
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except OSError:
            if self.gone:
                raise Refused(
                    503, "run_gone", f"The folder of the run {self.name!r} has disappeared.",
                    "Predictions go on from memory; bring it back for its card and report.",
                ) from None  # fmt: skip
            raise missing("no_file", f"The run {self.name!r} has no {what}.") from None

    def summary(self) -> dict[str, Any]:
        """What a list of models tells of it."""
        recipe = self.predictor.recognizer.recipe
        refusal = self.predictor.recognizer.extra.get("refusal")
        return {
            "name": self.name,
            "labels": list(self.predictor.labels),
            "recipe": recipe.name,
            "frames": recipe.sampling.frames,
            "multilabel": recipe.multilabel,
            "sets": refusal is not None,
            "coverage": round(1 - refusal["alpha"], 6) if refusal else None,
            "clip_seconds": self.clip_seconds,
            "score": self.score,
        }

    def details(self) -> dict[str, Any]:
        """All that is told of it."""
        from frameflow.inference._recorded import model_record

        recognizer = self.predictor.recognizer
        return {
            **self.summary(),
            "description": recognizer.recipe.description,
            "engine": self.predictor.encoder.engine,
            "precision": self.predictor.encoder.precision,
            "views": self.predictor.encoder.views,
            "sampling": recognizer.recipe.sampling.model_dump(),
            "streams": [stream.model_dump() for stream in recognizer.recipe.streams],
            "preprocessing": [_preprocessing(backbone) for backbone in recognizer.backbones()],
            "head": model_record(recognizer),
            "calibration": recognizer.extra.get("calibration"),
            "versions": _versions(self.folder),
            "folder_present": not self.gone,
        }


class Models:
    """The runs of one server by their names; the first is the default."""

    def __init__(self, served: Sequence[Served]) -> None:
        self._served = {each.name: each for each in served}

    def __iter__(self) -> Any:
        return iter(self._served.values())

    @property
    def default(self) -> Served:
        return next(iter(self._served.values()))

    def get(self, name: str | None) -> Served:
        """The run of that name, the default where None or empty.

        Raises:
            Refused: 404, there is none.
        """
        if not name:
            return self.default
        if name not in self._served:
            names = list(self._served)
            cure = f"{near_names(name, names).strip()} Served: {listing(names)}.".strip()
            raise missing("unknown_model", "There is no model of that name.", cure)
        return self._served[name]


def unique_names(runs: Sequence[tuple[str | None, Path]]) -> list[tuple[str, Path]]:
    """A name for each run: the one given, or its folder's, made unique by a number.

    Raises:
        UsageError: no run, or one name given to two of them.

    Example:
        >>> [name for name, _ in unique_names([(None, Path("a/run")), (None, Path("b/run"))])]
        ['run', 'run-2']
    """
    if not runs:
        raise UsageError("No run is named: give the folder of one, or several.")
    given = [name for name, _ in runs if name]
    if twice := [name for name in given if given.count(name) > 1]:
        raise UsageError(f"Two runs are named {twice[0]!r}: give each a name of its own.")
    taken, named = set(given), []
    for name, folder in runs:
        if not name:
            plain = name = folder.resolve().name
            number = 1
            while name in taken:
                number += 1
                name = f"{plain}-{number}"
            taken.add(name)
        named.append((name, folder))
    return named


def check_runs(runs: Sequence[tuple[str | None, Path]]) -> list[tuple[str, Path]]:
    """Named run folders, each looked at before anything long begins.

    Raises:
        UsageError: one is no run, or see `unique_names`.
    """
    return [(name, run_folder(folder)) for name, folder in unique_names(runs)]


def load_models(
    runs: Sequence[tuple[str, Path]], *, engine: "EngineKind", views: int | None
) -> Models:
    """Load runs and put each through one pass, so that the first client waits for nothing.

    Raises:
        UsageError: a run is damaged, or the engine is not installed.
    """
    return Models([_load(name, folder, engine, views) for name, folder in runs])


def _load(name: str, folder: Path, engine: "EngineKind", views: int | None) -> Served:
    predictor = Predictor(load_recognizer(folder), engine=engine, views=views)
    _warm(predictor)
    log.info("Loaded %s from %s (%s).", name, folder, predictor.encoder.engine)
    return Served(name, folder.resolve(), predictor, _score(folder), _clip_seconds(predictor))


def _warm(predictor: Predictor) -> None:
    """One pass over black frames: engines are made and checked, memory is claimed."""
    import numpy as np

    from frameflow.video.clip import Clip

    encoder = predictor.encoder
    clips = []
    for request in encoder.requests:
        width, height = request.size if isinstance(request.size, tuple) else (request.size,) * 2
        frames = np.zeros((request.sampling.frames, height, width, 3), np.uint8)
        count = len(frames)
        runs = {run: (frames,) * run[1] for run in request.runs}
        places = np.arange(count)
        clip = Clip(frames, np.ones(count, np.bool_), places, places / 25.0, runs)
        clips.append([clip] * request.total_views)
    predictor.from_clips("", clips)


def _clip_seconds(predictor: Predictor) -> float | None:
    """Seconds of a window of a video of 25 frames a second."""
    from frameflow.inference.timeline.plan import SECONDS, plan_windows

    recognizer = predictor.recognizer
    try:
        length = plan_windows(recognizer, 25.0).length
    except UsageError:  # it was not recorded: a client says the window
        return None
    recognizer.extra.setdefault(SECONDS, length)  # where it was measured, it is not again
    return round(length, 3)


def _score(folder: Path) -> dict[str, Any] | None:
    """The headline of a run's metrics, and how far it may be trusted."""
    try:
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    metric = next((name for name in ("top1", "map", "macro_f1") if name in found), None)
    if metric is None:
        return None
    low, high = found.get("intervals", {}).get(metric) or (None, None)
    said = f"{found['samples']} {found.get('split', 'test')} samples"
    if found.get("groups"):
        said += f" of {found['groups']} groups"
    if found.get("leaky"):
        said = f"LEAKY SPLIT: {said}"
    return {"metric": metric, "value": found[metric], "low": low, "high": high, "note": said}


def _preprocessing(backbone: Any) -> dict[str, Any]:
    look = backbone.preprocess
    return {
        "size": look.size,
        "mean": list(look.mean),
        "std": list(look.std),
        "interpolation": look.interpolation,
    }


def _versions(folder: Path) -> dict[str, Any]:
    """Of what it was trained with, and of what serves it."""
    from frameflow.inference._facts import versions

    try:
        made = json.loads((folder / "model.json").read_text(encoding="utf-8")).get("versions")
    except (OSError, ValueError):
        made = None
    return {"trained": made, "serving": versions()}
