"""One connection to a source, read on a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frameflow.errors import VideoError
from frameflow.inference.live.pipe import Pipe
from frameflow.inference.live.source import Source, is_timeless, open_source, why

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

ENDED = "the stream ended"

_KEPT = 256  # packets whose arrival is remembered until their frame comes out


class Link(threading.Thread):
    """A connection, from its opening to its end.

    Args:
        source: what to open.
        pipe: what to read where the source is a pipe.
        stall: seconds that opening and each reading may take.
        take: is given (this link, a frame, its time stamp or None, when it arrived).

    Attributes:
        over: it has ended, and `reason` says why.
        cancelled: no frame of it is wanted any more.
        frames: how many came.
        newest: when the newest one came, by the monotonic clock; at first, when it began.
        recorded: it can be read faster than it was filmed.
        facts: width, height, rate and codec, once the first frame has come.
    """

    def __init__(
        self,
        source: Source,
        pipe: Pipe | None,
        stall: float,
        take: "Callable[[Link, VideoFrame, float | None, float], None]",
    ) -> None:
        super().__init__(name="live-link", daemon=True)
        self._source, self._pipe, self._stall, self._take = source, pipe, stall, take
        self.over, self.cancelled = threading.Event(), threading.Event()
        self.frames = 0
        self.newest = time.monotonic()
        self.reason = ENDED
        self.recorded = source.kind == "file"
        self.facts: dict[str, Any] = {}

    def run(self) -> None:
        try:
            limit = None if self._pipe is not None else self._stall
            with open_source(self._source, self._pipe, timeout=limit) as (container, stream):
                self._read(container, stream)
            if not self.frames:
                self.reason = "ended before a frame could be decoded"
        except VideoError as error:
            self.reason = error.reason
        except Exception as error:
            log.debug("Reading %s failed.", self._source.name, exc_info=True)
            self.reason = f"cannot be read ({type(error).__name__}: {error})"
        finally:
            self.over.set()

    def _read(self, container: "InputContainer", stream: "VideoStream") -> None:
        import av

        network = self._source.kind == "network"
        self.recorded |= network and bool(container.duration)
        timed = not (network and is_timeless(container))
        came: dict[int, float] = {}
        try:
            # all of its streams, so that one without pictures does not hold the thread
            for packet in container.demux():
                now = time.monotonic()
                if self.cancelled.is_set():
                    return
                if packet.stream.index != stream.index:
                    continue
                if packet.pts is not None:
                    came[packet.pts] = now
                    if len(came) > _KEPT:
                        del came[next(iter(came))]
                for frame in _decoded(stream, packet):
                    arrived = now if frame.pts is None else came.pop(frame.pts, now)
                    self._hand_over(stream, frame, arrived, timed=timed)
        except av.error.EOFError:
            return
        except (av.FFmpegError, OSError) as error:
            raise VideoError(self._source.name, why(error, self._source, self._stall)) from None

    def _hand_over(
        self, stream: "VideoStream", frame: "VideoFrame", arrived: float, *, timed: bool
    ) -> None:
        if not self.frames:
            rate = (stream.average_rate or stream.guessed_rate) if timed else None
            self.facts = {
                "width": frame.width,
                "height": frame.height,
                "rate": round(float(rate), 3) if rate else None,
                "codec": stream.codec_context.codec.canonical_name,
            }
        stamp = None
        if timed and frame.pts is not None and stream.time_base:  # a last frame has no own unit
            stamp = float(frame.pts * stream.time_base)
        self._take(self, frame, stamp, arrived)
        self.frames += 1
        self.newest = time.monotonic()


def _decoded(stream: "VideoStream", packet: "Packet[Any]") -> "list[VideoFrame]":
    """The frames that a packet yields; none where it is damaged."""
    import av

    try:
        return stream.codec_context.decode(packet if packet.size else None)
    except (av.FFmpegError, ValueError) as error:
        log.debug("A packet cannot be decoded: %s", error)
        return []
