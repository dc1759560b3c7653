"""What a run says around every frame of a video: a row a frame, as frames go by.

A run trained on labelled frames is asked for the clip that ends at the frame, as in training. Any
other one is asked for a window that lies around the frame, as long as its training clips were; at
the ends of a video the window stays inside, whole. A frame's features are computed once, however
many windows hold it, and what has gone by is let go, so memory does not grow with the video.
"""

import logging
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from frameflow.data.labels import join_labels
from frameflow.errors import UsageError, VideoError
from frameflow.evaluation.frame_predictions import COLUMNS
from frameflow.evaluation.predictions import PREFIX
from frameflow.inference._rows import RowFile, check_target
from frameflow.inference.prediction import Prediction
from frameflow.inference.predictor import Predictor, probabilities_of
from frameflow.inference.results import csv_line
from frameflow.inference.timeline.grid import Moments
from frameflow.inference.timeline.plan import WindowPlan, cells, plan_windows
from frameflow.inference.timeline.shots import ShotRequest, iter_shots
from frameflow.inference.timeline.windows import window_picks
from frameflow.video.probe import VideoInfo, frame_times, probe
from frameflow.video.sample import ending_indices

if TYPE_CHECKING:
    from frameflow.inference.timeline.grid import Picks

log = logging.getLogger(__name__)

OWN = ("prediction", "video", "frame", "seconds", "abstained")
_AT_ONCE = 32  # windows that the head sees at once


@dataclass(frozen=True, slots=True, eq=False)
class FrameRow:
    """What is said of one frame.

    Attributes:
        index: of the frame, from 0.
        frame: the index, or the name of the image in a folder of frames.
        seconds: when it is shown.
        probabilities: ``(K,)`` float32, calibrated.
    """

    index: int
    frame: str
    seconds: float
    probabilities: np.ndarray


def iter_frame_rows(
    predictor: Predictor,
    video: Path,
    *,
    rolling: int = 1,
    window: float | None = None,
    info: VideoInfo | None = None,
) -> Iterator[FrameRow]:
    """Say what a run says around each frame, one after the other.

    Args:
        predictor: of a run.
        video: a file, or a folder of numbered frame images.
        rolling: probabilities are the mean over this frame's and those of the N - 1 before it.
        window: seconds around a frame; see `frameflow.inference.timeline.plan.plan_windows`.
        info: what `probe` said of the video, if it was asked.

    Raises:
        UsageError: ``rolling`` is not positive, or the length of the training clips is not known.
        VideoError: the video cannot be read.
    """
    if rolling < 1:
        raise UsageError(f"rolling ({rolling}) must be > 0.")
    info = info or probe(video)
    plan = plan_windows(predictor.recognizer, info.rate, window=window)
    rows = _ending(predictor, info) if plan.ending else _around(predictor, info, plan)
    return _rows(info, rows, rolling)


def _rows(
    info: VideoInfo, found: Iterator[tuple[int, np.ndarray]], rolling: int
) -> Iterator[FrameRow]:
    times, names = frame_times(info.path), _names(info)
    recent: deque[np.ndarray] = deque(maxlen=rolling)
    for index, shares in found:
        recent.append(shares)
        mean = shares if rolling == 1 else np.mean(recent, axis=0, dtype=np.float64)
        seconds = float(times[min(index, len(times) - 1)])
        frame = names[index] if names else str(index)
        yield FrameRow(index, frame, seconds, np.asarray(mean, dtype=np.float32))


def _names(info: VideoInfo) -> list[str]:
    if info.kind == "file":
        return []
    from frameflow.video._images import frame_files

    return [path.name for path in frame_files(info.path)]


