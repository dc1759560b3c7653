"""Frames of video files, decoded by PyAV (FFmpeg)."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frameflow.errors import VideoError
from frameflow.video._open import nothing_decodable, open_video, truncation
from frameflow.video._packets import Packets, read_packets, scan
from frameflow.video._scale import Pixels, Scaler, orientation
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


class _Incomplete(Exception):
    """A frame that was asked for did not come out of the shortest way to it."""


def _decoded(stream: "VideoStream", packet: "Packet[VideoStream] | None") -> "list[VideoFrame]":
    """The frames a packet yields; none where it is damaged."""
    import av

    try:
        return stream.codec_context.decode(packet)
    except (av.FFmpegError, ValueError) as error:
        log.debug("a packet cannot be decoded: %s", error)
        return []


def _all_frames(container: "InputContainer", stream: "VideoStream") -> "Iterator[VideoFrame]":
    """Every frame that decodes, from the start of a container that was just opened."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.size:
                yield from _decoded(stream, packet)
    except av.FFmpegError as error:
        log.debug("%s: reading stopped: %s", container.name, error)
    yield from _decoded(stream, None)


def _wanted_frames(
    container: "InputContainer",
    stream: "VideoStream",
    packets: Packets,
    wanted: NDArray[np.int64],
) -> "Iterator[tuple[int, VideoFrame]]":
    """(index, frame) of the wanted frames in ascending order, decoding as little as is exact.

    Raises:
        _Incomplete: one of them does not come out, or only with guessed content.
    """
    index_of = dict(zip(packets.stamps[packets.order[wanted]].tolist(), wanted.tolist()))
    spans = packets.ranges(wanted)
    context = stream.codec_context
    skips = context.name in _SKIPS_UNREFERENCED and context.thread_count == 1

    def pick(frames: "list[VideoFrame]") -> "Iterator[tuple[int, VideoFrame]]":
        for frame in frames:
            index = index_of.pop(frame.pts, None) if frame.pts is not None else None
            if index is not None:
                if frame.is_corrupt:
                    raise _Incomplete
                yield index, frame

    started = False
    for begins, packet in read_packets(container, stream, packets, spans):
        if begins and started:  # empty the decoder before the jump
            yield from pick(_decoded(stream, None))
            context.flush_buffers()
        started = True
        if skips:
            context.skip_frame = "DEFAULT" if packet.pts in index_of else "NONREF"
        yield from pick(_decoded(stream, packet))
    yield from pick(_decoded(stream, None))
    if index_of:
        raise _Incomplete


def _from_start(path: Path, packets: Packets, threads: int) -> "Iterator[tuple[int, VideoFrame]]":
    """(index, frame) of every frame; where one is missing the one before it stands in."""
    place = dict(zip(packets.stamps[packets.order].tolist(), range(packets.frames)))
    with open_video(path) as (container, stream):
        _set_threads(stream, threads)
        following, last = 0, None
        for frame in _all_frames(container, stream):
            index = following
            if packets.placed:
                index = place.get(frame.pts, -1) if frame.pts is not None else -1
                if index < following:
                    continue
            for missing in range(following, index):
                yield missing, last or frame
            yield index, frame
            following, last = index + 1, frame
        if last is None:
            raise nothing_decodable(path)
        if packets.placed or packets.countable:
            if following < packets.frames:
                log.debug("%s: %d frames are missing at the end", path, packets.frames - following)
            for missing in range(following, packets.frames):
                yield missing, last


def _set_threads(stream: "VideoStream", threads: int) -> None:
    stream.thread_count = threads
    if threads > 1:
        stream.thread_type = "AUTO"


def stream_file(
    path: Path, wanted: NDArray[np.int64] | None, scaler: Scaler, threads: int
) -> Iterator[tuple[int, Pixels]]:
    """(index, frame) in ascending order of the wanted frames, of all where None.

    The arrays may be views of FFmpeg's buffers: copy what is kept.

    Raises:
        VideoError: nothing can be decoded.
    """
    with open_video(path) as (container, stream):
        _set_threads(stream, threads)
        packets = scan(container, stream)
        if not len(packets.stamps):
            raise nothing_decodable(path)
        done = 0
        if wanted is not None and packets.placed and wanted[-1] < packets.frames:
            try:
                for index, frame in _wanted_frames(container, stream, packets, wanted):
                    pixels = scaler(frame)
                    yield index, pixels
                    done += 1
                return
            except _Incomplete:
                log.debug("%s: decoded again from the start", path)
    rest = None if wanted is None else set(wanted[done:].tolist())
    for index, frame in _from_start(path, packets, threads):
        if rest is None or index in rest:
            yield index, scaler(frame)
            if rest is not None:
                rest.discard(index)
                if not rest:
                    return


def file_times(path: Path) -> NDArray[np.float64]:
    """(frames,) seconds at which each frame is shown, the first at 0.

    Raises:
        VideoError: it cannot be read.
    """
    with open_video(path) as (container, stream):
        packets = scan(container, stream)
        if packets.placed:
            return packets.seconds()
    info = probe_file(path)
    return np.arange(info.frames) / info.rate


def probe_file(path: Path, *, count: bool | None = None) -> VideoInfo:
    """What a video file is; see `frameflow.video.probe.probe`."""
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        packets = scan(container, stream)
        first = _first_frame(path)
        has_audio = bool(container.streams.audio)
        frames, counted = packets.frames, False
        if count or (count is None and not packets.countable):
            frames, counted = _count(path), True
        if not frames:
            raise nothing_decodable(path)
        rate, variable, duration = _timing(stream, packets, frames)
        quarters, mirrored = orientation(first)
        turned = quarters % 2 == 1
        return VideoInfo(
            path=path,
            kind="file",
            frames=frames,
            duration=duration,
            rate=rate,
            variable_rate=variable,
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rotation=(-90 * quarters) % 360,
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            has_audio=has_audio,
            counted=counted,
            truncated=truncation(path) is not None,
        )


def _first_frame(path: Path) -> "VideoFrame":
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        for frame in _all_frames(container, stream):
            return frame
    raise nothing_decodable(path)


def _count(path: Path) -> int:
    with open_video(path) as (container, stream):
        return sum(1 for _ in _all_frames(container, stream))


def _timing(stream: "VideoStream", packets: Packets, frames: int) -> tuple[float, bool, float]:
    """(frames per second, whether it varies, seconds)."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if not packets.placed or frames < 2 or frames != packets.frames:
        rate = rate or 25.0
        return rate, False, frames / rate
    seconds = packets.seconds()
    gaps = np.diff(seconds)
    usual = float(np.median(gaps))
    variable = bool(np.any(np.abs(gaps - usual) > max(1.5 * packets.time_base, 0.05 * usual)))
    mean = (frames - 1) / float(seconds[-1])
    if variable or not rate or abs(rate / mean - 1) > 0.01:
        rate = mean
    last = packets.last_duration * packets.time_base or 1 / rate
    return rate, variable, float(seconds[-1]) + last
