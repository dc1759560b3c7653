"""Windows: which moments of the grid each looks at, and what the head says of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from frameflow.inference.predictor import probabilities_of
from frameflow.inference.timeline.grid import Moments, Picks
from frameflow.inference.timeline.plan import (
    WindowPlan,
    cells,
    on_grid,
    regular_window,
    regular_windows,
    window_spans,
)
from frameflow.inference.timeline.shots import Shot
from frameflow.video.sample import clip_indices, ending_indices

if TYPE_CHECKING:
    from frameflow.features.encode import ClipEncoder
    from frameflow.inference.predictor import Predictor

_HEAD_BYTES = 16 << 20  # features that the head sees at once


def window_picks(
    encoder: "ClipEncoder", plan: WindowPlan, rate: float, start: float, end: float
) -> list[Picks]:
    """The moments that the recipe's sampling picks in a window, as if the grid were a video.

    Args:
        encoder: of a predictor.
        plan: of the windows.
        rate: of the video, frames a second.
        start: of the window, seconds.
        end: of the window, seconds.

    Returns:
        Of each request ``(views, T)`` int64 moments, all of them within the window, and
        ``(views, T)`` bool, False where the clip is padded.
    """
    first, last = cells(plan.grid, start, end)
    found = []
    for request in encoder.requests:
        sampling = on_grid(request.sampling, rate, ending=plan.ending)
        chosen = []
        for view in range(request.views):
            if plan.ending:
                clip = ending_indices(
                    last + 1, sampling, end=last, rate=plan.grid, first=first, pace=request.pace
                )
            else:
                clip = clip_indices(
                    last + 1, sampling, rate=plan.grid, view=view, views=request.views,
                    first=first, last=last, pace=request.pace,
                )  # fmt: skip
            chosen.append(clip)
        found.append((np.stack([c.indices for c in chosen]), np.stack([c.mask for c in chosen])))
    return found


class Windows:
    """Windows over one video: its moments go in, in order, and probabilities come out.

    Args:
        predictor: of a run.
        plan: how the windows lie.
        rate: of the video, frames a second.
        size: width and height of its frames, px.
        batch: moments whose features are computed at once; None: as many as the engines like.

    Attributes:
        moments: what is known of the newest moments.
    """

    def __init__(
        self,
        predictor: "Predictor",
        plan: WindowPlan,
        rate: float,
        size: tuple[int, int],
        *,
        batch: int | None = None,
    ) -> None:
        self._predictor, self._plan, self._rate = predictor, plan, rate
        self.moments = Moments(predictor.encoder, size, batch=batch)
        encoder = predictor.encoder
        bytes_of_window = encoder.views * encoder.steps * encoder.dim * 4
        self.at_once = max(1, _HEAD_BYTES // bytes_of_window)  # windows that the head sees

    def cells(self, start: float, end: float) -> tuple[int, int]:
        """The first and the last moment of a window."""
        return cells(self._plan.grid, start, end)

    def picks(self, start: float, end: float) -> list[Picks]:
        """The moments that a window looks at, see `window_picks`."""
        return window_picks(self._predictor.encoder, self._plan, self._rate, start, end)

    def classify(self, spans: Sequence[tuple[float, float]]) -> np.ndarray:
        """``(N, K)`` calibrated probabilities of windows whose moments have been added.

        Windows over the same moments are computed once.
        """
        known: dict[tuple[int, int], int] = {}
        rows = [known.setdefault(self.cells(*span), len(known)) for span in spans]
        each = [spans[rows.index(row)] for row in range(len(known))]
        parts = [
            self._said(each[begin : begin + self.at_once])
            for begin in range(0, len(each), self.at_once)
        ]
        if not parts:
            return np.empty((0, len(self._predictor.labels)), np.float32)
        return np.concatenate(parts)[rows]

    def _said(self, spans: Sequence[tuple[float, float]]) -> np.ndarray:
        found = [self.moments.features(self.picks(*span)) for span in spans]
        features, mask = (np.concatenate(parts) for parts in zip(*found))
        said = probabilities_of(self._predictor.recognizer, features, mask)
        return self._predictor.calibrate(said.reshape(len(spans), -1, said.shape[-1]).mean(axis=1))


class SlidingWindows(Windows):
    """The windows of a plan, from the beginning of a video to wherever it ends.

    Only moments that some window looks at have their features computed.

    Args:
        predictor: as `Windows` takes it, and the next four.
        plan: how the windows lie.
        rate: of the video.
        size: of its frames.
        batch: of moments.
        duration: of the video in seconds, as far as that is known beforehand.
    """

    def __init__(
        self,
        predictor: "Predictor",
        plan: WindowPlan,
        rate: float,
        size: tuple[int, int],
        *,
        batch: int | None = None,
        duration: float = 0.0,
    ) -> None:
        super().__init__(predictor, plan, rate, size, batch=batch)
        self.count = 0  # windows that were classified
        self._planned = 0  # and those whose moments are among the wanted ones
        self._wanted: set[int] = set()
        starts, ends = window_spans(plan, duration)  # the last one reaches back from the end
        self._last = self._looked_at(float(starts[-1]), float(ends[-1]))

    def add(self, shot: Shot) -> np.ndarray:
        """Take in the next moment; ``(n, K)`` of the windows that are now complete."""
        self.moments.add(shot, wanted=self._wants(shot.moment))
        return self._complete()

    def finish(self, duration: float) -> np.ndarray:
        """``(n, K)`` of the windows that are left where the video ends after so many seconds."""
        self.moments.flush()
        before = self._complete()
        starts, ends = window_spans(self._plan, duration)
        left = list(zip(starts.tolist(), ends.tolist()))[self.count :]
        self.count += len(left)
        return np.concatenate([before, self.classify(left)])

    def _complete(self) -> np.ndarray:
        """Those that end before a moment that is there: wherever the video ends, they stay."""
        until = (self.moments.ready + 0.5) / self._plan.grid
        count = regular_windows(self._plan, until)
        found = self.classify([regular_window(self._plan, k) for k in range(self.count, count)])
        if len(found):
            self.count = count
            following, _ = self.cells(*regular_window(self._plan, count))
            back = self.moments.newest - math.ceil(self._plan.length * self._plan.grid) - 1
            oldest = min(following, back)  # a window that reaches back may begin there
            self.moments.forget(oldest)
            self._wanted = {moment for moment in self._wanted if moment >= oldest}
        return found

    def _wants(self, moment: int) -> bool:
        """Whether any window looks at a moment."""
        while True:
            start, end = regular_window(self._plan, self._planned)
            if self.cells(start, end)[0] > moment:
                return moment in self._wanted or moment in self._last
            self._wanted |= self._looked_at(start, end)
            self._planned += 1

    def _looked_at(self, start: float, end: float) -> set[int]:
        return {m for moments, _ in self.picks(start, end) for m in moments.ravel().tolist()}


def classify_windows(
    windows: Windows, shots: Iterable[Shot], spans: Iterable[tuple[float, float]]
) -> Iterator[np.ndarray]:
    """The probabilities of spans of one's own, as moments come in; memory stays flat.

    Args:
        windows: of the video.
        shots: its moments, from the first one on.
        spans: (start, end) seconds; starts and ends must not fall. One that reaches beyond the
            last shot sees that one instead.

    Yields:
        ``(K,)`` calibrated, for each span.
    """
    coming, moments = iter(shots), windows.moments
    group: list[tuple[float, float]] = []
    for span in spans:
        first, last = windows.cells(*span)
        if last > moments.ready:
            yield from windows.classify(group)
            group.clear()
            moments.forget(first)
            for shot in coming:
                moments.add(shot)
                if last <= moments.ready:
                    break
            else:
                moments.flush()
        group.append(span)
    yield from windows.classify(group)
