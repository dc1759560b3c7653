"""What a run says around every frame of a video: a row a frame, as frames go by.

A run trained on labelled frames is asked for the clip that ends at the frame, as in training. Any
other one is asked for a window that lies around the frame, as long as its training clips were; at
the ends of a video the window stays inside, whole. A frame's features are computed once, however
many windows hold it, and what has gone by is let go, so memory does not grow with the video.
"""

import logging
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from frameflow.data.labels import join_labels
from frameflow.errors import UsageError, VideoError
from frameflow.evaluation.frame_predictions import COLUMNS
from frameflow.evaluation.predictions import PREFIX
from frameflow.inference._rows import Closing, RowFile, check_target
from frameflow.inference.prediction import Prediction
from frameflow.inference.predictor import Predictor, probabilities_of
from frameflow.inference.results import csv_line
from frameflow.inference.timeline.compute import ahead
from frameflow.inference.timeline.plan import WindowPlan, plan_windows
from frameflow.inference.timeline.shots import Shot, ShotRequest, iter_shots
from frameflow.inference.timeline.windows import Windows, classify_windows
from frameflow.video.probe import VideoInfo, frame_times, probe
from frameflow.video.sample import clip_offsets

log = logging.getLogger(__name__)

OWN = ("prediction", "video", "frame", "seconds", "abstained")
_AHEAD = 32  # moments that are decoded while others are computed


Read = Callable[[ShotRequest], Iterator[Shot]]


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
    times: np.ndarray | None = None,
    read: Read | None = None,
) -> Iterator[FrameRow]:
    """Say what a run says around each frame, one after the other.

    Args:
        predictor: of a run.
        video: a file, or a folder of numbered frame images.
        rolling: probabilities are the mean over this frame's and those of the N - 1 before it.
        window: seconds around a frame; see `frameflow.inference.timeline.plan.plan_windows`.
        info: what `probe` said of the video, if it was asked.
        times: what `frame_times` said of it.
        read: decodes it elsewhere, as `iter_shots` does here.

    Raises:
        UsageError: ``rolling`` is not positive, the length of the training clips is not known, or
            ``read`` is given and each frame's clip would have to be read anew.
        VideoError: the video cannot be read.
    """
    if rolling < 1:
        raise UsageError(f"rolling ({rolling}) must be > 0.")
    info = info or probe(video)
    plan = plan_windows(predictor.recognizer, info.rate, window=window)
    times = frame_times(info.path) if times is None else times
    if plan.ending:
        rows = _ending(predictor, info, read)
    else:
        rows = _around(predictor, info, plan, times, read)
    return _rows(info, rows, rolling, times)


def _rows(
    info: VideoInfo, found: Iterator[tuple[int, np.ndarray]], rolling: int, times: np.ndarray
) -> Iterator[FrameRow]:
    names = _names(info)
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
    predictor: Predictor, info: VideoInfo, plan: WindowPlan, times: np.ndarray, read: Read | None
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, ``(K,)``) of windows that lie around each frame, as far as that can be read."""
    middles = np.append((times[1:] + times[:-1]) / 2, times[-1] + 0.5 / info.rate)
    starts = np.clip(middles - plan.length / 2, 0, max(0.0, info.duration - plan.length))
    ends = np.minimum(starts + plan.length, info.duration)
    shots = _Shots(predictor, info, plan, read)
    for index, shares in enumerate(shots.classified(zip(starts.tolist(), ends.tolist()))):
        if times[index] > shots.last + 1 / plan.grid:
            return
        yield index, shares


def _ending(
    predictor: Predictor, info: VideoInfo, read: Read | None
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, ``(K,)``) of the clips that end at each frame."""
    encoder, rate = predictor.encoder, info.rate
    alike = all(request.fit != "follow" and not request.runs for request in encoder.requests)
    if info.variable_rate or not alike:
        if read is not None:
            raise UsageError("Each frame of this video needs a clip of its own to be read.")
        # Here what a clip shows of a frame depends on where the clip ends: each is read anew.
        log.info("%s: a clip is read for every frame, which takes long.", info.path)
        for index in range(info.frames):
            features, mask = encoder.encode(encoder.read(info.path, frame=str(index)))
            mean = probabilities_of(predictor.recognizer, features, mask).mean(axis=0)
            yield index, predictor.calibrate(mean[None])[0]
        return
    # Every frame is a moment of the grid, and a window is as long as the longest clip.
    last = [clip_offsets(r.sampling, rate=rate, pace=r.pace)[-1] for r in encoder.requests]
    reach = int(max(last)) + 1
    shots = _Shots(predictor, info, WindowPlan(reach / rate, 1 / rate, rate, ending=True), read)
    frames = np.arange(1, info.frames + 1)
    spans = zip((np.maximum(frames - reach, 0) / rate).tolist(), (frames / rate).tolist())
    for index, shares in enumerate(shots.classified(spans)):
        if index / rate > shots.last:
            return
        yield index, shares


class _Shots:
    """The moments of a video.

    Attributes:
        last: seconds of the last moment, once it was read; before, infinity.
    """

    def __init__(
        self, predictor: Predictor, info: VideoInfo, plan: WindowPlan, read: Read | None
    ) -> None:
        self._predictor, self._info, self._plan = predictor, info, plan
        self._open = read or (lambda request: iter_shots(info.path, request, info=info))
        self.last = np.inf

    def classified(self, spans: Iterable[tuple[float, float]]) -> Iterator[np.ndarray]:
        """``(K,)`` calibrated, of each span; decoded in a thread of its own."""
        info = self._info
        windows = Windows(self._predictor, self._plan, info.rate, (info.width, info.height))
        decoded = cast("Generator[Shot, None, None]", ahead(self._read(), _AHEAD))
        with closing(decoded) as shots:
            yield from classify_windows(windows, shots, spans)

    def _read(self) -> Iterator[Shot]:
        request = ShotRequest(tuple(self._predictor.encoder.requests), self._plan.grid)
        seconds = 0.0
        for shot in self._open(request):
            seconds = shot.seconds
            yield shot
        self.last = seconds


class PerFrameCsv(Closing):
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

    def close(self) -> None:
        self._file.close()


class FrameLabels(Closing):
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

    def close(self) -> None:
        self._file.close()
