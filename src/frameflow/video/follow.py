"""Where the moving person of a clip is, from small grey frames.

1. The camera: each frame's shift from the one before is the best of none and the highest peaks of
   their phase correlation (Kuglin and Hines 1975), by an absolute difference so clipped that a
   moving person cannot outvote the background; then to parts of a pixel by robust least squares.
   Frames of one flat colour, such as a black last one, are left out, and a cut begins anew.
2. Motion: how far a pixel lies outside the range of its neighbours in a frame some way off, once
   the camera's shift is removed, and the other way round. This forgives parts of pixels, slight
   zoom and, with what the neighbours' own range adds to the threshold, crowds.
3. The path: of all paths that a window can take over the clip, the one that gathers the most
   motion, each frame's motion weighed alike, by dynamic programming. A ball or a passer-by in a
   few frames does not take it away.
4. The centre: the centroid of the motion around the path, smoothed in time.

Where nothing moves, the centre of the frame is followed.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from frameflow.errors import UsageError

LONG_SIDE = 160  # px of the frames that are looked at; the numbers below were found at this size

_LEAST_SIDE = 8  # px; in less there is nothing to follow
_GAP = 2  # frames; motion is looked for between frames at least so far apart
_FLAT = 4.0  # standard deviation of a frame's levels, below which it shows nothing
_CUT = 18.0  # levels of clipped difference, above which two frames show different scenes
_CLIPPED = 30  # levels
_PEAKS = 3  # of the phase correlation that are tried
_REFINED = 4  # times that a whole shift is mended at most
_NOISE = 6  # levels that are no motion
_TEXTURE = 2  # and this part of the range among a pixel's neighbours: one half
_CEILING = 40  # levels beyond which motion counts no more
_STILL = 0.02  # levels of motion a pixel, in the frame with most of it, that are none
_CELL = 3  # px of a cell of the path's grid
_WINDOW = 0.65  # height of the window, as share of the short side
_SPEED = 1  # cells that the window may move from a frame to the next
_CENTRAL = 0.15  # by how much less motion at the very rim counts than in the centre
_SMOOTH = 4.0  # frames, standard deviation of the smoothing in time


@dataclass(frozen=True, slots=True)
class Track:
    """What moves, and how the camera does.

    Attributes:
        indices: (N,) int64, the frames that were looked at, increasing.
        centres: (N, 2) float64, where what moves is: x and y as shares of the frame.
        camera: (N, 2) float64, how far what stands still has gone since the first frame: right
            and down as shares of the frame. A cut counts as no motion.
    """

    indices: np.ndarray
    centres: np.ndarray
    camera: np.ndarray


def track_motion(grey: np.ndarray, indices: np.ndarray) -> Track:
    """Follow what moves.

    Args:
        grey: ``(N, h, w)`` uint8, in order of time; about 160 px along the longer side.
        indices: ``(N,)`` each frame's place in the video, increasing.

    Raises:
        UsageError: the shapes do not fit, or the indices do not increase.

    Example:
        >>> still = np.zeros((4, 90, 160), np.uint8)
        >>> track_motion(still, np.arange(4)).centres[0]
        array([0.5, 0.5])
    """
    if grey.ndim != 3 or grey.dtype != np.uint8 or len(indices) != len(grey):
        raise UsageError(
            f"Grey frames must be uint8 of shape ({len(indices)}, height, width), "
            f"not {grey.dtype} {grey.shape}."
        )
    if (np.diff(indices) <= 0).any():
        raise UsageError("The indices of frames to follow must increase.")
    size = np.array(grey.shape[:0:-1])  # width, height
    centres, camera = np.full((len(grey), 2), 0.5), np.zeros((len(grey), 2))
    if min(size) < _LEAST_SIDE:
        return Track(np.asarray(indices, np.int64), centres, camera)
    good = np.flatnonzero(grey.std(axis=(1, 2)) >= _FLAT)
    camera, scene = _camera(grey, good)
    motion = _motion(grey, indices, good, camera, scene)
    total = motion.sum(axis=(1, 2)) * _CELL**2
    if total.max(initial=0) > _STILL * grey[0].size:
        # Every frame has a say, one with much motion a little more.
        motion /= (total + np.median(total[total > 0]))[:, None, None]
        near = _nearness(indices)
        centres = _centroids(motion, near @ _path(motion, indices), near)
        centres = np.clip((centres + 0.5) * _CELL / size, 0, 1)
    return Track(np.asarray(indices, np.int64), centres, camera / size)


def _camera(grey: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) px right and down since the first frame, and (N,) the number of each one's scene."""
    camera, scene = np.zeros((len(grey), 2)), np.zeros(len(grey), np.int64)
    height, width = grey.shape[1:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    frames = grey.astype(np.int16)
    before, spectrum = -1, np.empty(0)
    for row in good.tolist():
        whitened = fft.rfft2((frames[row] - frames[row].mean(dtype=np.float32)) * window)
        if before >= 0:
            cross = whitened * spectrum.conj()
            size = np.abs(cross)
            peaks = fft.irfft2(cross / (size + 1e-3 * size.mean() + 1e-9), s=(height, width))
            whole, differs = _whole_shift(frames[before], frames[row], peaks)
            if differs > _CUT:
                scene[row:] += 1
            else:
                camera[row:] += _exact_shift(frames[before], frames[row], whole)
        before, spectrum = row, whitened
    return camera, scene


def _whole_shift(
    before: np.ndarray, later: np.ndarray, peaks: np.ndarray
) -> tuple[tuple[int, int], float]:
    """The shift in whole px (right, down) and the clipped difference that it leaves."""
    height, width = before.shape
    tried = {(0, 0)}
    for _ in range(_PEAKS):
        y, x = divmod(int(peaks.argmax()), width)
        peaks[y, x] = -np.inf
        right, down = x - width * (x > width // 2), y - height * (y > height // 2)
        if abs(right) <= width // 4 and abs(down) <= height // 5:
            tried.add((right, down))
    best, least = (0, 0), np.inf
    for shift in sorted(tried, key=lambda s: (abs(s[0]) + abs(s[1]), s)):
        here, there = _overlap(before.shape, shift)
        left = float(np.minimum(np.abs(later[there] - before[here]), _CLIPPED).mean())
        if left < 0.97 * least:
            best, least = shift, left
    return best, least


def _exact_shift(before: np.ndarray, later: np.ndarray, whole: tuple[int, int]) -> np.ndarray:
    """The shift in parts of a px (right, down), from one in whole px that is about right."""
    for _ in range(_REFINED):
        part = _part_of_shift(before, later, whole)
        right, down = np.rint(part).astype(int).tolist()
        if not (right or down):
            break
        whole = whole[0] + right, whole[1] + down
    return np.add(whole, part)


def _part_of_shift(before: np.ndarray, later: np.ndarray, whole: tuple[int, int]) -> np.ndarray:
    """What a whole shift leaves, at most 1 px right or down (Lucas and Kanade 1981), robustly."""
    here, there = _overlap(before.shape, whole)
    one, two = before[here].astype(np.float32), later[there].astype(np.float32)
    both = (one + two) / 2
    right = (both[1:-1, 2:] - both[1:-1, :-2]).ravel() / 2
    down = (both[2:, 1:-1] - both[:-2, 1:-1]).ravel() / 2
    slope = np.stack([right, down])
    change = (one - two)[1:-1, 1:-1].ravel()
    part = np.zeros(2, np.float32)
    for _ in range(3):
        error = change - part @ slope
        scale = max(2.0, 2 * float(np.median(np.abs(error[::8]))))
        weighted = slope / (1 + (error / scale) ** 2) ** 2
        part = np.linalg.solve(weighted @ slope.T + np.eye(2, dtype=np.float32), weighted @ change)
    return np.clip(part, -1, 1)


def _overlap(
    shape: tuple[int, ...], shift: tuple[int, int], rim: int = 0
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where two frames show the same, the second shifted by (right, down), less a rim."""
    (height, width), (right, down) = shape[-2:], shift
    there = (
        slice(max(0, down) + rim, min(height, height + down) - rim),
        slice(max(0, right) + rim, min(width, width + right) - rim),
    )
    here = (
        slice(there[0].start - down, there[0].stop - down),
        slice(there[1].start - right, there[1].stop - right),
    )
    return here, there


def _motion(
    grey: np.ndarray, indices: np.ndarray, good: np.ndarray, camera: np.ndarray, scene: np.ndarray
) -> np.ndarray:
    """(N, rows, columns) mean motion in each cell of each frame, levels."""
    height, width = (length // _CELL for length in grey.shape[1:])
    frames = grey.astype(np.int16)
    low, high = _among_neighbours(frames, np.minimum), _among_neighbours(frames, np.maximum)
    margin = _NOISE + (high - low) // _TEXTURE
    low -= margin
    high += margin
    motion = np.zeros((len(grey), height, width), np.float32)
    for place, row in enumerate(good):
        earlier = good[:place][indices[good[:place]] <= indices[row] - _GAP]
        if not len(earlier) or scene[earlier[-1]] != scene[row]:
            continue
        other = earlier[-1]
        right, down = np.rint(camera[row] - camera[other]).astype(int)
        if abs(right) >= grey.shape[2] // 2 or abs(down) >= grey.shape[1] // 2:
            continue
        # Pixels at the rim do not know all their neighbours.
        here, there = _overlap(grey.shape, (right, down), rim=1)
        moved = np.zeros(grey.shape[1:], np.int16)
        moved[there] = _outside(frames[row][there], low[other][here], high[other][here])
        moved[there] += _outside(frames[other][here], low[row][there], high[row][there])
        cells = moved[: height * _CELL, : width * _CELL].reshape(height, _CELL, width, _CELL)
        motion[row] = cells.mean(axis=(1, 3))
    return _borrowed(motion, good, scene)


def _outside(frame: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far a frame lies outside a range, 0 to the ceiling."""
    return np.clip(np.maximum(frame - high, low - frame), 0, _CEILING)


def _among_neighbours(frames: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """The least or the greatest of the 3 x 3 px around each, (N, h, w)."""
    for axis in (1, 2):
        chosen = frames.copy()
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        for to, of in ((ahead, behind), (behind, ahead)):
            choose(chosen[tuple(to)], frames[tuple(of)], out=chosen[tuple(to)])
        frames = chosen
    return frames


def _borrowed(motion: np.ndarray, good: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """The first frames of a scene have none before them: they take the motion that follows."""
    seen = motion.max(axis=(1, 2)) > 0
    for number in np.unique(scene):
        rows = good[scene[good] == number]
        moving = rows[seen[rows]]
        if len(moving):
            motion[rows[rows < moving[0]]] = motion[moving[0]]
    return motion


def _path(motion: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(N, 2) column and row of the window's middle in each frame."""
    count, height, width = motion.shape
    side = max(1, round(_WINDOW * min(height, width)))
    score = ndimage.uniform_filter(motion, (5, side, max(1, round(0.8 * side))), mode="constant")
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    score *= 1 - _CENTRAL * np.maximum(np.abs(x), np.abs(y)[:, None])
    best = score
    for row in range(1, count):
        reach = 2 * _reach(indices, row, max(height, width)) + 1
        best[row] += ndimage.maximum_filter(best[row - 1], reach, mode="nearest")
    path = np.zeros((count, 2))
    r, c = divmod(int(best[-1].argmax()), width)
    path[-1] = c, r
    for row in range(count - 1, 0, -1):
        reach = _reach(indices, row, max(height, width))
        top, left = max(0, r - reach), max(0, c - reach)
        part = best[row - 1, top : r + reach + 1, left : c + reach + 1]
        down, right = divmod(int(part.argmax()), part.shape[1])
        r, c = top + down, left + right
        path[row - 1] = c, r
    return path


def _reach(indices: np.ndarray, row: int, most: int) -> int:
    return min(int(indices[row] - indices[row - 1]) * _SPEED, most)


def _nearness(indices: np.ndarray) -> np.ndarray:
    """(N, N) weights of a smoothing in time; each row adds up to 1."""
    gaps = (indices[:, None] - indices[None]) / _SMOOTH
    weights = np.exp(-0.5 * gaps**2)
    return weights / weights.sum(axis=1, keepdims=True)


def _centroids(motion: np.ndarray, path: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(N, 2) column and row of the motion around the path, gathered over near frames."""
    _, height, width = motion.shape
    side = _WINDOW * min(height, width)
    x, y = np.arange(width), np.arange(height)
    across = np.exp(-0.5 * ((x - path[:, :1]) / (0.5 * side)) ** 2)
    down = np.exp(-0.5 * ((y - path[:, 1:]) / (0.6 * side)) ** 2)
    rows = np.einsum("nhw,nw->nh", motion, across) * down
    columns = np.einsum("nhw,nh->nw", motion, down) * across
    little = 1e-4  # of the path itself, for frames around which nothing moves
    weight = near @ rows.sum(axis=1) + little
    return np.stack(
        [(near @ part + little * path[:, axis]) / weight
         for axis, part in enumerate((columns @ x, rows @ y))],
        axis=1,
    )  # fmt: skip
