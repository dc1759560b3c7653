"""Predict single videos with a trained run."""

import csv
import io
import logging
import os
import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from frameflow._files import write_text
from frameflow.data.labels import join_labels
from frameflow.errors import UsageError, VideoError
from frameflow.evaluation.metrics import rank
from frameflow.evaluation.multilabel import THRESHOLD
from frameflow.inference._calibrated import calibration_of, refusal_of
from frameflow.inference.paths import expand_paths as expand_paths

if TYPE_CHECKING:
    from frameflow.features.extract import Features
    from frameflow.models.recognizer import Recognizer
    from frameflow.video.clip import Clip

log = logging.getLogger(__name__)

EngineKind = Literal["auto", "torch", "onnxruntime", "openvino"]
Source = str | os.PathLike[str]
_BATCH = 256  # samples whose features are held at once
_AHEAD = 2  # videos decoded while another is computed: hides decoding, holds few frames


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Prediction:
    """What a recognizer says of one video.

    Attributes:
        video: the path as it was given.
        label: the likeliest label.
        probability: its probability.
        topk: the likeliest labels and their probabilities, likeliest first.
        probabilities: ``(K,)`` float32, in the order of ``labels``.
        labels: the K labels of the model.
        views: how many clips of the video were averaged.
        multilabel: each label has a probability of its own, and any number may be `present`.
        set: the labels among which the true one is at the rate of the recipe's
            ``calibration.alpha``, likeliest first; None where the model has no such sets.
        abstained: the model had better not answer: it may well be none of its labels.
    """

    video: str
    label: str
    probability: float
    topk: list[tuple[str, float]]
    probabilities: np.ndarray
    labels: tuple[str, ...]
    views: int = 1
    multilabel: bool = False
    set: tuple[str, ...] | None = None
    abstained: bool = False

    @property
    def present(self) -> list[str]:
        """In multi-label the labels whose probability is above 0.5, likeliest first."""
        if not self.multilabel:
            return [self.label]
        order = rank(self.probabilities[None])[0]
        return [self.labels[i] for i in order if self.probabilities[i] > THRESHOLD]

    def __repr__(self) -> str:
        ranked = ", ".join(f"{label} {share:.3f}" for label, share in self.topk)
        return f"Prediction({self.video!r}: {ranked})"

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for JSON, without the probabilities beyond the top k.

        In multi-label ``present`` lists the labels whose probability is above 0.5. Where the model
        has prediction sets, ``set`` is that of the video, and ``abstained`` says whether it had
        better not answer; ``label`` is the likeliest one even then.
        """
        refusal = {} if self.set is None else {"set": list(self.set), "abstained": self.abstained}
        return {
            "video": self.video,
            **({"present": self.present} if self.multilabel else {}),
            "label": self.label,
            "probability": self.probability,
            "topk": [{"label": label, "probability": share} for label, share in self.topk],
            **refusal,
            "views": self.views,
        }


Result = Prediction | VideoError


class Predictor:
    """Predicts videos with the arithmetic of feature extraction, so that scores carry over.

    Probabilities are calibrated, where the model was trained with a calibration.

    Args:
        recognizer: backbone, head and labels.
        engine: what runs the backbone; ``auto`` is the fastest installed that agrees with PyTorch.
        views: clips averaged per video; the recipe's ``views.test`` where None.

    Raises:
        UsageError: ``views`` is not positive or ``engine`` is unknown.
    """

    def __init__(
        self, recognizer: "Recognizer", *, engine: EngineKind = "auto", views: int | None = None
    ) -> None:
        from frameflow.features.extract import make_encoder

        self.recognizer = recognizer
        self.labels: tuple[str, ...] = tuple(recognizer.labels)
        self._encoder = make_encoder(recognizer, engine=engine, views=views)
        self._calibration = calibration_of(recognizer)
        self._refusal = refusal_of(recognizer)

    def __repr__(self) -> str:
        return f"Predictor({len(self.labels)} labels, engine {self._encoder.engine})"

    @overload
    def predict(self, video: Source, *, topk: int = 5) -> Prediction: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, video: Sequence[Source], *, topk: int = 5) -> list[Result]: ...

    def predict(
        self, video: Source | Sequence[Source], *, topk: int = 5
    ) -> Prediction | list[Result]:
        """Predict one video, or several.

        Returns:
            A `Prediction`; for a sequence a list in its order, with the `VideoError` of a video
            that cannot be read in its place.

        Raises:
            VideoError: the one video cannot be read.
            UsageError: ``topk`` is not positive.
        """
        if not isinstance(video, str | os.PathLike):
            return list(self.stream(video, topk=topk))
        (result,) = self.stream([video], topk=topk)
        if isinstance(result, VideoError):
            raise result
        return result

    def stream(self, videos: Iterable[Source], *, topk: int = 5) -> Iterator[Result]:
        """Predict videos one after the other, decoding the next while one is computed.

        Yields:
            In the order given, a `Prediction` or the `VideoError` that says why there is none.

        Raises:
            UsageError: ``topk`` is not positive.
        """
        if topk < 1:
            raise UsageError(f"topk ({topk}) must be > 0.")
        return self._stream(videos, topk)

    def _stream(self, videos: Iterable[Source], topk: int) -> Iterator[Result]:
        waiting: deque[tuple[Source, Future[list[list[Clip]] | str]]] = deque()
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="decode") as pool:
            try:
                for video in videos:
                    waiting.append((video, pool.submit(self._read, Path(video))))
                    if len(waiting) > _AHEAD:
                        yield self._finish(*waiting.popleft(), topk)
                while waiting:
                    yield self._finish(*waiting.popleft(), topk)
            finally:  # the caller may stop early: what was not begun is not wanted
                for _, clips in waiting:
                    clips.cancel()

    def _read(self, path: Path) -> "list[list[Clip]] | str":
        """The clips, or the reason why there are none."""
        try:
            return self._encoder.read(path)
        except VideoError as error:
            return error.reason
        except Exception as error:  # one strange file must not end a night's work
            log.debug("%s failed.", path, exc_info=True)
            return f"cannot be read ({type(error).__name__}: {error})"

    def _finish(self, video: Source, read: "Future[list[list[Clip]] | str]", topk: int) -> Result:
        clips = read.result()
        if isinstance(clips, str):
            return VideoError(os.fspath(video), clips)
        features, mask = self._encoder.encode(clips)
        return self._prediction(video, features, mask, topk)

    def _prediction(
        self, video: Source, features: np.ndarray, mask: np.ndarray, topk: int
    ) -> Prediction:
        """The calibrated mean over views; ``features`` is ``(views, T, D)``."""
        mean = probabilities_of(self.recognizer, features, mask).mean(axis=0, keepdims=True)
        shares = self._calibration.apply(mean)
        probabilities, refusal = shares[0], self._refusal
        order = rank(shares)[0]
        ranked = [(self.labels[i], float(probabilities[i])) for i in order[:topk]]
        inside = None if refusal is None else refusal.sets(shares)[0]
        return Prediction(
            video=os.fspath(video),
            label=ranked[0][0],
            probability=ranked[0][1],
            topk=ranked,
            probabilities=probabilities,
            labels=self.labels,
            views=len(features),
            multilabel=self.recognizer.recipe.multilabel,
            set=None if inside is None else tuple(self.labels[i] for i in order if inside[i]),
            abstained=refusal is not None and not refusal.answers(shares)[0],
        )


def probabilities_of(
    recognizer: "Recognizer", features: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """``(B, K)`` float32 probabilities of ``(B, T, D)`` features and their ``(B, T)`` mask.

    They are as the model says them, not calibrated.
    """
    import torch

    with torch.inference_mode():
        found = recognizer.probabilities(
            torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32)),
            torch.from_numpy(np.ascontiguousarray(mask, dtype=bool)),
        )
    return found.float().cpu().numpy()


def average_views(recognizer: "Recognizer", features: "Features") -> np.ndarray:
    """``(N, K)`` float32: the mean over all stored views of the probabilities of each sample."""
    samples = len(features.samples)
    found = np.zeros((samples, len(recognizer.labels)), dtype=np.float32)
    for start in range(0, samples, _BATCH):
        rows = np.arange(start, min(start + _BATCH, samples))
        for view in range(len(features.views)):
            found[rows] += probabilities_of(recognizer, *features.batch(rows, view))
    return found / len(features.views)


def load(run: Source, *, engine: EngineKind = "auto", views: int | None = None) -> Predictor:
    """The predictor of a run.

    Args:
        run: the folder of a run (or anything with such a ``path``).
        engine: see `Predictor`.
        views: see `Predictor`.

    Raises:
        UsageError: no such folder, not a run, or its files are damaged.
    """
    return Predictor(load_recognizer(run_folder(run)), engine=engine, views=views)


def predict(
    run: Source,
    videos: Source | Sequence[Source],
    *,
    topk: int = 5,
    views: int | None = None,
    engine: EngineKind = "auto",
) -> list[Result]:
    """Predict what files, folders and globs name, with a run.

    Args:
        run: the folder of a run.
        videos: one name or several.
        topk: how many labels each prediction ranks.
        views: see `Predictor`.
        engine: see `Predictor`.

    Returns:
        For each video a `Prediction`, or the `VideoError` that says why there is none.

    Raises:
        UsageError: no such run, or a folder or glob without a video.

    Example:
        >>> predict("runs/first", ["clips/", "more/*.avi"])  # doctest: +SKIP
        [Prediction('clips/a.mp4': serve 0.912, backhand 0.053), ...]
    """
    paths = expand_paths(videos)
    return load(run, engine=engine, views=views).predict(paths, topk=topk)


def run_folder(run: Source) -> Path:
    """The folder of a run, checked to be one.

    Raises:
        UsageError: no such folder, a file, or a folder without a model.
    """
    path = Path(getattr(run, "path", run))
    if not path.exists():
        raise UsageError(f"There is no run {path}.")
    if not path.is_dir():
        raise UsageError(f"{path} is a file: name the folder of a run.")
    if missing := [n for n in ("model.json", "model.safetensors") if not (path / n).is_file()]:
        inside = sorted(p.parent.name for p in path.glob("*/model.json"))
        if inside:
            cure = f"Did you mean {path / inside[-1]}?"
        elif (path / "recipe.yaml").is_file() and not (path / "crossval.json").exists():
            cure = f"Its training did not end: frameflow train --resume {shlex.quote(str(path))}"
        else:
            cure = "`frameflow train` writes runs."
        raise UsageError(f"{path} is no finished run: it has no {' and no '.join(missing)}. {cure}")
    return path


def load_recognizer(path: Path) -> "Recognizer":
    """The recognizer of a run folder."""
    from frameflow.models.recognizer import Recognizer

    return Recognizer.load(path)


def write_csv(path: str | os.PathLike[str], results: Sequence[Result]) -> None:
    """Write results as a table: the video, the top k with their probabilities, or the error.

    In multi-label the labels above 0.5, joined by ``|``, stand before them. Where the model has
    prediction sets, that of the video follows, joined by ``|``, and whether it abstained.
    """
    predicted = [result for result in results if isinstance(result, Prediction)]
    most = max((len(result.topk) for result in predicted), default=1)
    present = ["present"] if any(result.multilabel for result in predicted) else []
    refusal = ["set", "abstained"] if any(r.set is not None for r in predicted) else []
    ranks = [name for k in range(1, most + 1) for name in (f"label_{k}", f"probability_{k}")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["video", *present, *ranks, *refusal, "error"])
    for result in results:
        if isinstance(result, VideoError):
            blank = [""] * len(present + ranks + refusal)
            writer.writerow([result.path, *blank, result.reason])
            continue
        cells = [cell for label, share in result.topk for cell in (label, f"{share:.6g}")]
        cells += [""] * (len(ranks) - len(cells))
        found = [join_labels(result.present)] if present else []
        if refusal:
            cells += [join_labels(result.set or ()), "yes" if result.abstained else "no"]
        writer.writerow([result.video, *found, *cells, ""])
    write_text(Path(path), file.getvalue())
