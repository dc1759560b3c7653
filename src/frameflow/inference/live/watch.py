"""Watch a stream with a trained run."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from frameflow.errors import UsageError
from frameflow.inference.live.answers import Dropped, PieceAnswers
from frameflow.inference.live.inbox import RATE, Inbox
from frameflow.inference.live.reader import Reader, Reading
from frameflow.inference.live.results import LiveEvent, LivePrediction
from frameflow.inference.live.source import SourceName, find_source
from frameflow.inference.timeline.plan import WindowPlan, plan_windows

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor

_LOOK = 0.2  # seconds between looks at whether to stop
_HOLE = 1.0  # seconds without a frame that a window may hold at least; otherwise half a window


def live(
    predictor: "Predictor",
    source: SourceName,
    *,
    window: float | None = None,
    stride: float | None = None,
    grid: float | None = None,
    topk: int = 5,
    rolling: int = 1,
    format: str | None = None,
    options: Mapping[str, str] | None = None,
    reconnect: bool | None = None,
    stall_timeout: float = 10.0,
    max_seconds: float | None = None,
    count: int | None = None,
) -> Iterator[LiveEvent | LivePrediction]:
    """Answer the newest window of a stream, again and again.

    Where answering takes longer than a stride, windows are left out and counted: an answer is
    never older than one window's computing. Memory does not grow. A recording (a file, or one on
    a web server) is read at its own rate, as if it were filmed now.

    Args:
        predictor: of a run.
        source: a camera's number, an address (``rtsp://``, ``http://``, ``udp://``...), a file,
            ``-`` for what is piped in, or an open binary file.
        window: seconds of a window; see `frameflow.inference.timeline.plan.plan_windows`.
        stride: seconds from one window's start to the next one's.
        grid: moments a second at which frames are looked at.
        topk: labels that an answer ranks.
        rolling: the answer is the mean over so many windows, the newest ones.
        format: FFmpeg's input format, for pipes and devices that do not say it themselves.
        options: further ones of FFmpeg, such as ``video_size`` and ``framerate``.
        reconnect: open the source again when it ends or stalls: True always, also where it has
            never worked; False never; None where it has worked. A pipe or a file ends for good.
        stall_timeout: seconds without a frame after which a source is closed.
        max_seconds: end after so many seconds of real time.
        count: end after so many answers.

    Yields:
        A `LivePrediction` for each window, and a `LiveEvent` for what happens in between.

    Raises:
        UsageError: a number is out of range.
        VideoError: the source cannot be opened, or failed and is not opened again.

    Example:
        >>> for found in live(load("runs/first"), "rtsp://camera/stream"):  # doctest: +SKIP
        ...     print(found.to_dict())
    """
    for name, value in (("topk", topk), ("rolling", rolling), ("count", count)):
        if value is not None and value < 1:
            raise UsageError(f"{name} ({value}) must be > 0.")
    for name, seconds in (("stall_timeout", stall_timeout), ("max_seconds", max_seconds)):
        if seconds is not None and not 0 < seconds < float("inf"):
            raise UsageError(f"{name} ({seconds:g}) must be > 0 and finite.")

    def plan(rate: float) -> WindowPlan:
        found = plan_windows(predictor.recognizer, rate, window=window, stride=stride, grid=grid)
        # what is more than the stream has would look at frames twice
        return WindowPlan(found.length, found.stride, min(found.grid, rate), ending=found.ending)

    usual = plan(RATE)  # a mistake shows before anything is opened
    found = find_source(source, format=format, options=options)
    inbox = Inbox(predictor.encoder.requests, plan)
    how = Reading(stall=stall_timeout, reconnect=reconnect, hole=max(_HOLE, usual.length / 2))
    reader = Reader(found, how, inbox.take, inbox.tell)
    answers = _answers(predictor, inbox, reader, name=found.name, topk=topk, rolling=rolling)
    return _limited(answers, max_seconds, count)


def _limited(
    found: "Iterator[LiveEvent | LivePrediction | None]", seconds: float | None, count: int | None
) -> Iterator[LiveEvent | LivePrediction]:
    until, answered = float("inf"), 0
    try:
        next(found)  # it begins to read
        if seconds is not None:
            until = time.monotonic() + seconds
        for one in found:
            if one is not None:
                yield one
            answered += isinstance(one, LivePrediction)
            if answered == count or time.monotonic() >= until:
                return
    finally:
        found.close()  # type: ignore[attr-defined]  # it is a generator


def _answers(
    predictor: "Predictor", inbox: Inbox, reader: Reader, *, name: str, topk: int, rolling: int
) -> "Iterator[LiveEvent | LivePrediction | None]":
    """What comes; None now and then, where nothing does."""
    _warm_up(predictor)
    dropped, answers = Dropped(), None
    reader.start()
    try:
        yield None
        while True:
            over = reader.over
            idle = answers is None or not answers.look_ahead()
            items = inbox.wait(_LOOK if idle and not over else 0.0)
            if over and not items:
                break
            for item in items:
                if isinstance(item, LiveEvent):
                    yield from _due(answers)
                    yield item
                    continue
                if answers is None or answers.piece is not item.piece:
                    if answers is not None:
                        yield from _due(answers)
                        answers.end()
                    answers = PieceAnswers(
                        predictor, item.piece, name=name, topk=topk, rolling=rolling,
                        dropped=dropped,
                    )  # fmt: skip
                answers.add(item)
            yield from _due(answers)
            yield None
    finally:
        reader.stop()
    if reader.error is not None:
        raise reader.error


def _due(answers: PieceAnswers | None) -> Iterator[LivePrediction]:
    if answers is not None and (number := answers.due()) is not None:
        yield answers.answer(number)


def _warm_up(predictor: "Predictor") -> None:
    """Make the engines and run each once: the first run takes far longer than the next."""
    encoder = predictor.encoder
    for i, (backbone, engine) in enumerate(zip(encoder.backbones, encoder.engines)):
        size, request = backbone.preprocess.size, encoder.requests[encoder.request_of[i]]
        clip = () if engine.steps is None else (request.sampling.frames,)
        engine(np.zeros((1, *clip, size, size, 3), np.uint8))
    features = np.zeros((encoder.views, encoder.steps, encoder.dim), np.float32)
    predictor.from_features("", features, np.ones(features.shape[:2], np.bool_), topk=1)