def _around(
    predictor: Predictor, info: VideoInfo, plan: WindowPlan
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, ``(K,)``) of windows that lie around each frame."""
    times = frame_times(info.path)
    middles = np.append((times[1:] + times[:-1]) / 2, times[-1] + 0.5 / info.rate)
    known = _Known(predictor, info, plan)
    index = 0
    for until in known.follow():
        while index < len(times) and max(plan.length, middles[index] + plan.length / 2) <= until:
            start = max(0.0, float(middles[index]) - plan.length / 2)
            known.ask(index, start, start + plan.length)
            index += 1
        yield from known.answers()
        if index < len(times):
            known.forget(max(0.0, float(middles[index]) - plan.length / 2))
    end = known.end
    for rest in range(index, len(times)):
        if times[rest] > end:
            break  # of a damaged video no more frames could be read
        start = max(0.0, min(float(middles[rest]) - plan.length / 2, end - plan.length))
        known.ask(rest, start, min(end, start + plan.length))
    yield from known.answers()


def _ending(predictor: Predictor, info: VideoInfo) -> Iterator[tuple[int, np.ndarray]]:
    """(index, ``(K,)``) of the clips that end at each frame."""
    encoder = predictor.encoder
    alike = all(request.fit != "follow" and not request.runs for request in encoder.requests)
    if info.variable_rate or not alike:
        # Here what a clip shows of a frame depends on where the clip ends: each is read anew.
        log.info("%s: a clip is read for every frame, which takes long.", info.path)
        for index in range(info.frames):
            features, mask = encoder.encode(encoder.read(info.path, frame=str(index)))
            yield index, _said(predictor, [(features, mask)])[0]
        return
    plan = WindowPlan(length=1.0, stride=1.0, grid=info.rate, ending=True)  # a frame is a moment
    known = _Known(predictor, info, plan)
    back = {
        number: _back(encoder.sampling.frames, info, predictor, request.pace)
        for number, request in enumerate(encoder.requests)
    }
    asked = 0
    for until in known.follow():
        ready = round(until * info.rate)
        while asked < ready:
            known.ask_for(asked, [_clip_ending(asked, steps) for steps in back.values()])
            asked += 1
        yield from known.answers()
        known.forget((asked - max(int(steps[0]) for steps in back.values())) / info.rate)
    for index in range(asked, min(info.frames, known.newest + 1)):
        known.ask_for(index, [_clip_ending(index, steps) for steps in back.values()])
    yield from known.answers()


def _back(frames: int, info: VideoInfo, predictor: Predictor, pace: int) -> np.ndarray:
    """(T,) how many frames before its last one each frame of a clip lies."""
    far = frames * 10_000_000  # a frame before which no clip is cut off
    clip = ending_indices(far + 1, predictor.encoder.sampling, end=far, rate=info.rate, pace=pace)
    return far - clip.indices


def _clip_ending(end: int, back: np.ndarray) -> "Picks":
    indices = end - back
    return np.maximum(indices, 0)[None], (indices >= 0)[None]


class _Known:
    """The newest moments of a video, and windows that wait for the head."""

    def __init__(self, predictor: Predictor, info: VideoInfo, plan: WindowPlan) -> None:
        self._predictor, self._info, self._plan = predictor, info, plan
        self._moments = Moments(predictor.encoder, (info.width, info.height))
        self._waiting: list[tuple[int, object, list[Picks]]] = []
        self._last: tuple[object, np.ndarray] | None = None
        self._seconds = 0.0

    @property
    def newest(self) -> int:
        """The newest moment."""
        return self._moments.newest

    @property
    def end(self) -> float:
        """Seconds at which the video ends, once all of it was read."""
        read = self._seconds + 0.5 / self._plan.grid
        whole = read + 1 / self._plan.grid >= self._info.duration
        return self._info.duration if whole else read

    def follow(self) -> Iterator[float]:
        """Read the video; yields the seconds up to which everything is known."""
        request = ShotRequest(tuple(self._predictor.encoder.requests), self._plan.grid)
        for shot in iter_shots(self._info.path, request, info=self._info):
            self._moments.add(shot)
            self._seconds = shot.seconds
            ready = self._moments.ready
            if ready == self._moments.newest:
                yield (ready + 1) / self._plan.grid
        self._moments.flush()

    def ask(self, index: int, start: float, end: float) -> None:
        """A window for a frame; what is in the same cells of the grid is asked once."""
        key = cells(self._plan.grid, start, end)
        picks: list[Picks] = []
        if not self._waiting or self._waiting[-1][1] != key:
            encoder = self._predictor.encoder
            picks = window_picks(encoder, self._plan, self._info.rate, start, end)
        self._waiting.append((index, key, picks))

    def ask_for(self, index: int, picks: "list[Picks]") -> None:
        """The clip of a frame, by moments."""
        self._waiting.append((index, index, picks))

    def answers(self) -> Iterator[tuple[int, np.ndarray]]:
        """What was asked, in order."""
        while self._waiting:
            part, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            fresh: dict[object, list[Picks]] = {}
            for _, key, picks in part:
                if picks and (self._last is None or self._last[0] != key):
                    fresh[key] = picks
            said: dict[object, np.ndarray] = {} if self._last is None else dict([self._last])
            if fresh:
                found = [self._moments.features(self._views(picks)) for picks in fresh.values()]
                said.update(zip(fresh, _said(self._predictor, found)))
            for index, key, _ in part:
                yield index, said[key]
            self._last = (part[-1][1], said[part[-1][1]])

    def _views(self, picks: "list[Picks]") -> "list[Picks]":
        """As many views as the encoder has; a clip of a labelled frame is the same in each."""
        views = self._predictor.encoder.moments
        return [
            (np.repeat(moments, views // len(moments), 0), np.repeat(mask, views // len(mask), 0))
            for moments, mask in picks
        ]

    def forget(self, before: float) -> None:
        """Let go of what lies before so many seconds."""
        # The last windows are moved back by less than a frame, to stay inside.
        self._moments.forget(int(before * self._plan.grid) - 2)


def _said(predictor: Predictor, clips: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """``(N, K)`` calibrated probabilities of N samples of some views."""
    features, mask = (np.concatenate(parts) for parts in zip(*clips))
    found = probabilities_of(predictor.recognizer, features, mask)
    mean = found.reshape(len(clips), -1, found.shape[-1]).mean(axis=1)
    return predictor.calibrate(mean).astype(np.float32)


class PerFrameCsv:
    """A table with a row a frame: a column of probability for each class, then `OWN`.

    It has the form of ``frame_predictions.csv``: a class that is named like another column gets
    ``p:`` before its name. ``abstained`` is there where the model has a threshold.

    Args:
        path: of the file, which is begun anew.
        predictor: of a run.

    Raises:
        UsageError: its folder does not exist, or it may not be written.
    """

    def __init__(self, path: Path, predictor: Predictor) -> None:
        check_target(path)
        self.path, self._predictor = path, predictor
        self.rows = 0
        self._own = OWN if predictor.has_sets else OWN[:-1]
        taken = {*COLUMNS, *OWN}
        names = [PREFIX + n if n in taken or n.startswith(PREFIX) else n for n in predictor.labels]
        self._file = RowFile(path)
        self._file.write(csv_line([*names, *self._own]))

    def write(self, video: str, row: FrameRow) -> None:
        """Add the row of a frame; it is on disk when this returns."""
        said = self._predictor.from_probabilities(video, row.probabilities, topk=1)
        prediction = join_labels(said.present) if said.multilabel else said.label
        cells = [prediction, video, row.frame, f"{row.seconds:.3f}"]
        if self._predictor.has_sets:
            cells.append("yes" if said.abstained else "no")
        self._file.write(csv_line([*(f"{p:.6g}" for p in row.probabilities), *cells]))
        self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._file.close()


class FrameLabels:
    """What is said of each frame of a video, kept in a temporary file for those who draw it.

    Args:
        predictor: of a run.
        video: its name.
        topk: how many labels are drawn.
    """

    def __init__(self, predictor: Predictor, video: str, *, topk: int) -> None:
        self._predictor, self._video, self._topk = predictor, video, topk
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="frameflow-")  # noqa: SIM115
        self._count = 0

    def add(self, row: FrameRow) -> None:
        """The next frame's row."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(row.probabilities, dtype=np.float32).tobytes())
        self._count += 1

    def at(self, index: int) -> Prediction:
        """What is said of a frame; past the last one, what was said of that.

        Raises:
            VideoError: nothing was said of any frame.
        """
        if not self._count:
            raise VideoError(self._video, "no frame of it could be read")
        size = 4 * len(self._predictor.labels)
        self._file.seek(min(index, self._count - 1) * size)
        shares = np.frombuffer(self._file.read(size), dtype=np.float32)
        return self._predictor.from_probabilities(self._video, shares, topk=self._topk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._file.close()
