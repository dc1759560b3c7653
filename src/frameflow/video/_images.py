"""Frames from a folder of numbered images."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frameflow.data.containers import frame_names
from frameflow.errors import VideoError
from frameflow.video._open import check_range, os_reason
from frameflow.video._scale import Pixels, Scaler
from frameflow.video.frame_table import rate_of, table_seconds
from frameflow.video.probe import FRAME_FOLDER_RATE, VideoInfo

log = logging.getLogger(__name__)

_EXIF_ORIENTATION = 0x0112


def frame_files(folder: Path) -> list[Path]:
    """The images of a frame folder in the order of their numbers.

    Raises:
        VideoError: the folder cannot be listed or is no frame folder.
    """
    try:
        names = frame_names(folder)
    except OSError as error:
        raise VideoError(folder, os_reason(error)) from None
    if not names:
        raise VideoError(folder, "is a folder without numbered frame images")
    return [folder / name for name in names]


def folder_times(files: list[Path]) -> NDArray[np.float64]:
    """(images,) seconds at which each is shown: as the table beside them says, or 25 a second."""
    times = table_seconds(files[0].parent, [file.name for file in files])
    return np.arange(len(files)) / FRAME_FOLDER_RATE if times is None else times


def probe_folder(folder: Path) -> VideoInfo:
    """What a frame folder is; its size is that of the first image that opens.

    Raises:
        VideoError: no image opens.
    """
    from PIL import Image

    files = frame_files(folder)
    times = folder_times(files)
    rate = rate_of(times) or FRAME_FOLDER_RATE
    even = np.allclose(times, np.arange(len(times)) / rate, rtol=0, atol=1e-3)
    for file in files:
        try:
            with Image.open(file) as image:
                width, height = image.size
                if image.getexif().get(_EXIF_ORIENTATION, 1) >= 5:  # lies on its side
                    width, height = height, width
                codec, mode = (image.format or "").lower(), image.mode.lower()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        return VideoInfo(
            path=folder,
            kind="frames",
            frames=len(files),
            duration=float(times[-1]) + 1 / rate,
            rate=rate,
            variable_rate=not even,
            width=width,
            height=height,
            rotation=0,
            codec=codec,
            pixel_format=mode,
            has_audio=False,
            counted=False,
        )
    raise VideoError(folder, "has no image that can be read")


def read_image(file: Path) -> Pixels | None:
    """(H, W, 3) uint8 as shown (EXIF orientation applied), None if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            if image.mode.startswith("I;16"):  # Pillow would clip these, not scale them
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.debug("%s cannot be read: %s", file, error)
        return None


def stream_images(
    folder: Path, wanted: NDArray[np.int64] | None, scaler: Scaler
) -> Iterator[tuple[int, Pixels]]:
    """(index, frame) in ascending order; an unreadable image shows the nearest before it.

    Raises:
        UsageError: an index is not in the folder.
        VideoError: no image can be read.
    """
    files = frame_files(folder)
    if wanted is not None:
        check_range(folder, wanted, len(files))
    shown, last = -1, None  # the image that was read last, and its index
    for index in range(len(files)) if wanted is None else wanted.tolist():
        for candidate in range(index, shown, -1):
            pixels = read_image(files[candidate])
            if pixels is not None:
                shown, last = candidate, _scaled(pixels, scaler)
                break
        if last is None:  # nothing up to here: the first good one after it stands in
            good = (read_image(file) for file in files[index + 1 :])
            pixels = next((p for p in good if p is not None), None)
            if pixels is None:
                raise VideoError(folder, "has no image that can be read")
            last = _scaled(pixels, scaler)
        yield index, last


def _scaled(pixels: Pixels, scaler: Scaler) -> Pixels:
    """In the size that comes out, by the same means as the frames of a file."""
    from av import VideoFrame

    if scaler.size is None:
        scaler.fix(pixels.shape[1], pixels.shape[0])
    if pixels.shape[1::-1] == scaler.size:
        return pixels
    return scaler(VideoFrame.from_ndarray(np.ascontiguousarray(pixels)))
