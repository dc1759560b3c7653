"""Where the square is, in each frame, that follows what moves: first pass over the video."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from frameflow.video._request import Run
from frameflow.video._scale import Scaler
from frameflow.video.follow import LONG_SIDE, Track, track_motion
from frameflow.video.transform import Plan, grey, region_of_interest

if TYPE_CHECKING:
    from frameflow.data.manifest import Region

# Reads the wanted frames (unique and sorted) as the scaler makes them.
Read = Callable[[np.ndarray, Scaler], Iterator[tuple[int, np.ndarray]]]

# Frames between the wanted ones that are looked at too; of a longer span every second, third...
_BETWEEN = 96

# The camera's motion is removed to so many parts of a pixel; less is noise.
_PARTS = 8


def moves(
    rows: Sequence[np.ndarray],
    runs: Sequence[Run],
    read: Read,
    size: tuple[int, int],
    plan: Plan,
    region: "Region | None",
) -> list[np.ndarray]:
    """By how much the plan's box is moved for each frame of some clips of one video.

    All frames of a run see the place at which its first one looks, the camera's motion removed:
    what stands still stands still in them, so that it cancels in a difference.

    Args:
        rows: for each view (R, T) indices: the frames, then each run's first, second...
        runs: the runs of the rows.
        read: reads frames of the video.
        size: width and height of its frames, px.
        plan: whose one box is moved.
        region: shares of the frame that it stays in.

    Returns:
        For each view (R, T, 2): px right and down of the frames as the plan decodes them. Whole
        ones, except where a run removes the camera's motion.
    """
    track = _track(np.unique(np.concatenate([part.ravel() for part in rows])), read, size, region)
    left, top, wide, high = region_of_interest(*size, region)
    decoded = np.array(plan.decode or size)
    scale = decoded / size
    ((x, y, w, h),) = plan.boxes
    low = np.rint(np.array([left, top]) * scale)
    most = np.rint(np.array([left + wide, top + high]) * scale)
    room = low, np.maximum(low, np.minimum(most, decoded) - (w, h))
    corners = (track.centres * [wide, high] + [left, top]) * scale - np.divide((w, h), 2)
    camera = track.camera * [wide, high] * scale
    found = []
    for indices in rows:
        at = np.searchsorted(track.indices, indices)
        parts, row = [], 0
        for length in (1, *(length for _, length in runs)):
            run = at[row : row + length]
            parts.append(_places(corners[run[0]], camera[run] - camera[run[0]], room))
            row += length
        found.append(np.concatenate(parts) - (x, y))
    return found


def _places(
    corner: np.ndarray, gone: np.ndarray, room: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """(L, T, 2) px where the box begins in each frame of a run.

    Args:
        corner: (T, 2) where it should begin in the run's first frame.
        gone: (L, T, 2) by how much the camera has moved things since.
        room: (2,) the least and the greatest place.
    """
    gone = np.rint(gone * _PARTS) / _PARTS
    # A place from which the whole run stays inside; where the camera moves too far for any, each
    # frame is kept inside by itself.
    least, greatest = np.ceil(room[0] - gone.min(axis=0)), np.floor(room[1] - gone.max(axis=0))
    begin = np.rint(corner)
    begin = np.where(least <= greatest, np.clip(begin, least, greatest), begin)
    return np.clip(begin + gone, *room)


def _track(wanted: np.ndarray, read: Read, size: tuple[int, int], region: "Region | None") -> Track:
    """Look at the wanted frames and those between them, small and grey."""
    first, last = int(wanted[0]), int(wanted[-1])
    step = -(-(last - first + 1) // _BETWEEN)
    looked = np.union1d(wanted, np.arange(first, last, step))
    left, top, wide, high = region_of_interest(*size, region)
    share = min(1.0, LONG_SIDE / max(wide, high))
    width, height = look_size(size, region)
    columns = _part(left * share, (left + wide) * share, width)
    lines = _part(top * share, (top + high) * share, height)
    scaler = Scaler(size=(width, height), interpolation="area")
    small = np.zeros((len(looked), height, width), np.uint8)
    for index, frame in read(looked, scaler):
        small[np.searchsorted(looked, index)] = grey(frame)
    return track_motion(small[:, lines, columns], looked)


def look_size(size: tuple[int, int], region: "Region | None" = None) -> tuple[int, int]:
    """Width and height of the small frames in which motion is looked for, px."""
    _, _, wide, high = region_of_interest(*size, region)
    share = min(1.0, LONG_SIDE / max(wide, high))
    width, height = (max(1, round(side * share)) for side in size)
    return width, height


def _part(start: float, end: float, length: int) -> slice:
    first = min(round(start), length - 1)
    return slice(first, max(first + 1, round(end)))
