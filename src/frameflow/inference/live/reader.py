"""Reading a source on and on: it is opened again when it ends, fails or stalls."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frameflow.errors import VideoError
from frameflow.inference.live._link import ENDED, Link
from frameflow.inference.live.clock import Moment, StreamClock
from frameflow.inference.live.pipe import Pipe
from frameflow.inference.live.source import Source, stalled_for

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LONGEST_WAIT = 30.0  # seconds before the source is opened again, at most
_SETTLED = 10.0  # seconds after which a connection counts as a good one
_LOOK = 0.05  # seconds between looks at whether frames come
_GRACE = 1.0  # seconds more than FFmpeg's own limit, before a link is left to itself


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is read.

    Attributes:
        stall: seconds without a frame after which a source is closed.
        reconnect: open it again; None does so for one that has worked.
        hole: seconds without a frame that a window may hold, see `StreamClock`.
        wait: seconds before it is opened again, doubled from try to try, 30 at most.
    """

    stall: float = 10.0
    reconnect: bool | None = None
    hole: float = 1.0
    wait: float = 0.5


class Reader:
    """Reads a source until it ends for good or is stopped.

    Args:
        source: what to read.
        how: when to give up, and when to try again.
        take: is given each frame, its moment, and when it arrived by the monotonic clock; on
            another thread, one frame at a time.
        tell: is given what happens: ``tell("connected", width=320, ...)``.

    Attributes:
        error: why it ended, where that was a failure.
        reconnects: how often it came back.
    """

    def __init__(
        self,
        source: Source,
        how: Reading,
        take: "Callable[[VideoFrame, Moment, float], None]",
        tell: Callable[..., None],
    ) -> None:
        self._source, self._how, self._give, self._tell = source, how, take, tell
        self._clock = StreamClock(hole=how.hole)
        self._pipe: Pipe | None = None
        self._link: Link | None = None
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._begin = 0.0  # of a recording: the moment 0 by the monotonic clock
        self._worked = False
        self._thread = threading.Thread(target=self._run, name="live-reader", daemon=True)
        self.error: VideoError | None = None
        self.reconnects = 0

    @property
    def over(self) -> bool:
        """Whether no frame will come any more."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End. A thread that waits inside FFmpeg is left to FFmpeg's limit of time."""
        self._stop.set()
        if self._link is not None:
            self._link.cancelled.set()
        if self._pipe is not None:
            self._pipe.stop()
        self._thread.join(1.0)

    def _run(self) -> None:
        source, tries = self._source, 0
        if not isinstance(source.address, str):
            self._pipe = Pipe(source.address)
        while not self._stop.is_set():
            begun = time.monotonic()
            link = Link(source, self._pipe, self._how.stall, self._taken)
            with self._turn:
                self._link = link
            link.start()
            reason = self._watch(link)
            if self._stop.is_set():
                return
            if reason == stalled_for(self._how.stall) and link.frames:
                self._tell("stalled", seconds=self._how.stall)
            if not self._again(link, reason):
                if not link.frames or reason != ENDED:
                    self.error = VideoError(source.name, reason)
                self._tell("ended", reason=reason)
                return
            if link.frames and time.monotonic() - begun > _SETTLED:
                tries = 0
            wait = min(self._how.wait * 2**tries, _LONGEST_WAIT)
            tries += 1
            self._tell("reconnecting", reason=reason, wait=wait, attempt=tries)
            self._stop.wait(wait)

    def _watch(self, link: Link) -> str:
        """Wait for the end of a link, or until it is of no use; why it is."""
        stall, told = self._how.stall, False
        while not link.over.wait(_LOOK):
            if self._stop.is_set() or self._source.kind == "file":
                continue
            quiet = time.monotonic() - link.newest
            if self._source.kind == "pipe":  # it cannot be opened again: wait on
                if told != (quiet > stall):
                    told = not told
                    self._tell(*(("stalled",) if told else ("resumed",)))
                continue
            # opening may take the limit twice: to connect, and to find what is sent
            if quiet > _GRACE + (stall if link.frames else 2 * stall):
                link.cancelled.set()
                return stalled_for(stall)
        return link.reason

    def _again(self, link: Link, reason: str) -> bool:
        """Whether to open the source once more."""
        if not self._source.again or (link.recorded and reason == ENDED):
            return False
        return self._worked if self._how.reconnect is None else self._how.reconnect

    def _taken(self, link: Link, frame: "VideoFrame", stamp: float | None, arrived: float) -> None:
        with self._turn:
            if link is not self._link or link.cancelled.is_set():
                return
            if not link.frames:
                self._clock.opened()
                self.reconnects += self._worked
                self._tell("connected", **link.facts)
                self._worked = True
            moment = self._clock(stamp, arrived)
            if moment is None:
                return
            if link.recorded:
                arrived = self._paced(link, moment)
            self._give(frame, moment, arrived)

    def _paced(self, link: Link, moment: Moment) -> float:
        """Wait until a recording's frame would have been filmed; when that is."""
        now = time.monotonic()
        if moment.anew:
            self._begin = now - moment.seconds
        link.cancelled.wait(max(0.0, self._begin + moment.seconds - now))
        return time.monotonic()
