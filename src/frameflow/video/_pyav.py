"""Frames of video files, decoded by PyAV (FFmpeg)."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frameflow.errors import listing
from frameflow.video._open import check_range, nothing_decodable, open_video
from frameflow.video._packets import Packets, read_packets, scan
from frameflow.video._scale import Pixels, Scaler, orientation
from frameflow.video._truncation import truncation
from frameflow.video.probe import VideoInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

# Codecs in which a packet says by itself that no other frame refers to it, and whose decoder
# then leaves it out when asked to. (HEVC says it for one temporal layer only.)
_SKIPS_UNREFERENCED = frozenset({"h264", "mpeg4"})

WORTH_THREADS = 16_000_000  # pixels of all frames: 200 of 320 x 240
MOST_THREADS = 4

FALLBACK_RATE = 25.0  # frames a second, where a file says nothing of it


class _Incomplete(Exception):
    """A frame that was asked for did not come out of the shortest way to it."""


def stream_file(
    path: Path, wanted: NDArray[np.int64] | None, scaler: Scaler, threads: int | None
) -> Iterator[tuple[int, Pixels]]:
    """(index, frame) in ascending order of the wanted frames, of all where None.

    The arrays may be views of FFmpeg's buffers: copy what is kept.

    Raises:
        UsageError: an index is not in the video (where that is known beforehand).
        VideoError: nothing can be decoded.
    """
    with open_video(path) as (container, stream):
        packets = scan(container, stream)
        if not packets.frames:
            raise nothing_decodable(path)
        threads = threads or _fitting_threads(stream, packets)
        _set_threads(stream, threads)
        if wanted is not None and packets.countable:
            check_range(path, wanted, packets.frames)
        if wanted is not None and packets.placed:
            done = set()
            try:
                for index, frame in _wanted_frames(container, stream, packets, wanted.tolist()):
                    done.add(index)
                    yield index, scaler(frame)
                return
            except _Incomplete:
                log.debug("%s: damaged, or an unusual order of frames: decoded in full", path)
                wanted = np.array([index for index in wanted.tolist() if index not in done])
        elif packets.kept is not None:
            yield from _picked(path, _in_full(stream, packets.kept), packets, wanted, scaler)
            return
    with open_video(path) as (container, stream):
        _set_threads(stream, threads)
        frames = _in_full(stream, container.demux(stream))
        yield from _picked(path, frames, packets, wanted, scaler)


def file_times(path: Path) -> NDArray[np.float64]:
    """(frames,) seconds at which each frame is shown, the first at 0.

    Raises:
        VideoError: it cannot be read.
    """
    with open_video(path) as (container, stream):
        packets = scan(container, stream)
        if packets.placed:
            return packets.seconds()
        rate = _stated_rate(stream)
    if packets.countable:
        return np.arange(packets.frames) / rate
    return _decoded_times(path)


def probe_file(path: Path, *, count: bool | None = None) -> VideoInfo:
    """What a video file is; see `frameflow.video.probe.probe`.

    Raises:
        VideoError: it cannot be read, or nothing in it can be decoded.
    """
    with open_video(path) as (container, stream):
        packets = scan(container, stream, keep=count is not False)  # it may be hours
        first = _first_frame(path, stream, packets)
        counted = bool(count) or (count is None and not packets.countable)
        stated = _stated_rate(stream)
        if counted:
            seconds = _decoded_times(path)
        elif packets.placed:
            seconds = packets.seconds()
        else:
            seconds = np.arange(packets.frames) / stated
        rate, variable, duration = _timing(seconds, stated, packets)
        turns, _ = orientation(first)
        width, height = (first.width, first.height)[:: -1 if turns % 2 else 1]
        return VideoInfo(
            path=path,
            kind="file",
            frames=len(seconds),
            duration=duration,
            rate=rate,
            variable_rate=variable,
            width=width,
            height=height,
            rotation=-90 * turns % 360,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=first.format.name,
            has_audio=bool(container.streams.audio),
            counted=counted,
            truncated=truncation(path) is not None,
        )


def _fitting_threads(stream: "VideoStream", packets: Packets) -> int:
    """How many threads read one video soonest, without crowding those that read others.

    A short small clip costs up to half as much again with two, and is no sooner read. And only
    the main thread of the main process takes more than one: workers are many already.
    """
    pixels = stream.width * stream.height * packets.frames
    alone = threading.current_thread() is threading.main_thread()
    if pixels < WORTH_THREADS or not alone or multiprocessing.parent_process() is not None:
        return 1
    return min(os.cpu_count() or 1, MOST_THREADS)


def _set_threads(stream: "VideoStream", threads: int) -> None:
    stream.thread_count = threads
    stream.thread_type = "AUTO" if threads > 1 else "NONE"


def _decoded(stream: "VideoStream", packet: "Packet[VideoStream] | None") -> "list[VideoFrame]":
    """The frames a packet yields; none where it is damaged.

    Raises:
        MemoryError: the frame is whole, but there is no memory for it, or for the decoder.
    """
    import av

    try:
        return stream.codec_context.decode(packet)
    except MemoryError:
        raise
    except av.error.BlockingIOError as error:  # the system has no more for a decoder that is opened
        raise MemoryError(str(error)) from None
    except (av.FFmpegError, ValueError) as error:
        log.debug("a packet cannot be decoded: %s", error)
        return []


def _in_full(
    stream: "VideoStream", packets: "Iterable[Packet[VideoStream]]"
) -> "Iterator[VideoFrame]":
    """Every frame that decodes, of all packets of a stream."""
    import av

    try:
        for packet in packets:
            if packet.size:
                yield from _decoded(stream, packet)
    except MemoryError:
        raise
    except av.FFmpegError as error:
        log.debug("%s: reading stopped: %s", stream.container.name, error)
    yield from _decoded(stream, None)


def _wanted_frames(
    container: "InputContainer", stream: "VideoStream", packets: Packets, wanted: list[int]
) -> "Iterator[tuple[int, VideoFrame]]":
    """(index, frame) of the wanted frames in ascending order, decoding as little as is exact.

    Raises:
        _Incomplete: one of them does not come out, or only with guessed content.
    """
    places = packets.order[wanted]
    index_of = dict(zip(packets.stamps[places].tolist(), wanted))
    context = stream.codec_context
    skips = context.name in _SKIPS_UNREFERENCED

    def pick(frames: "list[VideoFrame]") -> "Iterator[tuple[int, VideoFrame]]":
        for frame in frames:
            index = None if frame.pts is None else index_of.pop(frame.pts, None)
            if index is not None:
                if frame.is_corrupt:
                    raise _Incomplete
                yield index, frame

    started = False
    for begins, packet in read_packets(container, stream, packets, packets.spans(places)):
        if begins and started:  # the decoder is emptied before the jump
            yield from pick(_decoded(stream, None))
            context.flush_buffers()
        started = True
        if skips:
            context.skip_frame = "DEFAULT" if packet.pts in index_of else "NONREF"
        yield from pick(_decoded(stream, packet))
    yield from pick(_decoded(stream, None))
    if index_of:
        raise _Incomplete


def _picked(
    path: Path,
    frames: "Iterator[VideoFrame]",
    packets: Packets,
    wanted: NDArray[np.int64] | None,
    scaler: Scaler,
) -> Iterator[tuple[int, Pixels]]:
    """(index, pixels) of the wanted ones among all frames of a video, of all where None."""
    left = None if wanted is None else set(wanted.tolist())
    for index, frame in _numbered(path, frames, packets):
        if left is None:
            yield index, scaler(frame)
        elif index in left:
            left.remove(index)
            yield index, scaler(frame)
            if not left:
                return


def _numbered(
    path: Path, frames: "Iterator[VideoFrame]", packets: Packets
) -> "Iterator[tuple[int, VideoFrame]]":
    """(index, frame) of all frames; where one is missing, the one before it stands in."""
    place = {}
    if packets.placed:
        place = {stamp: i for i, stamp in enumerate(packets.stamps[packets.order].tolist())}
    following, last = 0, None
    missing: list[int] = []
    try:
        for frame in frames:
            index = following
            if packets.placed:
                index = -1 if frame.pts is None else place.get(frame.pts, -1)
                if index < following:
                    continue
            for lost in range(following, index):
                missing.append(lost)
                yield lost, last or frame
            yield index, frame
            following, last = index + 1, frame
        if last is None:
            raise nothing_decodable(path)
        if packets.countable:
            for lost in range(following, packets.frames):
                missing.append(lost)
                yield lost, last
    finally:  # the reader may have all it wants before the end
        if missing:
            log.warning(
                "%s: %d of %d frames do not decode (%s); those before stand in.",
                path,
                len(missing),
                packets.frames,
                listing(missing),
            )


def _first_frame(path: Path, stream: "VideoStream", packets: Packets) -> "VideoFrame":
    """The first frame that decodes, of a file that was scanned."""
    if packets.kept:
        # The decoder is told that nothing follows, so it need not wait for what may come earlier.
        for frame in (*_decoded(stream, packets.kept[0]), *_decoded(stream, None)):
            return frame
        stream.codec_context.flush_buffers()
        for frame in _in_full(stream, packets.kept):
            return frame
    elif packets.frames:
        with open_video(path) as (container, again):
            for frame in _in_full(again, container.demux(again)):
                return frame
    raise nothing_decodable(path)


def _decoded_times(path: Path) -> NDArray[np.float64]:
    """(frames,) seconds of each frame that decodes; from the rate where they tell no order."""
    with open_video(path) as (container, stream):
        stamps = [frame.pts for frame in _in_full(stream, container.demux(stream))]
        if not stamps:
            raise nothing_decodable(path)
        known = np.array([stamp for stamp in stamps if stamp is not None], dtype=np.float64)
        if len(known) == len(stamps) and np.all(np.diff(known) > 0):
            return (known - known[0]) * float(stream.time_base or 0)
        return np.arange(len(stamps)) / _stated_rate(stream)


def _stated_rate(stream: "VideoStream") -> float:
    return float(stream.average_rate or stream.guessed_rate or FALLBACK_RATE)


def _timing(
    seconds: NDArray[np.float64], stated: float, packets: Packets
) -> tuple[float, bool, float]:
    """(frames per second, whether it varies, seconds in all) of frames shown at ``seconds``."""
    rate, variable = stated, False
    if len(seconds) > 1:
        gaps = np.diff(seconds)
        usual = float(np.median(gaps))
        # Stamps are rounded to the container's unit: milliseconds in Matroska.
        variable = bool(np.any(np.abs(gaps - usual) > max(1.5 * packets.time_base, 0.05 * usual)))
        mean = 1 / float(np.mean(gaps))
        if variable or abs(stated / mean - 1) > 0.01:
            rate = mean
    last = packets.last_duration * packets.time_base if packets.placed else 0.0
    return rate, variable, float(seconds[-1]) + (last or 1 / rate)
