"""From clips to features: the one way that stored features and predictions share."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from frameflow.config import Sampling, Stream
from frameflow.errors import UsageError
from frameflow.features.engines import Engine, EngineKind, make_engine, precision_of
from frameflow.video._scale import Interpolation
from frameflow.video.clip import Clip, ClipRequest, read_clips

if TYPE_CHECKING:
    from frameflow.data.manifest import Region
    from frameflow.models.backbones import Backbone

_LARGEST = np.finfo(np.float16).max


class ClipEncoder:
    """The streams of a recipe with an engine each: a video in, features out.

    Streams that look at frames of the same size and fit share one reading of the video.

    Args:
        streams: of the recipe.
        backbones: one for each stream; streams that share a backbone name the same object.
        sampling: which frames make a clip.
        views: clips at different moments of a sample.
        random: draw these moments at random, for strategies that can.
        engine: see `frameflow.features.engines.make_engine`.

    Attributes:
        requests: what is read of a video.
        request_of: for each stream the index of its request.
        views: clips of a sample, moments times crops.
        dim: length of the features of a frame, all streams one after the other.
        steps: S, how many features a clip has: T, unless a video model gives another number.
        stream_steps: of each stream.
        apart: the streams choose frames differently: S is then that of the longest.

    Raises:
        UsageError: the numbers of streams and backbones differ, streams have unequal numbers of
            crops or of features for a clip, or the engine is unknown.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        backbones: "Sequence[Backbone]",
        sampling: Sampling,
        *,
        views: int = 1,
        random: bool = False,
        engine: EngineKind = "auto",
    ) -> None:
        if len(streams) != len(backbones):
            raise UsageError(
                f"{len(streams)} streams need as many backbones, not {len(backbones)}."
            )
        self.streams = tuple(streams)
        self.backbones = tuple(backbones)
        self.sampling = sampling
        self.random = random
        self.moments = views
        self.apart = any(stream.sampling is not None for stream in streams)
        self.requests, self.request_of = _requests(self.streams, backbones, sampling, views)
        own = [self.requests[number].sampling.frames for number in self.request_of]
        self.stream_steps = tuple(b.steps(frames) for b, frames in zip(backbones, own))
        self.steps = _steps(backbones, self.stream_steps, apart=self.apart)
        crops = {request.total_views // views for request in self.requests}
        if len(crops - {1}) > 1:
            raise UsageError(
                f"The streams have {' and '.join(map(str, sorted(crops)))} crops per frame: "
                f"give them the same number in streams.N.crops."
            )
        self.crops = max(crops)
        self.views = views * self.crops
        self._kind = engine
        precision_of(engine)  # a mistake shows at once

    @cached_property
    def engines(self) -> tuple[Engine, ...]:
        """One for each stream, shared where the backbone is; made when they are first needed."""
        made: dict[tuple[int, int | None], Engine] = {}
        keys = []
        for backbone, number in zip(self.backbones, self.request_of):
            frames = self.requests[number].sampling.frames
            # Frames that are seen one by one are of one engine, however many make a clip.
            keys.append((id(backbone), frames if backbone.temporal else None))
            if keys[-1] not in made:
                made[keys[-1]] = make_engine(backbone, self._kind, frames=frames)
        return tuple(made[key] for key in keys)

    @cached_property
    def precisions(self) -> tuple[str, ...]:
        """The precision of each stream's engine.

        It is known beforehand, but for backbones that see frames together.
        """
        known = precision_of(self._kind)
        if self._kind != "auto" or known != "float32":
            return (known,) * len(self.streams)
        return tuple(
            self.engines[i].precision if backbone.temporal else known
            for i, backbone in enumerate(self.backbones)
        )

    @property
    def precision(self) -> str:
        """The precisions of the engines, each once."""
        return ", ".join(dict.fromkeys(self.precisions))

    @property
    def engine(self) -> str:
        """The names of the engines, each once."""
        return ", ".join(dict.fromkeys(engine.name for engine in self.engines))

    @property
    def dim(self) -> int:
        return sum(backbone.dim for backbone in self.backbones)

    def read(
        self,
        path: Path,
        *,
        start: float | None = None,
        end: float | None = None,
        frame: str | None = None,
        region: "Region | None" = None,
        rng: np.random.Generator | None = None,
        only: Sequence[int] | None = None,
    ) -> list[list[Clip]]:
        """Read what the streams look at; safe to call from several threads.

        Args:
            path: a video.
            start: seconds; see `frameflow.video.clip.read_clips` for this and the next three.
            end: seconds.
            frame: the frame at which the clip ends.
            region: shares of the frame.
            rng: randomness for ``random``; every request sees the same draws.
            only: the streams that matter; None: all.

        Returns:
            For each request its clips; none where no stream that matters looks at it.

        Raises:
            VideoError: the video cannot be read.
        """
        needed = {self.request_of[i] for i in (range(len(self.streams)) if only is None else only)}
        state = None if rng is None else rng.bit_generator.state
        found: list[list[Clip]] = []
        for index, request in enumerate(self.requests):
            if index not in needed:
                found.append([])
                continue
            if rng is not None and state is not None:
                rng.bit_generator.state = state
            clips = read_clips(
                path, request, start=start, end=end, frame=frame, region=region, rng=rng
            )
            found.append(clips)
        return found

    def clips_of(self, stream: int, clips: Sequence[Sequence[Clip]]) -> list[Clip]:
        """What one stream looks at, of what `read` gave: one clip for each view."""
        found = list(clips[self.request_of[stream]])
        if found and self.requests[self.request_of[stream]].total_views < self.views:
            return [clip for clip in found for _ in range(self.crops)]
        return found

    def encode(
        self, clips: Sequence[Sequence[Clip]], *, flip: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The features of one sample.

        Args:
            clips: what `read` gave.
            flip: mirror the frames left to right first.

        Returns:
            ``(views, S, dim)`` float32, the streams one after the other, with the precision of
            stored features (float16), and ``(views, S)`` bool masks, see `joined`.
        """
        per_stream = [self.clips_of(i, clips) for i in range(len(self.streams))]
        parts = [
            encode_stream(stream, own, engine, flip=flip)
            for stream, own, engine in zip(self.streams, per_stream, self.engines)
        ]
        masks = [
            [self.mask_of(i, clip) for clip in own] for i, own in enumerate(per_stream)
        ]  # of each stream, each view
        return self.joined(parts, [np.stack(own) for own in masks])

    def joined(
        self, parts: Sequence[np.ndarray], masks: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The features of all streams as one.

        Args:
            parts: of each stream ``(V, S_i, dim_i)`` float16.
            masks: of each stream ``(V, S_i)`` bool.

        Returns:
            ``(V, S, dim)`` float32 and ``(V, S)`` bool: a step counts where it counts for every
            stream. Of streams that choose frames differently all steps count, and features that
            are not there, or do not count, are not a number: so each keeps its own mask.
        """
        if not self.apart:
            return np.concatenate(parts, axis=-1).astype(np.float32), np.logical_and.reduce(masks)
        found = np.full((len(parts[0]), self.steps, self.dim), np.nan, dtype=np.float32)
        begin = 0
        for part, mask in zip(parts, masks):
            end = begin + part.shape[-1]
            found[:, : part.shape[1], begin:end] = np.where(mask[..., None], part, np.nan)
            begin = end
        return found, np.ones(found.shape[:2], dtype=np.bool_)

    def mask_of(self, stream: int, clip: Clip) -> np.ndarray:
        """``(S,)`` bool, which of a clip's features count for one stream.

        Those of its padded frames do not. All features of a video model do. A step counts for
        the recognizer where it counts for every stream.
        """
        if self.backbones[stream].framewise:
            return clip.mask
        return np.ones(self.stream_steps[stream], dtype=np.bool_)


def encode_stream(
    stream: Stream, clips: Sequence[Clip], engine: Engine, *, flip: bool = False
) -> np.ndarray:
    """The features of one stream, as they are stored.

    Args:
        stream: what the engine looks at.
        clips: V clips of T frames.
        engine: of its backbone.
        flip: mirror the frames left to right first.

    Returns:
        ``(V, S, dim)`` float16. Where each frame has its own features, those of frames that the
        mask hides are zero, and a frame shown twice is computed once. A backbone that sees
        frames together sees the hidden ones black.
    """
    if engine.steps is not None:
        return _whole_clips(stream, clips, engine, engine.steps, flip)
    out = np.zeros((len(clips), len(clips[0].mask), engine.dim), dtype=np.float16)
    frames: list[np.ndarray] = []
    places: list[tuple[int, np.ndarray, np.ndarray]] = []

    def compute() -> None:
        if not frames:
            return
        halves = _halves(engine(np.concatenate(frames)))
        begin = 0
        for (view, times, which), part in zip(places, frames):
            out[view, times] = halves[begin + which]
            begin += len(part)
        frames.clear()
        places.clear()

    for view, clip in enumerate(clips):
        times = np.flatnonzero(clip.mask)
        _, firsts, which = np.unique(clip.indices[times], return_index=True, return_inverse=True)
        for part, chosen in _pieces(times[firsts], which, engine.batch):
            frames.append(_images(stream, clip, part, flip))
            places.append((view, times[chosen[0]], chosen[1]))
            if sum(map(len, frames)) >= engine.batch:
                compute()
    compute()
    return out


def _whole_clips(
    stream: Stream, clips: Sequence[Clip], engine: Engine, steps: int, flip: bool
) -> np.ndarray:
    from frameflow.models.streams import stream_images

    out = np.empty((len(clips), steps, engine.dim), dtype=np.float16)
    at_once = max(1, engine.batch // len(clips[0].mask))
    for begin in range(0, len(clips), at_once):
        part = clips[begin : begin + at_once]
        images = np.stack([stream_images(stream, clip, flip=flip) for clip in part])
        out[begin : begin + len(part)] = _halves(engine(images))
    return out


def _halves(features: np.ndarray) -> np.ndarray:
    return np.clip(features, -_LARGEST, _LARGEST).astype(np.float16)


def _pieces(
    firsts: np.ndarray, which: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Cut the distinct frames of a clip into pieces, each with the places it fills."""
    for begin in range(0, len(firsts), size):
        piece = firsts[begin : begin + size]
        shown = np.flatnonzero((which >= begin) & (which < begin + len(piece)))
        yield piece, (shown, which[shown] - begin)


def _images(stream: Stream, clip: Clip, times: np.ndarray, flip: bool) -> np.ndarray:
    from frameflow.models.streams import stream_images

    whole = np.array_equal(times, np.arange(len(clip.frames)))
    return stream_images(stream, clip, None if whole else times, flip=flip)


def interpolation_of(backbone: "Backbone") -> Interpolation:
    """How frames are resized for a backbone: as in its own training, where we can."""
    named = backbone.preprocess.interpolation
    known: Mapping[str, Interpolation] = {name: name for name in get_args(Interpolation)}
    return known.get(named, "bicubic")


def _steps(backbones: "Sequence[Backbone]", steps: Sequence[int], *, apart: bool) -> int:
    if len(set(steps)) > 1 and not apart:
        given = ", ".join(f"{b.name} {count}" for b, count in zip(backbones, steps))
        raise UsageError(
            f"The streams give different numbers of features for a clip ({given}), which cannot "
            f"be joined: take backbones that give as many."
        )
    return max(steps)


def _requests(
    streams: Sequence[Stream], backbones: "Sequence[Backbone]", sampling: Sampling, views: int
) -> tuple[list[ClipRequest], list[int]]:
    """What to read, and which of it each stream looks at."""
    kinds: dict[tuple[object, ...], list[int]] = {}
    for index, (stream, backbone) in enumerate(zip(streams, backbones)):
        seen = (backbone.preprocess.size, stream.fit, interpolation_of(backbone), stream.pace)
        look = (*seen, crops_of(stream), follow_of(stream), stream.sampling or sampling)
        kinds.setdefault(look, []).append(index)
    requests: list[ClipRequest] = []
    request_of = [0] * len(streams)
    for own in kinds.values():
        stream, backbone = streams[own[0]], backbones[own[0]]
        gaps = {streams[i].gap for i in own if streams[i].kind in ("difference", "flow")}
        stacks = {streams[i].gap for i in own if streams[i].kind == "stack"}
        for i in own:
            request_of[i] = len(requests)
        requests.append(
            ClipRequest(
                sampling=stream.sampling or sampling,
                size=backbone.preprocess.size,
                fit=stream.fit,
                crops=crops_of(stream),
                views=views,
                gaps=tuple(sorted(gaps)),
                interpolation=interpolation_of(backbone),
                stacks=tuple(sorted(stacks)),
                pace=stream.pace,
                **({"follow": stream.follow} if stream.fit == "follow" else {}),
            )
        )
    return requests, request_of


def crops_of(stream: Stream) -> int:
    """How many squares of a frame are looked at."""
    return stream.crops if stream.fit == "crops" else 1


def follow_of(stream: Stream) -> float:
    """The side of the square that follows what moves; 0 where none does."""
    return stream.follow if stream.fit == "follow" else 0.0
