"""Frames of a video by index or by time, as ``(T, H, W, 3)`` uint8 RGB.

Frame ``i`` is the ``i``-th that decoding the whole file would show. Pixels equal what the
``ffmpeg`` command gives for ``-pix_fmt rgb24`` (`frameflow.video._scale` says where not): colour
matrix and range as the file states them, turned as its rotation metadata says. A frame that does
not decode is shown as the one before it (the first good one, if it is at the start), so that
indices keep their meaning; this is logged as a warning.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frameflow._places import path_of
from frameflow.errors import UsageError, VideoError, listing
from frameflow.video._open import check_range, is_folder
from frameflow.video._scale import Interpolation, Pixels, Scaler, check_size
from frameflow.video.probe import VideoInfo, frame_times, probe

__all__ = ["Interpolation", "iter_frames", "read_frames", "read_frames_at"]

Indices = Sequence[int] | NDArray[np.integer]
Seconds = Sequence[float] | NDArray[np.floating]


def read_frames(
    path: str | PathLike[str],
    indices: Indices,
    *,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
    interpolation: Interpolation = "bilinear",
    threads: int | None = None,
    info: VideoInfo | None = None,
) -> Pixels:
    """Read frames by their index in one pass over the file.

    Args:
        path: a video file, or a folder of numbered frame images.
        indices: from 0, in any order, repeats allowed.
        size: (width, height) to resize to.
        short_side: resize so that the shorter side has this many pixels, the ratio kept.
        interpolation: how to resize.
        threads: of the decoder. None takes one, or a few for larger videos where the main thread
            asks; one costs the least where many videos are read at once.
        info: what `probe` said of the file, if it was asked; saves nothing being counted twice.

    Returns:
        (T, H, W, 3) uint8, in the order of ``indices``.

    Raises:
        UsageError: an index is not in the video, or a size is none.
        VideoError: the video cannot be read.

    Example:
        >>> read_frames("clip.mp4", [0, 8, 16], short_side=224).shape  # doctest: +SKIP
        (3, 224, 398, 3)
    """
    path = path_of(path)
    check_size(size, short_side, interpolation)
    asked = _checked(indices)
    if info is not None:
        check_range(path, asked, info.frames)
    scaler = Scaler(size=size, short_side=short_side, interpolation=interpolation)
    if not len(asked):
        about = info or probe(path)
        width, height = scaler.fix(about.width, about.height)
        return np.empty((0, height, width, 3), np.uint8)
    wanted = np.unique(asked)
    rows: dict[int, list[int]] = {}
    for row, index in enumerate(asked.tolist()):
        rows.setdefault(index, []).append(row)
    out: Pixels | None = None
    for index, frame in stream_frames(path, wanted, scaler, threads):
        if out is None:
            out = np.empty((len(asked), *frame.shape), np.uint8)
        for row in rows.pop(index, ()):
            out[row] = frame
    if rows or out is None:
        count = (info or probe(path)).frames
        check_range(path, asked, count)
        raise VideoError(path, f"frame {min(rows)} of {count} cannot be decoded")
    return out


def read_frames_at(
    path: str | PathLike[str],
    seconds: Seconds,
    *,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
    interpolation: Interpolation = "bilinear",
    threads: int | None = None,
    info: VideoInfo | None = None,
) -> Pixels:
    """Read the frames that are shown at given times, counted from the first frame.

    A frame is shown from its own time until the next one's, the last one until the video ends.
    Otherwise as `read_frames`.

    Raises:
        UsageError: a time is negative or after the end.
        VideoError: the video cannot be read.
    """
    about = info or probe(path)
    times = np.asarray(seconds, dtype=np.float64).reshape(-1)
    outside = times[~((times >= 0) & (times <= about.duration + 1e-6))]
    if len(outside):
        raise UsageError(
            f"{path}: seconds ({listing(outside.tolist())}) must be from 0 to the end at "
            f"{about.duration:.3f}."
        )
    # The small allowance is for times that were computed as index / rate.
    indices = np.searchsorted(frame_times(path), times + 1e-6, side="right") - 1
    return read_frames(
        path,
        np.maximum(indices, 0),
        size=size,
        short_side=short_side,
        interpolation=interpolation,
        threads=threads,
        info=about,
    )


def iter_frames(
    path: str | PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
    interpolation: Interpolation = "bilinear",
    threads: int | None = None,
) -> Iterator[tuple[int, float, Pixels]]:
    """All frames of a video one after the other; memory does not grow with its length.

    Yields:
        (index, seconds, frame), the frame (H, W, 3) uint8 and the caller's own.

    Raises:
        UsageError: a size is none.
        VideoError: the video cannot be read.
    """
    path = path_of(path)
    check_size(size, short_side, interpolation)
    scaler = Scaler(size=size, short_side=short_side, interpolation=interpolation)
    times = frame_times(path)
    for index, frame in stream_frames(path, None, scaler, threads):
        yield index, float(times[min(index, len(times) - 1)]), np.array(frame)


def stream_frames(
    path: Path, wanted: NDArray[np.int64] | None, scaler: Scaler, threads: int | None = None
) -> Iterator[tuple[int, Pixels]]:
    """(index, frame) of the wanted frames (unique and sorted), or of all where None.

    The least that decoding costs: a frame may be a view of FFmpeg's buffer, so copy what is kept.
    Each wanted frame comes once, in ascending order; of a damaged file the order may break.

    Raises:
        UsageError: an index is not in the video (where that is known beforehand).
        VideoError: the video cannot be read.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads ({threads}) must be at least 1.")
    if is_folder(path):
        from frameflow.video._images import stream_images

        return stream_images(path, wanted, scaler)
    from frameflow.video._pyav import stream_file

    return stream_file(path, wanted, scaler, threads)


def _checked(indices: Indices) -> NDArray[np.int64]:
    asked = np.asarray(indices)
    if asked.size and (asked.ndim != 1 or not np.issubdtype(asked.dtype, np.integer)):
        raise UsageError(f"indices ({indices!r}) must be a sequence of whole numbers.")
    asked = asked.reshape(-1).astype(np.int64)
    if len(asked) and asked.min() < 0:
        raise UsageError(f"indices ({listing(asked[asked < 0].tolist())}) must be 0 or more.")
    return asked
