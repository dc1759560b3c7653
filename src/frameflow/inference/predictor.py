"""Predict single videos with a trained run."""

import logging
import os
import shlex
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from frameflow._places import path_of, shown, url_in
from frameflow.errors import UsageError, VideoError
from frameflow.evaluation.metrics import rank
from frameflow.inference._calibrated import calibration_of, refusal_of
from frameflow.inference.paths import expand_paths as expand_paths
from frameflow.inference.prediction import Prediction as Prediction
from frameflow.inference.prediction import Result as Result
from frameflow.remote import RemoteError

if TYPE_CHECKING:
    from frameflow.features.encode import ClipEncoder
    from frameflow.features.extract import Features
    from frameflow.models.recognizer import Recognizer
    from frameflow.video.clip import Clip

log = logging.getLogger(__name__)

EngineKind = Literal["auto", "torch", "onnxruntime", "openvino"]
Source = str | os.PathLike[str]
_BATCH = 256  # samples whose features are held at once
_AHEAD = 2  # videos decoded while another is computed: hides decoding, holds few frames


class Predictor:
    """Predicts videos with the arithmetic of feature extraction, so that scores carry over.

    Probabilities are calibrated, where the model was trained with a calibration.

    Args:
        recognizer: backbone, head and labels.
        engine: what runs the backbone; ``auto`` is the fastest installed that agrees with PyTorch.
        views: clips averaged per video; the recipe's ``views.test`` where None.

    Attributes:
        recognizer: as given.
        labels: the K labels, in the order of probabilities.
        encoder: reads a video and computes its features.

    Raises:
        UsageError: ``views`` is not positive or ``engine`` is unknown.
    """

    def __init__(
        self, recognizer: "Recognizer", *, engine: EngineKind = "auto", views: int | None = None
    ) -> None:
        from frameflow.features.extract import make_encoder

        self.recognizer = recognizer
        self.labels: tuple[str, ...] = tuple(recognizer.labels)
        self.encoder: ClipEncoder = make_encoder(recognizer, engine=engine, views=views)
        self._calibration = calibration_of(recognizer)
        self._refusal = refusal_of(recognizer)

    def __repr__(self) -> str:
        return f"Predictor({len(self.labels)} labels, engine {self.encoder.engine})"

    @property
    def has_sets(self) -> bool:
        """Whether predictions have a set, and may abstain."""
        return self._refusal is not None

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

    def stream(self, videos: Iterable[Source], *, topk: int = 5) -> Generator[Result, None, None]:
        """Predict videos one after the other, decoding the next while one is computed.

        Yields:
            In the order given, a `Prediction` or the `VideoError` that says why there is none.

        Raises:
            UsageError: ``topk`` is not positive.
        """
        _check_topk(topk)
        return self._stream(videos, topk)

    def _stream(self, videos: Iterable[Source], topk: int) -> Generator[Result, None, None]:
        waiting: deque[tuple[Source, Future[list[list[Clip]] | str]]] = deque()
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="decode") as pool:
            try:
                for video in videos:
                    waiting.append((video, pool.submit(self._read, path_of(video))))
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
            return self.encoder.read(path)
        except RemoteError:
            raise
        except VideoError as error:
            return error.reason
        except Exception as error:  # one strange file must not end a night's work
            log.debug("%s failed.", path, exc_info=True)
            return f"cannot be read ({type(error).__name__}: {error})"

    def _finish(self, video: Source, read: "Future[list[list[Clip]] | str]", topk: int) -> Result:
        clips = read.result()
        if isinstance(clips, str):
            return VideoError(os.fspath(video), clips)
        return self.from_clips(shown(video), clips, topk=topk)

    def from_clips(
        self, video: str, clips: "Sequence[Sequence[Clip]]", *, topk: int = 5
    ) -> Prediction:
        """Predict a video that was read already; the second half of `predict`.

        Args:
            video: its name in the prediction.
            clips: for each of the encoder's requests its clips, as ``encoder.read`` gives them.
            topk: how many labels are ranked.

        Raises:
            UsageError: ``topk`` is not positive.
        """
        _check_topk(topk)
        features, mask = self.encoder.encode(clips)
        return self.from_features(video, features, mask, topk=topk)

    def from_features(
        self, video: str, features: np.ndarray, mask: np.ndarray, *, topk: int = 5
    ) -> Prediction:
        """Predict a video whose features are known: head, calibration, set and refusal.

        Args:
            video: its name in the prediction.
            features: ``(views, T, D)`` as ``encoder.encode`` gives them; views are averaged.
            mask: ``(views, T)`` bool, False for features that do not count.
            topk: how many labels are ranked.

        Raises:
            UsageError: ``topk`` is not positive.
        """
        _check_topk(topk)
        mean = probabilities_of(self.recognizer, features, mask).mean(axis=0, keepdims=True)
        return self.from_probabilities(
            video, self._calibration.apply(mean)[0], topk=topk, views=len(features)
        )

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """``(N, K)`` probabilities of the head to calibrated ones."""
        return self._calibration.apply(probabilities)

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        """``(N,)`` bool of ``(N, K)`` calibrated probabilities: False means "none of these"."""
        if self._refusal is None:
            return np.ones(len(probabilities), dtype=np.bool_)
        return self._refusal.answers(probabilities)

    def from_probabilities(
        self, video: str, probabilities: np.ndarray, *, topk: int = 5, views: int = 1
    ) -> Prediction:
        """A prediction out of probabilities that are calibrated already.

        Args:
            video: its name in the prediction.
            probabilities: ``(K,)``.
            topk: how many labels are ranked.
            views: how many clips they are the mean of.

        Raises:
            UsageError: ``topk`` is not positive.
        """
        _check_topk(topk)
        shares, refusal = probabilities[None], self._refusal
        order = rank(shares)[0]
        ranked = [(self.labels[i], float(probabilities[i])) for i in order[:topk]]
        inside = None if refusal is None else refusal.sets(shares)[0]
        return Prediction(
            video=video,
            label=ranked[0][0],
            probability=ranked[0][1],
            topk=ranked,
            probabilities=probabilities,
            labels=self.labels,
            views=views,
            multilabel=self.recognizer.recipe.multilabel,
            set=None if inside is None else tuple(self.labels[i] for i in order if inside[i]),
            abstained=refusal is not None and not refusal.answers(shares)[0],
        )


def _check_topk(topk: int) -> None:
    if topk < 1:
        raise UsageError(f"topk ({topk}) must be > 0.")


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
    if url := url_in(path):
        raise UsageError(f"A run is used from a folder of this machine: copy {url} here.")
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
