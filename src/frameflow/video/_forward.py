"""The frames of a video from beginning to end, each once, whatever is damaged in between.

`frameflow.video.decode.stream_frames` gives the frames of a clip exactly, and goes back where the
shortest way to them fails. This never goes back: a frame that does not decode is shown as the one
before it, and the video ends where its frames do. So it suits videos of any length.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frameflow.video._open import nothing_decodable, open_video
from frameflow.video._packets import Packets, scan
from frameflow.video._pyav import (
    _SKIPS_UNREFERENCED,
    MOST_THREADS,
    _decoded,
    _in_full,
    _set_threads,
)
from frameflow.video._scale import Scaler
from frameflow.video.probe import VideoInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

WORTH_THREADS = 1280 * 720  # pixels of a frame: below, two threads cost a third more

# From the (frames,) seconds at which frames are shown to the sorted indices that are wanted.
Choose = Callable[[NDArray[np.float64]], NDArray[np.int64]]


def forward_frames(
    info: VideoInfo, choose: Choose, *, threads: int | None = None
) -> "Iterator[tuple[int, float, VideoFrame]]":
    """Decode a video once, in order.

    Args:
        info: what `probe` said of it; frames need not have been counted.
        choose: says which frames are wanted. It is not asked where only decoding tells how many
            there are: every frame comes then.
        threads: of the decoder. None: one, which costs the least, and more for large frames where
            this process has the machine for itself.

    Yields:
        (index, seconds, frame), both rising.

    Raises:
        VideoError: no frame can be decoded.
    """
    if info.kind == "frames":
        yield from _images(info, choose)
        return
    with open_video(info.path) as (container, stream):
        packets = scan(container, stream, keep=False)
        if not packets.frames:
            raise nothing_decodable(info.path)
    with open_video(info.path) as (container, stream):
        _set_threads(stream, threads or _fitting_threads(info))
        if packets.placed:
            times = packets.seconds()
            if not info.variable_rate:  # stamps are rounded to the container's unit
                times = np.arange(packets.frames) / info.rate
            wanted = choose(times)
            places = packets.order[wanted]
            frames = _spans(container, stream, packets, places)
            found = _matched(info.path, frames, wanted, packets.stamps[places], times)
        else:
            found = _counted(info, _in_full(stream, container.demux(stream)), packets, stream)
        yield from found


def _fitting_threads(info: VideoInfo) -> int:
    large = info.width * info.height >= WORTH_THREADS
    alone = multiprocessing.parent_process() is None  # workers are many already
    return min(os.cpu_count() or 1, MOST_THREADS) if large and alone else 1


def _images(info: VideoInfo, choose: Choose) -> "Iterator[tuple[int, float, VideoFrame]]":
    from av import VideoFrame

    from frameflow.video._images import folder_times, frame_files, stream_images

    times = folder_times(frame_files(info.path))
    for index, pixels in stream_images(info.path, choose(times), Scaler()):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        yield index, float(times[index]), frame


def _spans(
    container: "InputContainer", stream: "VideoStream", packets: Packets, places: NDArray[np.int64]
) -> "Iterator[VideoFrame]":
    """The frames of some packets, and of those that they need, and maybe others."""
    import av

    count = len(packets.stamps)
    wanted, needed = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    wanted[places] = True
    for first, last in packets.spans(places):
        needed[first : last + 1] = True
    end = int(np.flatnonzero(needed)[-1])
    shown, read = wanted.tobytes(), needed.tobytes()  # quicker to ask one by one
    context = stream.codec_context
    skips = context.name in _SKIPS_UNREFERENCED
    place, jumped = -1, False
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            place += 1
            if place > end:
                break
            if not read[place]:
                jumped = place > 0 and (jumped or bool(read[place - 1]))
                continue
            if jumped:  # the decoder is emptied before the jump
                yield from _decoded(stream, None)
                context.flush_buffers()
                jumped = False
            if skips:
                context.skip_frame = "DEFAULT" if shown[place] else "NONREF"
            yield from _decoded(stream, packet)
    except av.FFmpegError as error:
        log.debug("%s: reading stopped: %s", container.name, error)
    yield from _decoded(stream, None)


def _matched(
    path: Path,
    frames: "Iterator[VideoFrame]",
    wanted: NDArray[np.int64],
    stamps: NDArray[np.int64],
    times: NDArray[np.float64],
) -> "Iterator[tuple[int, float, VideoFrame]]":
    """The wanted frames, known by their time stamps; the one before stands in for a missing one."""
    last: VideoFrame | None = None
    at = missing = damaged = 0
    indices, known = wanted.data, stamps.data  # whole numbers, and no list of them
    try:
        for frame in frames:
            if frame.pts is None:
                continue
            while at < len(known) and known[at] < frame.pts:
                missing += 1
                yield indices[at], float(times[indices[at]]), last or frame
                at += 1
            if at < len(known) and known[at] == frame.pts:
                damaged += frame.is_corrupt
                yield indices[at], float(times[indices[at]]), frame
                at += 1
            last = frame
        if last is None:
            raise nothing_decodable(path)
        if at < len(known):
            log.debug("%s: frames end after %.1f s.", path, times[indices[at]])
    finally:
        if missing or damaged:
            log.warning(
                "%s: of %d frames that were looked at %d do not decode (those before stand in) "
                "and %d are damaged.",
                path,
                at,
                missing,
                damaged,
            )


def _counted(
    info: VideoInfo, frames: "Iterator[VideoFrame]", packets: Packets, stream: "VideoStream"
) -> "Iterator[tuple[int, float, VideoFrame]]":
    """Every frame, known by its number; its time is its own where packets do not tell."""
    unit = float(stream.time_base or 0)
    first: int | None = None
    seconds, index = -1 / info.rate, -1
    for index, frame in enumerate(frames):
        following = index / info.rate
        if not packets.countable:
            following = seconds + 1 / info.rate
            if frame.pts is not None:
                first = frame.pts if first is None else first
                told = (frame.pts - first) * unit
                following = told if told > seconds else following
        seconds = following
        yield index, seconds, frame
    if index < 0:
        raise nothing_decodable(info.path)
