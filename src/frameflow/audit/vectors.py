"""One vector per clip, short enough to compare all clips of a data set with one another."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow.config import Recipe
from frameflow.data.manifest import Manifest
from frameflow.features.engines import EngineKind
from frameflow.features.extract import BadVideo, Features, extract

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone

log = logging.getLogger(__name__)

_CHUNK = 64
_EXACT = 512e6  # bytes of summaries up to which nothing is lost
_HASHED = 4096
_KEPT = 1024


@dataclass(frozen=True)
class ClipVectors:
    """What each readable clip looks like and does, as one vector.

    Attributes:
        rows: ``(N,)`` index of each clip into the manifest, ascending.
        values: ``(N, R)`` float32, centred; the axes are principal, the longest first.
        bad: the samples that cannot be read.
        features: what they were made of.
    """

    rows: np.ndarray
    values: np.ndarray
    bad: Sequence[BadVideo]
    features: Features

    def __len__(self) -> int:
        return len(self.rows)


def clip_vectors(
    manifest: Manifest,
    recipe: Recipe,
    *,
    engine: EngineKind = "auto",
    backbones: "Sequence[Backbone] | None" = None,
) -> ClipVectors:
    """The summaries of a linear head (mean, parts less the mean) over the recipe's features.

    Distances and linear classifiers are those of the summaries themselves for as long as these
    take less than 512 MB. Above, they are hashed to 4,096 numbers (Weinberger et al., *Feature
    hashing for large scale multitask learning*, ICML 2009), of which the 1,024 principal axes are
    kept.

    Args:
        manifest: labels do not matter; clips that cannot be read are left out.
        recipe: says streams and sampling; its head makes the summaries if it is a ``statistics``
            head, else the one of ``few-clips`` does.
        engine: see `frameflow.features.engines.make_engine`.
        backbones: of a trained recognizer; built from the recipe where None.

    Raises:
        FrameFlowError: no clip can be read.
    """
    features = extract(manifest, recipe, engine=engine, backbones=backbones, views=1, max_bad=1.0)
    readable = iter(features.samples)
    rows, wanted = [], next(readable, None)
    for index, sample in enumerate(manifest):
        if sample is wanted:
            rows.append(index)
            wanted = next(readable, None)
    head = _head(recipe, features)
    values = principal(list(_summaries(head, features)))
    return ClipVectors(np.array(rows, dtype=np.int64), values, features.bad, features)


def principal(chunks: Sequence[np.ndarray]) -> np.ndarray:
    """Rows in chunks, turned to their principal axes: centred ``(N, R)`` float32.

    The sign of an axis is such that its largest number is positive, so the same rows give the
    same numbers.
    """
    rows = np.concatenate(chunks).astype(np.float32, copy=False)
    rows -= rows.mean(axis=0)
    if len(rows) <= rows.shape[1]:
        sizes, turned = np.linalg.eigh((rows @ rows.T).astype(np.float64))
        lengths = np.sqrt(np.maximum(sizes, 0.0))
        found = turned * lengths
    else:
        sizes, axes = np.linalg.eigh((rows.T @ rows).astype(np.float64))
        lengths = np.sqrt(np.maximum(sizes, 0.0))
        found = rows @ axes
    kept = np.flatnonzero(lengths > 1e-4 * max(float(lengths.max()), 1e-12))[::-1][:_KEPT]
    if not len(kept):  # all clips are alike
        return np.zeros((len(rows), 1), dtype=np.float32)
    found = found[:, kept]
    largest = np.abs(found).argmax(axis=0)
    signs = np.sign(found[largest, np.arange(found.shape[1])])
    return np.ascontiguousarray(found * signs, dtype=np.float32)


def _head(recipe: Recipe, features: Features) -> Any:
    from frameflow.models.heads import build_head

    options: dict[str, Any] = {"segments": 4, "spread": False, "centre": True}
    if recipe.head.name == "statistics":
        options = dict(recipe.head.options)
    head = build_head(
        "statistics",
        dim=features.dim,
        dims=features.dims,
        frames=features.frames,
        classes=1,
        **options,
    )
    head.eval()
    head.prepare(_batches(features))
    return head


def _batches(features: Features) -> Iterator[tuple[Any, Any]]:
    import torch

    for start in range(0, len(features), _CHUNK):
        values, mask = features.batch(np.arange(start, min(start + _CHUNK, len(features))))
        yield torch.from_numpy(values), torch.from_numpy(mask)


def _summaries(head: Any, features: Features) -> Iterator[np.ndarray]:
    import torch

    sketch = None
    for values, mask in _batches(features):
        with torch.no_grad():
            found = head.summary(values, mask).numpy()
        if 4 * found.shape[1] * len(features) > _EXACT and found.shape[1] > _HASHED:
            sketch = _sketch(found.shape[1]) if sketch is None else sketch
            found = found @ sketch
        yield found


def _sketch(width: int) -> Any:
    """A sparse ``(width, 4096)`` matrix with one random sign in each row."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    signs = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), width)
    columns = rng.integers(0, _HASHED, width)
    return csr_array((signs, (np.arange(width), columns)), shape=(width, _HASHED))
