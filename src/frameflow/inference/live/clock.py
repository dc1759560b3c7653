"""Seconds that only grow, from a stream's time stamps that may jump, stand still or be missing."""

from dataclasses import dataclass

_BACK = 0.5  # seconds: frames that come late or twice; further back the stream has begun anew
_FRAME = 0.04  # seconds from a frame to the next where nothing else is known


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame is shown.

    Attributes:
        seconds: since the first frame of all.
        anew: what came before is not to be joined with it.
    """

    seconds: float
    anew: bool


class StreamClock:
    """The time of each frame of a stream.

    Within one piece of a stream its own time stamps count. A piece ends where they go back by
    half a second or more, or ahead by more than ``hole``, or where the stream was opened again;
    the next one begins as much later as it came later.

    Args:
        hole: seconds without a frame that do not end a piece.

    Example:
        >>> clock = StreamClock(hole=2.0)
        >>> clock(90_000.0, arrived=5.0)
        Moment(seconds=0.0, anew=True)
        >>> clock(90_000.5, arrived=5.4)
        Moment(seconds=0.5, anew=False)
        >>> clock(7.0, arrived=6.0)
        Moment(seconds=1.1, anew=True)
    """

    def __init__(self, *, hole: float) -> None:
        self.hole = hole
        self._offset = 0.0  # from time stamps to seconds
        self._seconds = 0.0
        self._arrived = 0.0
        self._begun = False
        self._opened = True

    def opened(self) -> None:
        """The stream is opened again: its next frame begins a piece."""
        self._opened = True

    def __call__(self, stamp: float | None, arrived: float) -> Moment | None:
        """The moment of the next frame.

        Args:
            stamp: the stream's own time, seconds; None where it has none.
            arrived: when the frame came, by a clock of this machine, seconds.

        Returns:
            None for a frame that is not later than the one before it.
        """
        since = arrived - self._arrived
        if not self._begun:
            found = Moment(0.0, anew=True)
        elif stamp is None:
            anew = self._opened or since > self.hole
            found = Moment(self._seconds + max(since, 1e-3), anew=anew)
        else:
            seconds = stamp + self._offset
            ahead = seconds - self._seconds
            if self._opened or ahead <= -_BACK or ahead > self.hole:
                found = Moment(self._seconds + max(since, _FRAME), anew=True)
            elif ahead <= 0:
                return None
            else:
                found = Moment(seconds, anew=False)
        if found.anew and stamp is not None:
            self._offset = found.seconds - stamp
        self._begun, self._opened = True, False
        self._seconds, self._arrived = found.seconds, arrived
        return found
