"""Clips from a video: the one reader that feature extraction and prediction share.

Whatever is asked of a sample (several views, crops, frames some way on for motion) comes from
one pass over its file: the frames of all clips are one sorted list of indices, and FFmpeg
resizes each of them while it is decoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from frameflow._places import path_of
from frameflow.errors import UsageError, VideoError
from frameflow.video._request import ClipRequest, Run
from frameflow.video._scale import Interpolation, Scaler
from frameflow.video._span import first_and_last, frame_index
from frameflow.video.decode import stream_frames
from frameflow.video.probe import VideoInfo, frame_times, probe
from frameflow.video.sample import ClipIndices, clip_indices, ending_indices
from frameflow.video.transform import Plan, cut_box, finish_crop, parts_shown, plan_fit

if TYPE_CHECKING:
    from frameflow.data.manifest import Region

__all__ = ["Clip", "ClipRequest", "Run", "read_clips"]


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a video. Arrays of several clips may share memory: do not write into them.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB; padded ones are black.
        mask: (T,) bool, False for a padded frame.
        indices: (T,) int64, each frame's place in the video; for a padded one the nearest.
        seconds: (T,) float64, when each frame is shown.
        runs: (gap, length) -> ``length`` arrays (T, H, W, 3) uint8, the frames ``gap`` apart that
            begin at ``frames``. At the end of the sample they are shifted back, so that they
            still span as many frames instead of fading out.
        shown: (T, 4) float64, which part of the whole frame each frame shows: left, top, width
            and height as shares, beyond 0 and 1 where black is put around; None where the clip
            is not as it was read.
    """

    frames: np.ndarray
    mask: np.ndarray
    indices: np.ndarray
    seconds: np.ndarray
    runs: dict[Run, tuple[np.ndarray, ...]] = field(default_factory=dict)
    shown: np.ndarray | None = None

    def pair(self, gap: int) -> tuple[np.ndarray, np.ndarray]:
        """(before, later), ``gap`` frames apart, for frame differences and optical flow.

        Raises:
            UsageError: the gap was not requested.
        """
        before, later = self._run(gap, 2)
        return before, later

    def stack(self, gap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(first, second, third), ``gap`` frames apart each.

        Raises:
            UsageError: the stack was not requested.
        """
        first, second, third = self._run(gap, 3)
        return first, second, third

    def _run(self, gap: int, length: int) -> tuple[np.ndarray, ...]:
        if (gap, length) not in self.runs:
            requested = sorted(known for known, frames in self.runs if frames == length)
            raise UsageError(f"gap ({gap}) must be one of the requested {requested}")
        return self.runs[gap, length]

    def pack(self) -> np.ndarray:
        """All images of the clip as one array, for what treats them alike: a store, augmentation.

        Returns:
            (M, H, W, 3) uint8: the T frames, then each run's arrays, whole, in the order of
            ``runs``. M is the request's ``images``, even where arrays share memory.
        """
        return np.concatenate([self.frames, *(part for run in self.runs.values() for part in run)])

    def unpack(self, packed: np.ndarray) -> "Clip":
        """The clip with other pixels: what `pack` gave, after a change of any kind.

        Args:
            packed: (M, h, w, 3) uint8, in the order of `pack`; h and w may be other ones.

        Returns:
            A clip that shares the memory of ``packed``, unless there are padded frames: these
            become black in a copy.

        Raises:
            UsageError: the array is not of M images.
        """
        return Clip.from_packed(
            packed, list(self.runs), mask=self.mask, indices=self.indices, seconds=self.seconds
        )

    @classmethod
    def from_packed(
        cls,
        packed: np.ndarray,
        runs: Sequence[Run],
        *,
        mask: np.ndarray,
        indices: np.ndarray,
        seconds: np.ndarray,
    ) -> "Clip":
        """A clip out of what `pack` gave and its other attributes, read back from a store.

        Args:
            packed: (M, H, W, 3) uint8.
            runs: of the request.
            mask: as the attribute, and so the next two.
            indices: (T,).
            seconds: (T,).

        Raises:
            UsageError: the array is not of M images.
        """
        count = 1 + sum(length for _, length in runs)
        expected = (len(mask) * count, *packed.shape[1:3], 3)
        if packed.dtype != np.uint8 or packed.shape != expected:
            raise UsageError(
                f"Packed images must be uint8 of shape ({expected[0]}, height, width, 3), "
                f"not {packed.dtype} {packed.shape}."
            )
        parts = packed.reshape(count, len(mask), *packed.shape[1:])
        if not mask.all():
            parts = parts.copy()
            parts[:, ~mask] = 0
        rest = iter(parts[1:])
        taken = {run: tuple(next(rest) for _ in range(run[1])) for run in runs}
        return cls(parts[0], mask, indices, seconds, taken)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The frames of one view, and of its runs one after the other as (rows, T) indices."""

    clip: ClipIndices
    runs: np.ndarray


def read_clips(
    path: str | PathLike[str],
    request: ClipRequest,
    *,
    start: float | None = None,
    end: float | None = None,
    frame: str | int | None = None,
    region: "Region | None" = None,
    rng: np.random.Generator | None = None,
    info: VideoInfo | None = None,
) -> list[Clip]:
    """Read all clips of one sample in one pass.

    Args:
        path: a video file, or a folder of numbered frame images.
        request: which clips, in which size.
        start: seconds at which the sample begins.
        end: seconds at which it ends, this moment not included.
        frame: the frame at which the clip ends: an index from 0 or, in a frame folder, the name
            of an image with or without its ending (a name wins over an index). All views are
            then the same clip, and no frame after it is read, not even for a gap.
        region: shares of the frame that are cut out before the frame is fitted.
        rng: randomness of training; None is the deterministic choice of test time.
        info: what `probe` said of the file, if it was asked; saves opening it twice.

    Returns:
        ``request.total_views`` clips: the crops of the first view, then those of the second...

    Raises:
        UsageError: ``spacing`` is not possible, or the region lies outside the frame.
        VideoError: the video cannot be read, or has no such span or frame.

    Example:
        >>> request = ClipRequest(Sampling(frames=16), size=224, views=2)
        >>> clips = read_clips("clip.mp4", request)  # doctest: +SKIP
        >>> clips[0].frames.shape  # doctest: +SKIP
        (16, 224, 224, 3)
    """
    path = path_of(path)
    info = info or probe(path)
    state = None if rng is None else rng.bit_generator.state
    try:
        return _read(info, request, start, end, frame, region, rng)
    except VideoError:
        if info.counted or info.kind == "frames":
            raise
    # the metadata may have promised more frames than there are: count them, choose again
    counted = probe(path, count=True)
    if rng is not None and state is not None:
        rng.bit_generator.state = state
    return _read(counted, request, start, end, frame, region, rng)


def _read(
    info: VideoInfo,
    request: ClipRequest,
    start: float | None,
    end: float | None,
    frame: str | int | None,
    region: "Region | None",
    rng: np.random.Generator | None,
) -> list[Clip]:
    times = frame_times(info.path)[: info.frames] if info.variable_rate else None
    if times is not None and len(times) < info.frames:
        times = None  # a damaged file whose frames are more than its times: the mean rate serves
    first, last = first_and_last(info, start, end, times)
    views: list[_Chosen]
    if frame is not None:
        last = frame_index(info, frame, first)
        views = [_ending(info, request, first, last)] * request.views
    else:
        views = [_choose(info, request, v, first, last, rng) for v in range(request.views)]
    plan = plan_fit(
        info.width,
        info.height,
        size=request.size,
        fit=request.fit,
        crops=request.crops,
        follow=request.follow,
        region=region,
    )
    shots = _shots(info, request, views, plan, region)
    shown = [found[:, chosen.clip.mask].reshape(-1, 3) for chosen, found in zip(views, shots)]
    wanted, which = np.unique(np.concatenate(shown), axis=0, return_inverse=True)
    crops = _decode(info, wanted, plan, request.interpolation)
    clips = []
    ends = np.cumsum([len(part) for part in shown])[:-1]
    for chosen, found, rows in zip(views, shots, np.split(which, ends)):
        parts = parts_shown(plan, (info.width, info.height), moved=found[0, :, 1:])
        clips += [
            _clip(chosen, crop, rows, request.runs, info, times, part)
            for crop, part in zip(crops, parts)
        ]
    return clips


def _choose(
    info: VideoInfo,
    request: ClipRequest,
    view: int,
    first: int,
    last: int,
    rng: np.random.Generator | None,
) -> _Chosen:
    clip = clip_indices(
        info.frames,
        request.sampling,
        rate=info.rate,
        view=view,
        views=request.views,
        rng=rng,
        first=first,
        last=last,
        pace=request.pace,
    )
    return _Chosen(clip, _runs(clip.indices, request.runs, first, last))


def _ending(info: VideoInfo, request: ClipRequest, first: int, end: int) -> _Chosen:
    clip = ending_indices(
        info.frames, request.sampling, end=end, rate=info.rate, first=first, pace=request.pace
    )
    return _Chosen(clip, _runs(clip.indices, request.runs, first, end))


def _runs(indices: np.ndarray, runs: Sequence[Run], first: int, last: int) -> np.ndarray:
    found = [np.empty((0, len(indices)), np.int64)]
    for gap, length in runs:
        back = gap * np.arange(length)[::-1, None]
        end = np.minimum(indices + back[0], last)
        found.append(np.maximum(end - back, first))
    return np.concatenate(found)


def _shots(
    info: VideoInfo,
    request: ClipRequest,
    views: Sequence[_Chosen],
    plan: Plan,
    region: "Region | None",
) -> list[np.ndarray]:
    """For each view (rows, T, 3): a frame's index, and by how much the plan's boxes are moved."""
    rows = [np.concatenate([chosen.clip.indices[None], chosen.runs]) for chosen in views]
    if request.fit == "follow":
        from frameflow.video._following import moves

        read = partial(_frames, info)
        moved = moves(rows, request.runs, read, (info.width, info.height), plan, region)
    else:
        moved = [np.zeros((*indices.shape, 2)) for indices in rows]
    return [np.dstack([indices, by]) for indices, by in zip(rows, moved)]


def _decode(
    info: VideoInfo, wanted: np.ndarray, plan: Plan, interpolation: Interpolation
) -> list[np.ndarray]:
    """(len(wanted), h, w, 3) of each crop; no more than one whole frame is held at a time."""
    scaler = Scaler(size=plan.decode or (info.width, info.height), interpolation=interpolation)
    cuts = [np.empty((len(wanted), h, w, 3), np.uint8) for _, _, w, h in plan.boxes]
    indices = wanted[:, 0].astype(np.int64)
    for index, frame in _frames(info, np.unique(indices), scaler):
        for row in range(*np.searchsorted(indices, (index, index + 1))):
            for cut, box in zip(cuts, plan.boxes, strict=True):
                cut[row] = cut_box(frame, box, moved=wanted[row, 1:])
    return [finish_crop(cut, plan, interpolation=interpolation) for cut in cuts]


def _frames(
    info: VideoInfo, wanted: np.ndarray, scaler: Scaler
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, frame) of all that is wanted (unique and sorted); see `stream_frames`."""
    missing = set(wanted.tolist())
    try:
        for index, frame in stream_frames(info.path, wanted, scaler):
            missing.remove(index)
            yield index, frame
    except UsageError:  # the indices came from what the file says of itself
        raise VideoError(info.path, f"has fewer frames than the {info.frames} it says") from None
    if missing:
        raise VideoError(info.path, f"frame {min(missing)} of {info.frames} cannot be decoded")


def _clip(
    chosen: _Chosen,
    crop: np.ndarray,
    rows: np.ndarray,
    runs: Sequence[Run],
    info: VideoInfo,
    times: np.ndarray | None,
    shown: np.ndarray,
) -> Clip:
    """A clip of the images ``crop[rows]``: those of its frames that are real, then of its runs."""
    indices, mask = chosen.clip.indices, chosen.clip.mask
    parts = list(rows.reshape(-1, mask.sum()))
    made: dict[bytes, np.ndarray] = {}

    def images(part: np.ndarray) -> np.ndarray:
        if mask.all() and np.array_equal(part, np.arange(len(crop))):
            return crop
        out = np.zeros((len(mask), *crop.shape[1:]), np.uint8)
        out[mask] = crop[part]
        return out

    for part in parts:
        if part.tobytes() not in made:
            made[part.tobytes()] = images(part)
    arrays = iter([made[part.tobytes()] for part in parts])
    frames = next(arrays)
    taken = {run: tuple(next(arrays) for _ in range(run[1])) for run in runs}
    seconds = indices / info.rate if times is None else times[indices]
    return Clip(frames, mask, indices, seconds, taken, shown)
