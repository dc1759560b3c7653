"""Answers for the newest windows of one piece of a stream."""

import time
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from frameflow.inference.live.inbox import Arrival, Piece
from frameflow.inference.live.results import LivePrediction, now
from frameflow.inference.timeline.plan import regular_window
from frameflow.inference.timeline.windows import Windows

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor

_AHEAD = 2  # moments that are worth looking at before their window is complete
_DRIFT = 1e-4  # by how much the clock of a camera may be slower than ours, and more


class Dropped:
    """What nobody looked at, because newer things were there.

    Attributes:
        windows: complete ones that were not answered.
        frames: moments that lie in no answered window.
    """

    def __init__(self) -> None:
        self.windows = self.frames = 0


class PieceAnswers:
    """Answers the newest complete window, whatever became of those before it.

    Args:
        predictor: of a run.
        piece: of the stream.
        name: of the stream.
        topk: labels that an answer ranks.
        rolling: the answer is the mean over so many windows, the newest ones.
        dropped: counts on from piece to piece.
    """

    def __init__(
        self,
        predictor: "Predictor",
        piece: Piece,
        *,
        name: str,
        topk: int,
        rolling: int,
        dropped: Dropped,
    ) -> None:
        self.piece = piece
        self._predictor, self._name, self._topk = predictor, name, topk
        self._dropped = dropped
        self._windows = Windows(predictor, piece.plan, piece.rate, piece.size)
        self._fresh: deque[Arrival] = deque()  # not looked at yet
        self._came: dict[int, float] = {}
        self._wanted: set[int] = set()
        self._planned = 0  # the window whose moments are not yet among the wanted ones
        self._answered = self._seen = -1  # the window answered last, and its last moment
        self._newest = -1
        self._whole = 0  # no moment is missing from here on
        self._best = float("inf")  # the least that a moment came after its time in the stream
        self._behind = 0.0
        self._said: deque[np.ndarray] = deque(maxlen=rolling)

    def add(self, arrival: Arrival) -> None:
        """Take in the next moment."""
        self._fresh.append(arrival)
        if arrival.shot.moment != self._newest + 1:
            self._whole = arrival.shot.moment
        self._newest = arrival.shot.moment
        before = self._came.get(self._newest - 1, arrival.time)
        self._came[self._newest] = arrival.time
        after = arrival.time - arrival.shot.seconds
        self._best = min(self._best + _DRIFT * (arrival.time - before), after)
        self._behind = after - self._best

    def due(self) -> int | None:
        """The number of the newest complete window, if it is not answered yet.

        None too where the inbox has let go of moments of it: a piece that ended long ago.
        """
        number = self._complete()
        there = self._span(number)[0] >= self._whole if number > self._answered else False
        return number if there else None

    def end(self) -> None:
        """No moment follows: what is complete and was not answered is dropped."""
        self._dropped.windows += self._complete() - self._answered

    def _complete(self) -> int:
        """The newest window whose last moment has come, or the one answered last."""
        number = self._answered
        while self._span(number + 1)[1] <= self._newest:
            number += 1
        return number

    def look_ahead(self) -> bool:
        """Look at moments of the next window, so that less is left to do when it is complete.

        Returns:
            False where there was nothing to do.
        """
        first = self._span(self._answered + 1)[0]
        if sum(arrival.shot.moment >= first for arrival in self._fresh) < _AHEAD:
            return False
        self._take_in(self._answered + 1)
        return True

    def answer(self, number: int) -> LivePrediction:
        """The answer for a window that is complete; windows before it are not to be had then."""
        first, last = self._span(number)
        self._dropped.windows += number - self._answered - 1
        self._dropped.frames += max(0, first - self._seen - 1) if self._answered >= 0 else first
        self._take_in(number)
        start, end = regular_window(self.piece.plan, number)
        self._said.append(self._windows.classify([(start, end)])[0])
        mean = np.stack(self._said).mean(axis=0, dtype=np.float32)
        views = self._predictor.encoder.views
        said = self._predictor.from_probabilities(self._name, mean, topk=self._topk, views=views)
        self._answered, self._seen = number, last
        late = time.monotonic() - self._came[last]
        begin = self.piece.begin
        return LivePrediction(
            time=now() - timedelta(seconds=late),
            start=begin + start,
            end=begin + end,
            prediction=said,
            latency=late,
            behind=self._behind,
            dropped_windows=self._dropped.windows,
            dropped_frames=self._dropped.frames,
        )

    def _span(self, number: int) -> tuple[int, int]:
        """The first and the last moment of a window."""
        return self._windows.cells(*regular_window(self.piece.plan, number))

    def _take_in(self, number: int) -> None:
        """Compute what a window and those after it look at, as far as it is there."""
        first, _ = self._span(number)
        self._planned = max(self._planned, number)
        while self._span(self._planned)[0] <= self._newest:
            for picked, _ in self._windows.picks(*regular_window(self.piece.plan, self._planned)):
                self._wanted.update(picked.ravel().tolist())
            self._planned += 1
        moments = self._windows.moments
        while self._fresh:
            shot = self._fresh.popleft().shot
            moments.add(shot, wanted=shot.moment >= first and shot.moment in self._wanted)
        moments.flush()
        moments.forget(first)
        self._wanted = {moment for moment in self._wanted if moment >= first}
        self._came = {moment: at for moment, at in self._came.items() if moment >= first}
