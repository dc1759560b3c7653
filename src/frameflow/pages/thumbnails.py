"""Small pictures of many clips in few JPEG files: a page of thousands of clips stays small."""

import base64
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError
from frameflow.pages.strips import read_small
from frameflow.progress import progress

log = logging.getLogger(__name__)

_LINES = 16  # clips of one sheet: the header of a JPEG costs as much as a small frame
_QUALITY = 62
_AT_ONCE = 256
# Most clips, longer side in px, frames of each: about 5 to 8 MB at the upper end of each step.
_STEPS = ((500, 140, 4), (1500, 112, 2), (4000, 88, 1), (9000, 56, 1))


@dataclass(frozen=True)
class Sheets:
    """Frames of clips, one clip in each line of a sheet.

    Attributes:
        uris: the sheets, ``data:image/jpeg;base64,...``.
        width: of one frame, px.
        height: of one frame, px.
        frames: of a clip, side by side.
        lines: of each sheet but the last, which may have fewer.
        places: row of the manifest to (sheet, line).
        counts: lines of each sheet.
    """

    uris: Sequence[str]
    width: int
    height: int
    frames: int
    lines: int
    places: dict[int, tuple[int, int]]
    counts: Sequence[int]


def make_sheets(
    manifest: Manifest, rows: Sequence[int], shapes: Sequence[tuple[int, int]]
) -> Sheets:
    """Draw small frames of clips; the more there are, the smaller and fewer.

    Up to 500 clips get four frames of 140 px, up to 1,500 two of 112, up to 4,000 one of 88; of
    more, 9,000 get one of 56 and the others none, spread evenly.

    Args:
        manifest: finds the videos.
        rows: the samples to draw.
        shapes: width and height of the videos, by which the cells are shaped.
    """
    step = next((s for s in _STEPS if len(rows) <= s[0]), _STEPS[-1])
    most, side, frames = step
    if len(rows) > most:
        chosen = np.linspace(0, len(rows) - 1, most).round().astype(int)
        rows = [rows[i] for i in chosen]
    width, height = _cell(shapes, side)

    def read(row: int) -> np.ndarray | None:
        try:
            found = read_small(manifest, manifest[row], frames=frames, side=max(width, height))
        except FrameFlowError as error:
            log.debug("No picture of %s: %s", manifest[row].video, error)
            return None
        return _fitted(found, width, height)

    uris: list[str] = []
    counts: list[int] = []
    places: dict[int, tuple[int, int]] = {}
    lines: list[np.ndarray] = []

    def close() -> None:
        if lines:
            uris.append(_jpeg(np.concatenate(lines)))
            counts.append(len(lines))
            lines.clear()

    with progress("Drawing", total=len(rows)) as advance:
        for row, picture in _read_all(read, rows):
            if picture is not None:
                places[row] = (len(uris), len(lines))
                lines.append(picture)
                if len(lines) == _LINES:
                    close()
            advance()
    close()
    return Sheets(uris, width, height, frames, _LINES, places, counts)


def _read_all(
    read: Callable[[int], np.ndarray | None], rows: Sequence[int]
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Each row with its picture, in order.

    Some hundred at a time: threads that live long let freed memory lie about (gigabytes for ten
    thousand clips), threads that end give it back.
    """
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="thumbnail") as pool:
            yield from zip(some, pool.map(read, some))


def _cell(shapes: Sequence[tuple[int, int]], side: int) -> tuple[int, int]:
    """A cell of the median shape whose longer side is ``side``."""
    ratio = float(np.median([w / h for w, h in shapes if w and h])) if shapes else 4 / 3
    ratio = min(max(ratio, 0.5), 2.5)
    width, height = (side, side / ratio) if ratio >= 1 else (side * ratio, side)
    return max(2, round(width)), max(2, round(height))


def _fitted(frames: np.ndarray, width: int, height: int) -> np.ndarray:
    """``(T, h, w, 3)`` to one line ``(height, T * width, 3)``, black around what does not fill."""
    from PIL import Image

    line = np.zeros((height, len(frames) * width, 3), dtype=np.uint8)
    for number, frame in enumerate(frames):
        scale = min(width / frame.shape[1], height / frame.shape[0])
        size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
        small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
        x, y = number * width + (width - size[0]) // 2, (height - size[1]) // 2
        line[y : y + size[1], x : x + size[0]] = small
    return line


def _jpeg(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
