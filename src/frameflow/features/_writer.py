"""Where extraction puts what it computes: one folder for each stream and view."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from frameflow.features._onnx import weights_digest
from frameflow.features.encode import follow_of
from frameflow.features.store import FeatureSpec, FeatureStore

if TYPE_CHECKING:
    from frameflow.features.encode import ClipEncoder

# A shard is what a kill may lose, so a long job has larger ones: about 1/64 of it.
_FEWEST, _MOST = 16, 256
_HELD_BYTES = 128 << 20  # computed features that wait in memory to be written, all folders


@dataclass(frozen=True, slots=True)
class Target:
    """The folder of one stream in one view."""

    store: FeatureStore
    stream: int
    view: int
    flip: bool
    name: str


def targets_of(encoder: "ClipEncoder", flips: Sequence[bool], root: Path) -> list[Target]:
    """All folders of an extraction: flips, views, and innermost streams."""
    digests = [weights_digest(backbone) for backbone in encoder.backbones]
    stores: dict[FeatureSpec, FeatureStore] = {}
    targets = []
    for flip in flips:
        for view, name in enumerate(_names(encoder, flip)):
            for stream in range(len(encoder.streams)):
                spec = _spec(encoder, stream, view, flip, digests[stream])
                if spec not in stores:
                    stores[spec] = FeatureStore(root, spec)
                targets.append(Target(stores[spec], stream, view, flip, name))
    return targets


class Writer:
    """Collects features and writes them in shards; what is left is written at the end.

    Also on an interrupt or an error: what was computed is not lost.
    """

    def __init__(self, targets: Sequence[Target], *, jobs: int, rows: int | None = None) -> None:
        self._targets = targets
        self._rows = rows or min(_MOST, max(_FEWEST, jobs // 64))
        self._held: list[list[tuple[str, np.ndarray, np.ndarray]]] = [[] for _ in targets]

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self._flush()
        except Exception:
            if error is None:
                raise

    def add(self, target: int, key: str, features: np.ndarray, mask: np.ndarray) -> None:
        """Hand over one clip, ``(T, D)`` and ``(T,)``."""
        self._held[target].append((key, features, mask))

    def flush_full(self) -> None:
        """Write if there is a shard's worth."""
        if not any(self._held):
            return
        held = sum(sum(f.nbytes for _, f, _ in rows) for rows in self._held)
        if max(map(len, self._held)) >= self._rows or held >= _HELD_BYTES:
            self._flush()

    def _flush(self) -> None:
        for target, rows in zip(self._targets, self._held):
            if rows:
                keys, features, masks = zip(*rows)
                rows.clear()
                target.store.write_shard(keys, np.stack(features), np.stack(masks))


def _names(encoder: "ClipEncoder", flip: bool) -> list[str]:
    names = [
        f"view {moment + 1}" + (f" crop {crop + 1}" if encoder.crops > 1 else "")
        for moment in range(encoder.moments)
        for crop in range(encoder.crops)
    ]
    return [f"{name} flipped" for name in names] if flip else names


def _spec(encoder: "ClipEncoder", stream: int, view: int, flip: bool, weights: str) -> FeatureSpec:
    choice, backbone = encoder.streams[stream], encoder.backbones[stream]
    request = encoder.requests[encoder.request_of[stream]]
    moves = choice.kind in ("difference", "flow")
    sampling, steps = request.sampling, encoder.stream_steps[stream]
    if request.total_views < encoder.views:  # one frame beside several crops of another stream
        view //= encoder.crops
    return FeatureSpec(
        backbone=backbone.name,
        weights=weights,
        size=backbone.preprocess.size,
        mean=backbone.preprocess.mean,
        std=backbone.preprocess.std,
        interpolation=request.interpolation,
        fit=choice.fit,
        crops=request.crops,
        kind=choice.kind,
        gap=choice.gap if moves or choice.kind == "stack" else 0,
        gain=choice.gain if moves else 0.0,
        strategy=sampling.strategy,
        frames=sampling.frames,
        stride=sampling.stride,
        spacing=sampling.spacing,
        view=view,
        views=request.total_views,
        random=encoder.random,
        flip=flip,
        precision=encoder.precisions[stream],
        layer=backbone.layer,
        pace=choice.pace,
        follow=follow_of(choice),
        steps=None if steps == sampling.frames else steps,
    )
