"""Frames from a folder of numbered images."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from frameflow.data.containers import IMAGE_SUFFIXES
from frameflow.errors import VideoError
from frameflow.video._open import os_reason
from frameflow.video._scale import Pixels, Scaler
from frameflow.video.probe import FRAME_FOLDER_RATE, VideoInfo

log = logging.getLogger(__name__)


def frame_files(folder: Path) -> list[Path]:
    """The images of a frame folder in natural order: frame2 comes before frame10.

    Raises:
        VideoError: the folder cannot be read or holds no image.
    """
    try:
        with os.scandir(folder) as entries:
            names = [
                e.name
                for e in entries
                if not e.name.startswith(".") and Path(e.name).suffix.lower() in IMAGE_SUFFIXES
            ]
    except OSError as error:
        raise VideoError(folder, os_reason(error)) from None
    if not names:
        raise VideoError(folder, "is a folder without numbered frame images")
    return [folder / name for name in sorted(names, key=natural_key)]


def natural_key(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Sorts numbers inside names by value, and equal ones by the name itself."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(p)) if p.isdecimal() else (0, p.lower()) for p in parts], name


def probe_folder(folder: Path) -> VideoInfo:
    """What a frame folder is; its size is that of the first image that opens.

    Raises:
        VideoError: no image opens.
    """
    from PIL import Image

    files = frame_files(folder)
    for file in files:
        try:
            with Image.open(file) as image:
                width, height = image.size
                if image.getexif().get(0x0112, 1) >= 5:
                    width, height = height, width
                codec, mode = (image.format or "").lower(), image.mode.lower()
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        return VideoInfo(
            path=folder,
            kind="frames",
            frames=len(files),
            duration=len(files) / FRAME_FOLDER_RATE,
            rate=FRAME_FOLDER_RATE,
            variable_rate=False,
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
    folder: Path, wanted: list[int] | None, scaler: Scaler
) -> Iterator[tuple[int, Pixels]]:
    """(index, frame) in ascending order; an unreadable image shows the one before it.

    Raises:
        VideoError: no wanted image, and none before the first of them, can be read.
    """
    from av import VideoFrame

    files = frame_files(folder)
    waiting: list[int] = []
    last: Pixels | None = None
    for index in range(len(files)) if wanted is None else wanted:
        pixels = read_image(files[index])
        if pixels is not None:
            if scaler.size is None:
                scaler.fix(pixels.shape[1], pixels.shape[0])
            if pixels.shape[1::-1] != scaler.size:
                pixels = scaler(VideoFrame.from_ndarray(np.ascontiguousarray(pixels)))
            last = pixels
        elif last is None:
            waiting.append(index)
            continue
        for earlier in waiting:  # nothing before them can be read: the first that can be
            yield earlier, last
        waiting.clear()
        yield index, last
    if waiting:
        raise VideoError(folder, "has no image that can be read")
