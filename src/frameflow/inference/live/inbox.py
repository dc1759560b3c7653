"""What the thread that reads leaves for the one that answers: the newest moments, and events."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from frameflow.inference.live.clock import Moment
from frameflow.inference.live.moments import MomentMaker, form_of, upright
from frameflow.inference.live.results import LiveEvent, now
from frameflow.inference.timeline.plan import WindowPlan
from frameflow.inference.timeline.shots import Shot
from frameflow.video.clip import ClipRequest

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

RATE = 25.0  # frames a second, of a stream that does not say it
_EVENTS = 256  # that wait at most, the newest ones
_SHOWN = {"window": "length", "stride": "stride", "grid": "grid"}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of a stream without a jump in time.

    Attributes:
        begin: seconds since the stream's first frame.
        rate: frames a second.
        size: width and height of its frames, px.
        plan: how windows lie in it.
    """

    begin: float
    rate: float
    size: tuple[int, int]
    plan: WindowPlan


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A moment, and when the frame that it waited for came, by the monotonic clock."""

    piece: Piece
    shot: Shot
    time: float


class Inbox:
    """Holds the moments of one window and one stride, the newest ones; older ones are let go.

    Args:
        requests: of the encoder.
        plan: gives the windows of a stream of so many frames a second.
    """

    def __init__(
        self, requests: Sequence[ClipRequest], plan: Callable[[float], WindowPlan]
    ) -> None:
        self._requests, self._make_plan = tuple(requests), plan
        self._plan: WindowPlan | None = None
        self._rate = RATE
        self._piece: Piece | None = None
        self._maker: MomentMaker | None = None
        self._seconds = 0.0
        self._keep = 1
        self._items: deque[Arrival | LiveEvent] = deque()
        self._moments = self._events = 0  # among the items
        self._news = threading.Condition()
        self._error: Exception | None = None

    def tell(self, event: str, **details: Any) -> None:
        """Something happened to the stream."""
        try:
            if event == "connected":
                details |= self._connected(details.get("rate") or RATE)
            self._put([LiveEvent(event, now(), self._seconds, details)])
        except Exception as error:
            self._fail(error)

    def _connected(self, rate: float) -> dict[str, Any]:
        self._plan, self._rate, self._maker = self._make_plan(rate), rate, None
        plan = self._plan
        self._keep = ceil((plan.length + plan.stride) * plan.grid) + 2
        return {name: round(getattr(plan, at), 3) for name, at in _SHOWN.items()}

    def take(self, frame: "VideoFrame", moment: Moment, arrived: float) -> None:
        """A frame came."""
        try:
            self._put(self._arrivals(frame, moment, arrived))
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """For the thread that answers: this one is not where anybody would see it."""
        with self._news:
            self._error = error
            self._news.notify_all()

    def _arrivals(
        self, frame: "VideoFrame", moment: Moment, arrived: float
    ) -> list[Arrival | LiveEvent]:
        found: list[Arrival | LiveEvent] = []
        self._seconds = moment.seconds
        assert self._plan is not None  # a stream is connected before a frame comes
        changed = self._maker is not None and self._maker.form != form_of(frame)
        if self._maker is not None and (moment.anew or changed):
            size = {"width": frame.width, "height": frame.height} if changed else {}
            found.append(LiveEvent("jump", now(), moment.seconds, size))
            self._maker = None
        if self._maker is None or self._piece is None:
            self._maker = MomentMaker(self._requests, self._plan.grid, self._rate, frame)
            self._piece = Piece(moment.seconds, self._rate, upright(frame), self._plan)
        made = self._maker.add(frame, moment.seconds - self._piece.begin)
        return found + [Arrival(self._piece, shot, arrived) for shot in made]

    def _put(self, items: "Sequence[Arrival | LiveEvent]") -> None:
        if not items:
            return
        with self._news:
            self._items.extend(items)
            events = sum(isinstance(item, LiveEvent) for item in items)
            self._events += events
            self._moments += len(items) - events
            while self._moments > self._keep:
                self._let_go(Arrival)
                self._moments -= 1
            while self._events > _EVENTS:
                self._let_go(LiveEvent)
                self._events -= 1
            self._news.notify_all()

    def _let_go(self, kind: type) -> None:
        oldest = next(i for i, item in enumerate(self._items) if isinstance(item, kind))
        del self._items[oldest]

    def wait(self, seconds: float) -> list[Arrival | LiveEvent]:
        """Whatever came, in order; nothing where nothing does for so many seconds.

        Raises:
            Exception: what went wrong on the thread that reads.
        """
        with self._news:
            if not self._items and self._error is None:
                self._news.wait(seconds)
            items = list(self._items)
            self._items.clear()
            self._moments = self._events = 0
            if self._error is not None:
                raise self._error
        return items
