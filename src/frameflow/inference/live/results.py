"""What watching a stream gives: predictions of windows, and what happens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frameflow.inference.prediction import Prediction

_DIGITS = 3  # of seconds: milliseconds


@dataclass(frozen=True, slots=True)
class LivePrediction:
    """What a recognizer says of one window of a stream.

    Attributes:
        time: when the window's last frame came, UTC.
        start: of the window, seconds since the stream's first frame.
        end: likewise.
        prediction: the answer; with ``rolling`` that of the last windows together.
        latency: seconds from the arrival of the window's last frame to the answer.
        behind: seconds by which frames now arrive later than they did at best: where it grows, the
            network or this machine's decoding does not keep up with the stream.
        dropped_windows: how many were left out so far, because newer ones were there.
        dropped_frames: how many moments of the grid were never looked at so far.
    """

    time: datetime
    start: float
    end: float
    prediction: "Prediction"
    latency: float
    behind: float = 0.0
    dropped_windows: int = 0
    dropped_frames: int = 0

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for one line of JSON; see `Prediction.to_dict` for the answer's keys."""
        answer = self.prediction.to_dict()
        answer["probability"] = round(answer["probability"], 6)
        for one in answer["topk"]:
            one["probability"] = round(one["probability"], 6)
        return {
            "time": in_utc(self.time),
            "start": round(self.start, _DIGITS),
            "end": round(self.end, _DIGITS),
            **{key: answer[key] for key in answer if key not in ("video", "views")},
            "latency": round(self.latency, _DIGITS),
            "behind": round(self.behind, _DIGITS),
            "dropped_windows": self.dropped_windows,
            "dropped_frames": self.dropped_frames,
        }


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """Something that happens to a stream, or an action that begins or ends.

    Attributes:
        event: ``connected``, ``stalled``, ``resumed`` (a pipe only), ``reconnecting``, ``jump``
            (time stamps that do not go on), ``ended``; and of `Happenings` ``begin`` and ``end``.
        time: UTC.
        seconds: since the stream's first frame.
        details: what there is to say of it, for JSON.
    """

    event: str
    time: datetime
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary for one line of JSON."""
        return {
            "event": self.event,
            "time": in_utc(self.time),
            "seconds": round(self.seconds, _DIGITS),
            **self.details,
        }


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


def in_utc(moment: datetime) -> str:
    """``2026-05-01T12:00:00.123Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
