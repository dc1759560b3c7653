"""A prediction drawn on its video: GIF, video, contact sheet.

A GIF and a contact sheet sample the frames of a long video; a video keeps them all, in flat
memory and without sound.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from frameflow.errors import UsageError, VideoError
from frameflow.inference.prediction import Prediction
from frameflow.video.draw import LabelOverlay, Line, caption
from frameflow.video.probe import VideoInfo, frame_times, probe

if TYPE_CHECKING:
    from frameflow.inference.per_frame import FrameLabels

log = logging.getLogger(__name__)

Form = Literal["gif", "video", "strip"]
ENDINGS: dict[Form, tuple[str, ...]] = {
    "gif": (".gif",),
    "video": (".mp4", ".mov", ".mkv", ".webm"),
    "strip": (".png", ".jpg", ".jpeg", ".webp"),
}
NONE = "none of these"

_GIF_FRAMES, _GIF_RATE, _GIF_SIDE = 100, 10.0, 360  # the most of each; px of the longer side
_STRIP_FRAMES, _STRIP_SIDE = 12, 240
_SPARSE = 0.5  # seconds between two frames from which on it is said that frames are left out
_WIDE = 1.6  # a contact sheet is about so many times as wide as high
_SMALL = 160  # px: where the longer side has less, the picture is enlarged to hold text
_LEAST = 0.005  # probability of a further label that is drawn
_FASTEST = 120.0  # frames a second of a video that is written


def lines_of(prediction: Prediction) -> tuple[list[Line], int]:
    """What is drawn of a prediction, and how many lines of it are the answer."""
    lines: list[Line] = list(prediction.topk)
    if prediction.multilabel:
        strong = sum(label in prediction.present for label, _ in lines)
        return (lines, strong) if strong else ([("none", None), *lines], 0)
    if prediction.abstained:
        return [(f"{NONE} ({prediction.label})", prediction.probability), *lines[1:]], 0
    return lines, 1


def form_of(path: Path) -> Form:
    """What is written to a file, by its ending.

    Raises:
        UsageError: the ending is none of those known.
    """
    for form, endings in ENDINGS.items():
        if path.suffix.lower() in endings:
            return form
    known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
    raise UsageError(f"{path} must end in one of {known}.")


def write_shown(
    path: Path,
    prediction: Prediction,
    *,
    form: Form | None = None,
    frames: "FrameLabels | None" = None,
    advance: Callable[[], None] | None = None,
) -> None:
    """Write the video with what is said of it drawn on.

    Args:
        path: of the file.
        prediction: of the whole video.
        form: what is written; by the ending where None.
        frames: what is said of each frame, drawn instead of what is said of the whole.
        advance: called for every frame of a video that is read.

    Raises:
        UsageError: the ending is not of that form.
        VideoError: the video cannot be read any more.
        FrameFlowError: the file cannot be written.
    """
    from frameflow.video.write import save_image, write_gif, write_video

    form = form or form_of(path)
    info = probe(prediction.video)
    film = _Film(info, prediction, frames)
    if form == "gif":
        indices = film.spread(_GIF_FRAMES, rate=_GIF_RATE)
        rate = min(max(len(indices) / max(info.duration, 1e-6), 2.0), info.rate, _GIF_RATE)
        write_gif(path, film.some(indices, _GIF_SIDE), rate=rate, width=None, colours=256)
    elif form == "video":
        write_video(path, film.all(advance), rate=min(info.rate, _FASTEST))
    else:
        save_image(path, film.sheet())


def small_gif(prediction: Prediction, *, side: int, frames: int) -> tuple[bytes, int, int]:
    """A small GIF of the video for a page, without labels: bytes, width and height.

    Raises:
        VideoError: the video cannot be read any more.
    """
    import tempfile

    from frameflow.video.write import write_gif

    info = probe(prediction.video)
    film = _Film(info, prediction, None)
    indices = film.spread(frames, rate=frames)
    shown = film.read(indices, side)
    rate = min(max(len(indices) / max(info.duration, 1e-6), 2.0), 12.5)
    with tempfile.TemporaryDirectory(prefix="frameflow-") as folder:
        path = Path(folder, "small.gif")
        write_gif(path, shown, rate=rate, width=None, colours=128)
        return path.read_bytes(), shown.shape[2], shown.shape[1]


@dataclass(frozen=True, slots=True)
class _Film:
    """A video and what is said of it."""

    info: VideoInfo
    prediction: Prediction
    labels: "FrameLabels | None"

    def spread(self, most: int, *, rate: float) -> np.ndarray:
        """At most so many frames, at most ``rate`` a second, spread over the video."""
        info = self.info
        count = max(1, min(most, info.frames, round(info.duration * rate)))
        every = info.duration / count
        if every > _SPARSE:
            log.info("%s is long: %d frames of it, one every %.2g s.", info.path, count, every)
        return ((np.arange(count) + 0.5) * info.frames / count).astype(np.int64)

    def read(self, indices: np.ndarray, side: int) -> np.ndarray:
        """(T, H, W, 3) uint8 the frames, small."""
        from frameflow.video.decode import read_frames

        size = _fitted(self.info, side)
        try:
            return read_frames(self.info.path, indices, size=size, interpolation="area")
        except UsageError as error:  # it has not as many frames as it says
            raise VideoError(self.info.path, f"cannot be shown: {error}") from None

    def some(self, indices: np.ndarray, side: int) -> np.ndarray:
        """(T, H, W, 3) uint8 the frames, small, with labels."""
        shown = self.read(indices, side)
        overlay = LabelOverlay(shown.shape[2], shown.shape[1])
        seconds = self._seconds(indices)
        drawn = [self._draw(overlay, *each) for each in zip(shown, indices.tolist(), seconds)]
        return np.stack(drawn)

    def all(self, advance: Callable[[], None] | None = None) -> Iterator[np.ndarray]:
        """Every frame with labels, at the video's mean rate, one after the other.

        Where the rate varies, frames are shown again or left out so that each is on screen when it
        should be.
        """
        from frameflow.video.decode import iter_frames

        info = self.info
        size = _fitted(info, max(info.width, info.height))
        enlarged = None if size == (info.width, info.height) else size
        overlay = LabelOverlay(*size)
        rate, shown, held = min(info.rate, _FASTEST), 0, None
        for index, seconds, frame in iter_frames(info.path, size=enlarged):
            if advance is not None:
                advance()
            if not info.variable_rate and rate == info.rate:
                yield self._draw(overlay, frame, index, seconds)
                continue
            while held is not None and shown / rate < seconds - 1e-6:
                yield held
                shown += 1
            held = self._draw(overlay, frame, index, seconds)
        if held is not None:
            yield held

    def sheet(self) -> np.ndarray:
        """(H, W, 3) uint8 a contact sheet, above it what is said of the whole."""
        from frameflow.video.write import contact_sheet

        indices = self.spread(_STRIP_FRAMES, rate=_STRIP_FRAMES)
        shown = self.read(indices, _STRIP_SIDE)
        overlay = LabelOverlay(shown.shape[2], shown.shape[1])
        cells = []
        for frame, index, seconds in zip(shown, indices.tolist(), self._seconds(indices)):
            lines, strong = self._lines(index) if self.labels else ([], 0)
            corner = clock(seconds, short=self.info.duration < 60)
            cells.append(overlay.draw(frame, lines[:1], corner=corner, strong=strong))
        height, width = cells[0].shape[:2]
        columns = max(1, round(float(np.sqrt(_WIDE * len(cells) * height / width))))
        sheet = contact_sheet(cells, columns=columns, gap=2)
        lines, strong = lines_of(self.prediction)
        title: list[Line] = [(Path(self.prediction.video).name, None)]
        size = max(14, sheet.shape[1] // 45)
        head = [
            caption(sheet.shape[1], title, size=size),
            caption(sheet.shape[1], lines, size=size, strong=strong),
        ]
        return np.concatenate([*head, sheet])

    def _draw(
        self, overlay: LabelOverlay, frame: np.ndarray, index: int, seconds: float
    ) -> np.ndarray:
        lines, strong = self._lines(index)
        if not self.labels:  # in a row of frames lines do not come and go
            lines = [
                (text, p) for n, (text, p) in enumerate(lines) if not n or p is None or p >= _LEAST
            ]
        duration = self.info.duration
        corner = clock(seconds) if duration >= 60 else ""
        share = seconds / duration if duration > 0 else 1.0
        return overlay.draw(frame, lines, corner=corner, progress=share, strong=strong)

    def _lines(self, index: int) -> tuple[list[Line], int]:
        return lines_of(self.labels.at(index) if self.labels else self.prediction)

    def _seconds(self, indices: np.ndarray) -> list[float]:
        times = frame_times(self.info.path)
        return [float(times[min(index, len(times) - 1)]) for index in indices.tolist()]


def clock(seconds: float, *, short: bool = False) -> str:
    """``0:03``, ``1:02:03``; ``short`` has tenths: ``0:03.2``.

    Example:
        >>> clock(3723), clock(3.25, short=True)
        ('1:02:03', '0:03.2')
    """
    whole = int(seconds)
    text = f"{whole // 60 % 60}:{whole % 60:02d}"
    if whole >= 3600:
        text = f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{int(seconds * 10) % 10}" if short else text


def _fitted(info: VideoInfo, side: int) -> tuple[int, int]:
    """Width and height with at most ``side`` px on the longer side, and at least `_SMALL`."""
    longer = max(info.width, info.height)
    scale = min(1.0, side / longer)
    if longer < _SMALL:
        scale = float(np.ceil(_SMALL / longer))
    return max(2, round(info.width * scale)), max(2, round(info.height * scale))
