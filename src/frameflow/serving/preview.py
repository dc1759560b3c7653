"""A small H.264 MP4 of any video, which every browser plays."""

import errno
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.serving.limits import Refused
from frameflow.video.decode import iter_frames
from frameflow.video.probe import VideoInfo

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_RATE = 30.0  # frames a second at most
_UNIT = Fraction(1, 90_000)  # seconds: frames keep their own times
_TOLD = 0.02  # share after which progress is told again
_OPTIONS = {"preset": "veryfast", "crf": "26", "profile": "baseline"}


def preview_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of a preview: even, as 4:2:0 colour needs, and not over ``side``."""
    scale = min(1.0, side / max(width, height))
    return max(2, 2 * round(scale * width / 2)), max(2, 2 * round(scale * height / 2))


def write_preview(
    info: VideoInfo, out: Path, *, side: int, progress: Callable[[float], None]
) -> None:
    """Write it; frames keep their times, so that a position means the same in both.

    Args:
        info: of the video.
        out: of the preview; it is there whole or not at all.
        side: the longer side at most, pixels.
        progress: is told the share that is done; what it raises ends the work.

    Raises:
        Refused: 507 where the disk is full, 413 where it would be larger than a preview may,
            503 where this FFmpeg cannot write H.264.
        VideoError: the video cannot be read.
    """
    import av
    from av.codec import codecs_available
    from av.video.stream import VideoStream

    if "libx264" not in codecs_available:
        raise Refused(503, "no_preview", "This server cannot make previews.", "Convert it to MP4.")
    partial = out.with_name(f".{out.stem}.partial{out.suffix}")
    width, height = preview_size(info.width, info.height, side)
    try:
        options = {"movflags": "+faststart"}
        with av.open(str(partial), "w", format="mp4", container_options=options) as container:
            rate = Fraction(min(info.rate, _RATE)).limit_denominator(1001)
            stream = container.add_stream("libx264", rate=rate, options=_OPTIONS)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = _UNIT
            stream.codec_context.thread_count = 1
            for packet in _packets(info, stream, (width, height), progress):
                container.mux(packet)
        partial.replace(out)
    except (av.FFmpegError, OSError) as error:
        raise not_written(error.errno) from None
    finally:
        partial.unlink(missing_ok=True)


def _packets(
    info: VideoInfo,
    stream: "VideoStream",
    size: tuple[int, int],
    progress: Callable[[float], None],
) -> "Iterator[Packet[VideoStream]]":
    import av

    told, last = 0.0, -1.0
    for index, seconds, pixels in iter_frames(info.path, size=size, interpolation="area"):
        if seconds < last + 0.9 / _RATE:
            continue
        last = seconds
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = round(seconds / _UNIT), _UNIT
        yield from stream.encode(frame)
        share = (index + 1) / max(1, info.frames)
        if share > told + _TOLD:
            told = share
            progress(min(1.0, share))
    yield from stream.encode(None)


def not_written(number: int | None) -> Refused:
    """Why a file could not be written, as clients are told."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return Refused(507, "disk_full", "The server's disk is full.", "Try again later.")
    if number == errno.EFBIG:
        return Refused(413, "too_large", "The preview would be too large.", "Send a shorter video.")
    return Refused(503, "no_preview", "No preview of this video can be made.", "Convert it to MP4.")
