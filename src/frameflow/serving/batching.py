"""One thread computes: what waits while it is busy is computed together next."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frameflow.serving.faults import Refused

if TYPE_CHECKING:
    import numpy as np

    from frameflow.inference.predictor import Prediction, Predictor
    from frameflow.video.clip import Clip


@dataclass(slots=True, eq=False)
class _Asked:
    predictor: "Predictor"
    video: str
    clips: "list[list[Clip]]"
    topk: int
    answer: "Future[Prediction]" = field(default_factory=Future)


class Batcher:
    """Computes predictions of several clients in one thread.

    Nothing waits for company: a request that comes while the thread is idle is computed at once,
    and those that come meanwhile are computed together. A frame's features do not depend on those
    beside it, so neither does an answer.

    Args:
        most: requests computed together at most; 1: each by itself.
        together: told how many were.

    Attributes:
        idle: set while no prediction waits or is computed.
    """

    def __init__(self, most: int, together: Callable[[int], None] = lambda _: None) -> None:
        self._most, self._together = most, together
        self._waiting: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._held: list[_Asked] = []  # taken from the queue, for another model than the last
        self._closed = False
        self.idle = threading.Event()
        self.idle.set()
        self._pending, self._counting = 0, threading.Lock()
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._waiting.qsize() + len(self._held)

    def submit(
        self, predictor: "Predictor", video: str, clips: "list[list[Clip]]", topk: int
    ) -> "Future[Prediction]":
        """Ask for a prediction; to cancel the future drops what was not begun."""
        asked = _Asked(predictor, video, clips, topk)
        self._count(1)
        asked.answer.add_done_callback(lambda _: self._count(-1))
        if self._closed:
            asked.answer.set_exception(stopping())
        else:
            self._waiting.put(asked)
        return asked.answer

    def _count(self, more: int) -> None:
        with self._counting:
            self._pending += more
            if self._pending:
                self.idle.clear()
            else:
                self.idle.set()

    def close(self) -> None:
        """End the thread after what it is computing; what waits is refused."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while batch := self._next():
            begun = [each for each in batch if each.answer.set_running_or_notify_cancel()]
            if begun:
                self._together(len(begun))
                _answer(begun)
            batch.clear()  # the clips are let go before the thread sleeps

    def _next(self) -> list[_Asked]:
        """What is computed next, all for one model, the longest waiting first; empty: the end."""
        held = self._held
        if not held:
            first = self._waiting.get()
            if first is not None:
                held.append(first)
        while not self._waiting.empty():
            asked = self._waiting.get()
            if asked is not None:
                held.append(asked)
        if self._closed:
            for asked in held:
                if asked.answer.set_running_or_notify_cancel():
                    asked.answer.set_exception(stopping())
            return []
        same = [asked for asked in held if asked.predictor is held[0].predictor][: self._most]
        self._held = [asked for asked in held if asked not in same]
        return same


def _answer(batch: Sequence[_Asked]) -> None:
    """Compute and hand out; a fault of one clip is not that of those beside it."""
    try:
        computed = encode_together(batch[0].predictor, [each.clips for each in batch])
    except Exception as error:
        if len(batch) == 1:
            batch[0].answer.set_exception(error)
            return
        for each in batch:
            _answer([each])
        return
    for each, (features, mask) in zip(batch, computed):
        try:
            found = each.predictor.from_features(each.video, features, mask, topk=each.topk)
        except Exception as error:
            each.answer.set_exception(error)
        else:
            each.answer.set_result(found)


def encode_together(
    predictor: "Predictor", clips: "Sequence[list[list[Clip]]]"
) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Features and masks of several videos, as `ClipEncoder.encode` gives them for each.

    Args:
        predictor: whose encoder computes.
        clips: of each video what `ClipEncoder.read` gave.
    """
    encoder = predictor.encoder
    merged = [[clip for each in clips for clip in each[i]] for i in range(len(encoder.requests))]
    features, mask = encoder.encode(merged)
    views = len(features) // len(clips)
    parts = range(0, len(features), views)
    return [(features[start : start + views], mask[start : start + views]) for start in parts]


def stopping() -> Refused:
    """The answer to what the server's end cuts off."""
    return Refused(503, "stopping", "The server is stopping.", "Try again when it is back.")


def timed(started: float) -> float:
    """Seconds since, rounded for an answer."""
    return round(time.perf_counter() - started, 4)
