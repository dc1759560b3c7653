"""From the predictions of windows to actions that begin and end, while they happen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from frameflow.errors import UsageError
from frameflow.inference.live.results import LiveEvent, LivePrediction

# Events with which a stream does not go on as it was.
_BREAKS = frozenset({"stalled", "jump", "reconnecting", "ended"})


@dataclass(slots=True)
class _Open:
    """An action that goes on."""

    start: float
    seen: float  # the moment of the last window that was part of it
    total: float
    peak: float
    windows: int


class Happenings:
    """Tells when an action begins and when it has ended.

    A label begins with a window in which its probability is ``enter`` or more, and ends with one
    in which it is below ``leave``: two thresholds, so that a probability which hovers around one
    of them does not make many actions of one. With one label a window only the likeliest can
    begin, and it ends the one before it; a window that the model had better not answer ends all.
    In multi-label each label begins and ends by itself.

    A window speaks for the moment in its middle; for the one at its end, where ``ending``.

    Args:
        enter: a probability.
        leave: a probability, at most ``enter``.
        ending: which moment a window speaks for.

    Raises:
        UsageError: the thresholds are no probabilities, or ``leave`` is the greater one.
    """

    def __init__(self, *, enter: float = 0.5, leave: float = 0.3, ending: bool = False) -> None:
        if not 0 <= leave <= enter <= 1:
            raise UsageError(
                f"enter ({enter:g}) and leave ({leave:g}) must be probabilities from 0 to 1, "
                f"leave at most as great as enter."
            )
        self._enter, self._leave, self._ending = enter, leave, ending
        self._open: dict[str, _Open] = {}

    def __call__(self, window: LivePrediction) -> Iterator[LiveEvent]:
        """What begins and ends with the next window."""
        said = window.prediction
        moment = window.end if self._ending else (window.start + window.end) / 2
        shares = dict(zip(said.labels, said.probabilities.tolist()))
        strong = [label for label, share in shares.items() if share >= self._enter]
        if said.abstained:
            strong = []
        elif not said.multilabel:
            strong = [said.label] if said.label in strong else []
        for label, one in list(self._open.items()):
            replaced = bool(strong) and label not in strong and not said.multilabel
            if shares[label] < self._leave or said.abstained or replaced:
                yield self._end(label, one, window)
            else:
                _go_on(one, shares[label], moment)
        for label in strong:
            if label not in self._open:
                self._open[label] = one = _Open(moment, moment, 0.0, 0.0, 0)
                _go_on(one, shares[label], moment)
                details = {"label": label, "probability": round(shares[label], 6)}
                yield LiveEvent("begin", window.time, moment, details)

    def close(self, last: LiveEvent | LivePrediction) -> Iterator[LiveEvent]:
        """End whatever goes on, because the stream does not."""
        for label, one in list(self._open.items()):
            yield self._end(label, one, last)

    def _end(self, label: str, one: _Open, by: LivePrediction | LiveEvent) -> LiveEvent:
        del self._open[label]
        details = {
            "label": label,
            "start": round(one.start, 3),
            "end": round(one.seen, 3),
            "probability": round(one.total / one.windows, 6),
            "peak": round(one.peak, 6),
            "windows": one.windows,
        }
        seconds = by.end if isinstance(by, LivePrediction) else by.seconds
        return LiveEvent("end", by.time, seconds, details)


def _go_on(one: _Open, share: float, moment: float) -> None:
    one.seen, one.total, one.windows = moment, one.total + share, one.windows + 1
    one.peak = float(np.maximum(one.peak, share))


def happenings(
    found: Iterable[LiveEvent | LivePrediction],
    *,
    enter: float = 0.5,
    leave: float = 0.3,
    ending: bool = False,
) -> Iterator[LiveEvent]:
    """What `frameflow.inference.live.live` gives, as actions that begin and end, and its events.

    An action ends where the stream stops or jumps, and where ``found`` ends.

    Args:
        found: predictions and events.
        enter: see `Happenings`, and so the next two.
        leave: a probability.
        ending: which moment a window speaks for.

    Raises:
        UsageError: as `Happenings`.
    """
    watch = Happenings(enter=enter, leave=leave, ending=ending)
    return _happenings(watch, found)


def _happenings(
    watch: Happenings, found: Iterable[LiveEvent | LivePrediction]
) -> Iterator[LiveEvent]:
    last: LiveEvent | LivePrediction | None = None
    for one in found:
        last = one
        if isinstance(one, LivePrediction):
            yield from watch(one)
            continue
        if one.event in _BREAKS:
            yield from watch.close(one)
        yield one
    if last is not None:
        yield from watch.close(last)


def changes(
    found: Iterable[LiveEvent | LivePrediction],
) -> Iterator[LiveEvent | LivePrediction]:
    """Only predictions whose answer is another than that of the one before; and all events."""
    before: object = None
    for one in found:
        if isinstance(one, LivePrediction):
            said = one.prediction
            labels = said.present if said.multilabel else [said.label]
            answer = (labels, said.abstained)
            if answer == before:
                continue
            before = answer
        elif one.event in _BREAKS:
            before = None
        yield one
