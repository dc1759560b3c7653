"""Opening a video file with PyAV, and saying in plain words why one cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frameflow import remote
from frameflow.errors import UsageError, VideoError, listing
from frameflow.video._guard import current_guard
from frameflow.video._truncation import truncation

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

NOT_A_VIDEO = "is not a video that FFmpeg can read"


def os_reason(error: OSError) -> str:
    """What the operating system answered, in plain words."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read (permission denied)"
    if isinstance(error, IsADirectoryError):
        return "is a folder without numbered frame images"
    return f"cannot be read ({error.strerror or error})"


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, such as one of frame images.

    The copy of a video that lies elsewhere is fetched if it is not here.

    Raises:
        RemoteError: it cannot be fetched.
        VideoError: it is a folder, and lies elsewhere.
    """
    _fetch(path)
    return path.is_dir()


def _fetch(path: Path) -> None:
    # A process that opens files of strangers fetches nothing, whatever they name.
    if current_guard() is None:
        remote.ensure(path)


def check_file(path: Path) -> None:
    """Refuse what is no readable, non-empty file.

    Raises:
        RemoteError: it lies elsewhere and cannot be fetched.
        VideoError: with the reason.
    """
    _fetch(path)
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise VideoError(path, "is empty (0 bytes)")
    except OSError as error:
        raise VideoError(path, os_reason(error)) from None


def nothing_decodable(path: Path) -> VideoError:
    """The error for a file that opens and yields no frame."""
    return VideoError(path, truncation(path) or "has no frame that can be decoded")


def check_range(path: Path, indices: NDArray[np.int64], frames: int) -> None:
    """Refuse indices that the video does not have.

    Raises:
        UsageError: with the indices and the number of frames.
    """
    outside = indices[indices >= frames]
    if len(outside):
        raise UsageError(
            f"{path}: indices ({listing(outside.tolist())}) must be below {frames}, "
            f"the number of its frames."
        )


@contextmanager
def open_video(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a file and find its video stream; cover art and thumbnails are none.

    Raises:
        MemoryError: there is no memory for it.
        OverLimit: it is more than this process may read.
        RemoteError: it lies elsewhere and cannot be fetched.
        VideoError: the file cannot be read or has no video stream.
    """
    with nullcontext() if current_guard() else remote.held(path):
        check_file(path)
        with _opened(path) as found:
            yield found


@contextmanager
def _opened(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    import av
    from av.stream import Disposition

    guard = current_guard()
    options = guard.options() if guard else None
    try:
        container = av.open(str(path), metadata_errors="ignore", options=options)
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError):
        raise VideoError(path, truncation(path) or NOT_A_VIDEO) from None
    with container:
        if guard:
            guard.check_streams(path, len(container.streams))
        still = Disposition.attached_pic | Disposition.timed_thumbnails
        streams = [s for s in container.streams.video if not s.disposition & still]
        if not streams:
            sound = " (audio only)" if container.streams.audio else ""
            raise VideoError(path, truncation(path) or f"has no video stream{sound}")
        stream = streams[0]
        if stream.codec_context is None or not stream.width:
            raise VideoError(path, truncation(path) or NOT_A_VIDEO)
        if guard:
            guard.check_size(path, stream.width, stream.height)
            stream.codec_context.options = {"max_pixels": str(guard.pixels)}
        yield container, stream
