"""What is known of a grid's moments: features, each computed once, however much windows overlap.

Where a backbone sees a frame by itself, a moment has features of its own, which all windows share.
A video model sees a window's frames together, and a square that follows what moves lies in each
window elsewhere: for these streams the moments' images are kept, and a window has its own features.
Only the newest moments are kept, so memory does not grow with the video.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from frameflow.features.encode import ClipEncoder, encode_stream
from frameflow.inference.timeline.shots import Look, Shot
from frameflow.video.clip import Clip, ClipRequest
from frameflow.video.transform import cut_box, finish_crop, plan_fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frameflow.video._scale import Scaler

# Which moments a request's views look at, (views, T), and which of them count.
Picks = tuple[np.ndarray, np.ndarray]


class Moments:
    """The newest moments of one video.

    Args:
        encoder: of a predictor.
        size: width and height of the video's frames, px.
        batch: moments whose features are computed at once; None: as many as the engines like.

    Attributes:
        shared: the streams whose moments have features of their own.
        computed: how many moments had features computed, for whoever wants to know.
    """

    def __init__(
        self, encoder: ClipEncoder, size: tuple[int, int], *, batch: int | None = None
    ) -> None:
        self._encoder, self._size = encoder, size
        self.shared = tuple(
            i
            for i, engine in enumerate(encoder.engines)
            if engine.steps is None and encoder.streams[i].fit != "follow"
        )
        self.computed = 0
        self._keeps_images = len(self.shared) < len(encoder.streams)
        most = max(engine.batch for engine in encoder.engines) // encoder.crops
        self._batch = max(1, most if batch is None else batch) if self.shared else 1
        self._features: dict[int, dict[int, np.ndarray]] = {}
        self._shots: dict[int, Shot] = {}
        self._looks: deque[Look] = deque()
        self._waiting: list[Shot] = []
        self.newest = -1  # moment that was added

    @property
    def ready(self) -> int:
        """The newest moment up to which all that was added can be used."""
        return self._waiting[0].moment - 1 if self._waiting else self.newest

    def add(self, shot: Shot, *, wanted: bool = True) -> None:
        """Take in the next moment; one that is not wanted costs nothing."""
        self.newest = shot.moment
        self._looks.extend(shot.looks)
        if wanted:
            self._waiting.append(shot)
            if len(self._waiting) >= self._batch:
                self.flush()

    def flush(self) -> None:
        """Compute what waits until a batch is full."""
        shots, self._waiting = self._waiting, []
        if not shots:
            return
        found = {i: self._computed(i, shots) for i in self.shared}
        self.computed += len(shots)
        for row, shot in enumerate(shots):
            self._features[shot.moment] = {i: part[:, row].copy() for i, part in found.items()}
            if self._keeps_images:
                self._shots[shot.moment] = shot

    def _computed(self, stream: int, shots: Sequence[Shot]) -> np.ndarray:
        """(crops, N, dim) float16 of the moments' frames, or of how they change."""
        number = self._encoder.request_of[stream]
        request = self._encoder.requests[number]
        images = np.stack([shot.images[number] for shot in shots], axis=2)  # (R, crops, N, ...)
        mask = np.ones(len(shots), dtype=np.bool_)
        clips = [
            _clip(request, images[:, crop], mask, shots, number) for crop in range(images.shape[1])
        ]
        return encode_stream(self._encoder.streams[stream], clips, self._encoder.engines[stream])

    def forget(self, before: int) -> None:
        """Let go of all moments before one, but for the newest."""
        for kept in (self._features, self._shots):
            while len(kept) > 1 and (oldest := next(iter(kept))) < before:
                del kept[oldest]
        first = next(iter(self._shots.values()), None)
        first = first or next(iter(self._waiting), None)
        least = min(int(rows.min()) for rows in first.places) if first else 0
        while self._looks and self._looks[0][0] < least:
            self._looks.popleft()

    def __len__(self) -> int:
        return len(self._features) + len(self._waiting)

    def features(self, picks: Sequence[Picks]) -> tuple[np.ndarray, np.ndarray]:
        """The features of one window, as `ClipEncoder.encode` gives those of a sample.

        Args:
            picks: of each request which moments its views look at. In place of one that is not
                there the nearest before it is taken.

        Returns:
            ``(views, S, dim)`` float32 and ``(views, S)`` bool.

        Raises:
            LookupError: no moment is there.
        """
        encoder = self._encoder
        known = [(self._there(moments), mask) for moments, mask in picks]
        clips = {
            number: self._clips(number, *known[number])
            for number in {encoder.request_of[i] for i in range(len(encoder.streams))}
            if any(
                encoder.request_of[i] == number and i not in self.shared
                for i in range(len(encoder.streams))
            )
        }
        parts, masks = [], []
        for i, stream in enumerate(encoder.streams):
            number = encoder.request_of[i]
            moments, mask = known[number]
            if i in self.shared:
                part = self._gathered(i, moments, mask)
            else:
                part = encode_stream(stream, clips[number], encoder.engines[i])
            repeats = encoder.views // len(part)
            counts = np.repeat(mask, encoder.views // len(mask), axis=0)
            if not encoder.backbones[i].framewise:
                counts = np.ones((encoder.views, encoder.stream_steps[i]), dtype=np.bool_)
            parts.append(np.repeat(part, repeats, axis=0))
            masks.append(counts)
        return encoder.joined(parts, masks)

    def _there(self, moments: np.ndarray) -> np.ndarray:
        if all(moment in self._features for moment in moments.ravel().tolist()):
            return moments
        known = np.fromiter(self._features, dtype=np.int64)
        if not len(known):
            raise LookupError("none of these moments was read")
        return known[np.maximum(np.searchsorted(known, moments, side="right") - 1, 0)]

    def _gathered(self, stream: int, moments: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(views * crops, T, dim) float16; zero where the mask hides a frame."""
        rows = np.stack(
            [self._features[moment][stream] for moment in moments.ravel().tolist()]
        )  # (views * T, crops, dim)
        rows = rows.reshape(*moments.shape, *rows.shape[1:]).swapaxes(1, 2)
        rows = np.where(mask[:, None, :, None], rows, np.float16(0))
        return rows.reshape(-1, *rows.shape[2:])

    def _clips(self, number: int, moments: np.ndarray, mask: np.ndarray) -> list[Clip]:
        """The clips of a window: the crops of the first view, then those of the second..."""
        request = self._encoder.requests[number]
        found = []
        for chosen, counts in zip(moments.tolist(), mask):
            shots = [self._shots[moment] for moment in chosen]
            if request.fit == "follow":
                images = self._followed(number, shots)
            else:
                images = np.stack([shot.images[number] for shot in shots], axis=2)
            images[:, :, ~counts] = 0
            found += [
                _clip(request, images[:, crop], counts, shots, number)
                for crop in range(images.shape[1])
            ]
        return found

    def _followed(self, number: int, shots: Sequence[Shot]) -> np.ndarray:
        """(R, 1, T, H, W, 3): the squares that follow what moves in a window."""
        from frameflow.video._following import moves

        request = self._encoder.requests[number]
        plan = plan_fit(*self._size, size=request.size, fit=request.fit, follow=request.follow)
        rows = np.stack([shot.places[number] for shot in shots], axis=1)
        looks = dict(self._looks)
        (moved,) = moves([rows], request.runs, partial(_read, looks), self._size, plan, None)
        (box,) = plan.boxes
        cuts = [
            [
                cut_box(shot.images[number][r, 0], box, moved=moved[r, t])
                for t, shot in enumerate(shots)
            ]
            for r in range(len(rows))
        ]
        return np.stack(
            [
                finish_crop(np.stack(row), plan, interpolation=request.interpolation)[None]
                for row in cuts
            ]
        )


def _read(
    looks: dict[int, np.ndarray],
    wanted: np.ndarray,
    scaler: "Scaler",  # noqa: ARG001
) -> "Iterator[tuple[int, np.ndarray]]":
    """Small grey pictures as the frames they were made of would give them again."""
    for index in wanted.tolist():
        if index in looks:
            yield index, np.repeat(looks[index][..., None], 3, axis=2)


def _clip(
    request: ClipRequest, images: np.ndarray, mask: np.ndarray, shots: Sequence[Shot], number: int
) -> Clip:
    """A clip of (R, T, H, W, 3) images: the frames, then those of each run."""
    rest = iter(images[1:])
    runs = {run: tuple(next(rest) for _ in range(run[1])) for run in request.runs}
    indices = np.array([shot.places[number][0] for shot in shots])
    return Clip(images[0], mask, indices, np.array([shot.seconds for shot in shots]), runs)
