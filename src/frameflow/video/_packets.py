"""The packets of a video, and which of them a frame needs to be decoded.

A frame is found by its time stamp, never by where a seek happened to land: the packets' time
stamps, sorted, are the time stamps of the frames in the order in which they are shown, so frame
``i`` is the one that carries the ``i``-th. Where the stamps cannot be relied on (an AVI file with
B-frames has none of its own), frames are counted from the start instead.
"""

import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frameflow.video._guard import current_guard

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

KEPT_BYTES = 32 << 20  # packets of smaller videos stay in memory and are read once
_PACKET_BYTES = 800  # that a packet in memory takes beside its content
READ_ON = 64  # packets; a gap shorter than this is read through, not seeked over

# Codecs in which every packet yields one frame (others hide frames, or split them into fields).
_ONE_FRAME_A_PACKET = frozenset(
    """
    apng av1 cfhd cinepak dnxhd dvvideo ffv1 ffvhuff flv gif h263 h264 hap hevc huffyuv jpeg2000
    libdav1d mjpeg mpeg4 msmpeg4 msmpeg4v1 msmpeg4v2 png prores qtrle rawvideo svq1 utvideo vp9
    webp wmv1 wmv2
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, eq=False)
class Packets:
    """The packets of a video stream in the order in which they are decoded.

    Attributes:
        stamps: (n,) presentation time stamps in units of ``time_base``.
        keys: (n,) bool, whether decoding can begin here.
        shown: (n,) bool, False for frames that an edit list hides.
        time_base: seconds per unit.
        last_duration: of the last packet, in units; 0 where unknown.
        countable: whether every shown packet yields one frame.
        placed: whether the time stamps tell which frame is which.
        kept: the packets themselves, where they are few.
    """

    stamps: NDArray[np.int64]
    keys: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    time_base: float
    last_duration: int
    countable: bool
    placed: bool
    kept: "list[Packet[VideoStream]] | None"

    @property
    def frames(self) -> int:
        return int(self.shown.sum())

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(frames,) where each frame's packet stands, frames as they are shown."""
        places = np.flatnonzero(self.shown)
        return places[np.argsort(self.stamps[places], kind="stable")]

    def seconds(self) -> NDArray[np.float64]:
        """(frames,) when each frame is shown, the first at 0; only where ``placed``."""
        stamps = self.stamps[self.order]
        return (stamps - stamps[:1]).astype(np.float64) * self.time_base

    def spans(self, places: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The runs of packets (first, last) that decode the frames whose packets are given.

        Only where ``placed``. Each begins at a keyframe that is shown no later than they are::

            packets   K . . . K . . . . K . . w . w .      (K keyframe, w wanted)
            decoded                     =========
        """
        keys = np.flatnonzero(self.keys)
        spans: list[tuple[int, int]] = []
        for place in np.sort(places).tolist():
            key = int(np.searchsorted(keys, place, side="right")) - 1
            while key > 0 and self.stamps[keys[key]] > self.stamps[place]:
                key -= 1  # shown before that keyframe, so it may need what is before it
            first = int(keys[key])
            while spans and first <= spans[-1][1] + 1:
                first = min(first, spans.pop()[0])
            spans.append((first, place))
        return spans


def scan(container: "InputContainer", stream: "VideoStream", *, keep: bool = True) -> Packets:
    """Read the packets of a file that was just opened, decoding nothing.

    With ``keep`` those of a small file stay in memory. All else takes ten bytes a packet.

    Raises:
        OverLimit: there are more of them than this process may read.
    """
    import av

    stamps, flags, unknown = array("q"), bytearray(), False
    kept: list[Packet[VideoStream]] | None = [] if keep else None
    size = last_duration = 0
    guard, unit, begin = current_guard(), float(stream.time_base or 0), None
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            stamps.append(packet.pts or 0)
            unknown |= packet.pts is None
            flags += bytes((packet.is_keyframe, not packet.is_discard))
            last_duration = packet.duration or 0
            if guard:
                begin = packet.pts if begin is None else begin
                seconds = 0.0 if begin is None else ((packet.pts or begin) - begin) * unit
                guard.check_length(container.name, len(stamps), seconds)
            size += packet.size + _PACKET_BYTES
            if kept is not None:
                kept.append(packet)
                kept = kept if size <= KEPT_BYTES else None
    except av.FFmpegError as error:  # the file ends early, or is damaged from here on
        log.debug("%s: reading stopped after %d packets: %s", container.name, len(stamps), error)
    table = np.frombuffer(flags, dtype=bool).reshape(-1, 2)
    known = np.frombuffer(stamps, dtype=np.int64)
    placed = not unknown and _placed(container, stream, known, table)
    return Packets(
        stamps=known,
        keys=table[:, 0],
        shown=table[:, 1],
        time_base=unit,
        last_duration=last_duration,
        countable=bool(
            stream.codec_context.name in _ONE_FRAME_A_PACKET
            and len(table)
            and table[0, 0]  # what comes before the first keyframe does not decode
        ),
        placed=placed,
        kept=kept,
    )


def _placed(
    container: "InputContainer",
    stream: "VideoStream",
    stamps: NDArray[np.int64],
    flags: NDArray[np.bool_],
) -> bool:
    """Whether the time stamps tell which frame is which."""
    if stream.codec_context.name not in _ONE_FRAME_A_PACKET or not len(stamps):
        return False
    if len(np.unique(stamps)) < len(stamps) or not flags[0, 0]:
        return False
    # AVI stores the order of decoding only, so B-frames get each other's times.
    return not ("avi" in container.format.name.split(",") and stream.codec_context.has_b_frames)


def read_packets(
    container: "InputContainer",
    stream: "VideoStream",
    packets: Packets,
    spans: list[tuple[int, int]],
) -> "Iterator[tuple[bool, Packet[VideoStream]]]":
    """The packets of the spans, each with whether it begins a span after a gap.

    The container must have been scanned; where its packets were kept nothing is read again. May
    end early where the file does not let itself be seeked.
    """
    if packets.kept is not None:
        for first, last in spans:
            for place in range(first, last + 1):
                yield place == first, packets.kept[place]
        return
    by_stamp = np.argsort(packets.stamps)
    known = packets.stamps[by_stamp]
    source: Iterator[Packet[VideoStream]] = iter(())
    at = -READ_ON - 2
    for first, last in spans:
        if not 0 <= first - at <= READ_ON:
            container.seek(int(packets.stamps[first]), stream=stream)
            source = container.demux(stream)
        begun = False
        for packet in source:
            at = -1
            if packet.size and packet.pts is not None:
                near = min(int(np.searchsorted(known, packet.pts)), len(known) - 1)
                at = int(by_stamp[near]) if known[near] == packet.pts else -1
            if at < first:
                continue
            begins, begun = not begun, True
            if begins and at > first:
                return  # a seek that misses the keyframe: what is missing will be noticed
            yield begins, packet
            if at >= last:
                break
