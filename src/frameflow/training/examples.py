"""What the training loop learns from: clips with a target each, handed out in batches."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

MEMORY = 2 << 30  # bytes of features that are held in memory; more are read from disk per batch
_CHUNK = 256


class Batch(NamedTuple):
    """What a step learns from.

    Attributes:
        inputs: one tensor ``(B, ...)``, or a list with one for each stream.
        mask: ``(B, T)`` bool, False where a frame is padding.
        targets: ``(B,)`` int64 classes; or ``(B, K)`` float shares of the classes: clips that
            were mixed, or several labels a clip.
        taught: what a teacher says of them, see `frameflow.training.distill`; None: there is none.
    """

    inputs: torch.Tensor | list[torch.Tensor]
    mask: torch.Tensor
    targets: torch.Tensor
    taught: torch.Tensor | None = None

    def on(self, device: torch.device) -> "Batch":
        """On a device. Half precision is how features are stored; they are learned in float32."""
        inputs: torch.Tensor | list[torch.Tensor]
        if isinstance(self.inputs, list):  # images stay uint8
            inputs = [images.to(device) for images in self.inputs]
        else:
            inputs = self.inputs.to(device).float()
        taught = None if self.taught is None else self.taught.to(device)
        return Batch(inputs, self.mask.to(device), self.targets.to(device), taught)

    def part(self, part: slice) -> "Batch":
        """Some of the samples."""
        inputs = self.inputs
        own = [one[part] for one in inputs] if isinstance(inputs, list) else inputs[part]
        taught = None if self.taught is None else self.taught[part]
        return Batch(own, self.mask[part], self.targets[part], taught)


class Examples(Protocol):
    """What `frameflow.training.loop.fit` asks of data.

    Three further attributes are used where they are there: ``workers``, the number of threads that
    make batches ahead (else none does); ``names(rows) -> list[str]``, which names examples in
    messages; and ``part(rows, rng, part) -> Batch``, equal to ``batch(rows, rng).part(part)``,
    where a part takes less time than the whole.

    Attributes:
        targets: ``(N,)`` int64, the class of each example; or ``(N, K)`` float, 1 for each label
            it has.
    """

    targets: np.ndarray

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        """Some examples; ``rng`` draws augmentation, None means none."""
        ...


class FeatureSource(Protocol):
    """The part of `frameflow.features.extract.Features` that training reads."""

    @property
    def samples(self) -> Sequence[Any]: ...
    @property
    def views(self) -> Sequence[str]: ...
    @property
    def frames(self) -> int: ...
    @property
    def dim(self) -> int: ...
    def batch(self, rows: np.ndarray, view: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class ArrayFeatures:
    """Features in memory.

    Args:
        features: ``(N, T, D)``, or ``(V, N, T, D)`` with several views; any float type.
        mask: ``(N, T)`` or ``(V, N, T)`` bool, False where a frame is padding; None: none is.
        samples: what they are of; None: the numbers from 0.

    Example:
        >>> ArrayFeatures(np.zeros((5, 16, 8), np.float16)).batch(np.array([4, 0]), 0)[0].shape
        (2, 16, 8)
    """

    def __init__(
        self,
        features: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        samples: Sequence[Any] | None = None,
    ) -> None:
        self.features = features if features.ndim == 4 else features[None]
        if mask is None:
            mask = np.ones(self.features.shape[:3], dtype=bool)
        self.mask = mask if mask.ndim == 3 else mask[None]
        if self.mask.shape != self.features.shape[:3]:
            raise ValueError(
                f"mask {self.mask.shape} must be (views, samples, frames) of features, "
                f"{self.features.shape[:3]}"
            )
        self.views: Sequence[str] = [f"view{i}" for i in range(len(self.features))]
        self.samples = range(self.features.shape[1]) if samples is None else samples
        self.frames, self.dim = self.features.shape[2:]

    def batch(self, rows: np.ndarray, view: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(n, T, D)`` in the stored type and ``(n, T)`` of some rows, in one view or one each."""
        return self.features[view, rows], self.mask[view, rows]


def in_memory(features: FeatureSource, *, limit: int = MEMORY) -> FeatureSource:
    """The same features in memory as float16 (as they are stored), where they take < ``limit``."""
    views, samples = len(features.views), len(features.samples)
    shape = (views, samples, features.frames, features.dim)
    if isinstance(features, ArrayFeatures) or 2 * int(np.prod(shape)) > limit:
        return features
    held, mask = np.empty(shape, dtype=np.float16), np.empty(shape[:3], dtype=bool)
    for view in range(views):
        for start in range(0, samples, _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, samples))
            held[view, rows], mask[view, rows] = features.batch(rows, view)
    return ArrayFeatures(held, mask, samples=features.samples)


class FeatureExamples:
    """Stored features as examples.

    In training one view of each sample is drawn at random. Where every view counts (validation,
    test), each is an example of its own, sample by sample: `view_means` puts them together.

    Args:
        features: of a whole manifest; call `in_memory` on it first, where it is used often.
        targets: ``(N,)`` the class of each of ``rows``, or ``(N, K)`` 1 for each label it has.
        rows: which samples of ``features``; None: all.
        every_view: each view is an example.

    Attributes:
        taught: ``(N, ...)`` float32, what a teacher says of each example; None: there is none.
    """

    taught: np.ndarray | None = None

    def __init__(
        self,
        features: FeatureSource,
        targets: np.ndarray | Sequence[int],
        *,
        rows: np.ndarray | None = None,
        every_view: bool = False,
    ) -> None:
        targets = np.asarray(targets)
        targets = targets.astype(np.float32 if targets.ndim == 2 else np.int64)
        rows = np.arange(len(features.samples)) if rows is None else np.asarray(rows)
        if len(targets) != len(rows):
            raise ValueError(f"targets ({len(targets)}) must be one for each of {len(rows)} rows")
        self.features = features
        self.count = len(features.views)
        views = np.zeros_like(rows)
        if every_view:
            views = np.tile(np.arange(self.count), len(rows))
            rows, targets = np.repeat(rows, self.count), np.repeat(targets, self.count, axis=0)
        self.rows, self.views, self.targets = rows, views, targets

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        """``(n, T, D)`` features, ``(n, T)`` bool masks, and targets."""
        features, mask = self._stored(rows, rng)
        return Batch(
            torch.from_numpy(features),
            torch.from_numpy(mask),
            torch.from_numpy(self.targets[rows]),
            None if self.taught is None else torch.from_numpy(self.taught[rows]),
        )

    def parts(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All examples once, a few hundred at a time: float32 features and masks."""
        for start in range(0, len(self), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(self)))
            features, mask = self._stored(rows, None)
            yield torch.from_numpy(features).float(), torch.from_numpy(mask)

    def names(self, rows: np.ndarray) -> list[str]:
        """What examples are of, for messages."""
        samples = [self.features.samples[row] for row in self.rows[rows]]
        return [str(getattr(sample, "video", sample)) for sample in samples]

    def _stored(
        self, rows: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray]:
        drawn = self.views[rows] if rng is None else rng.integers(self.count, size=len(rows))
        return self.features.batch(self.rows[rows], drawn)


def view_means(values: np.ndarray, views: int) -> np.ndarray:
    """``(N * views, K)`` of examples with ``every_view`` to ``(N, K)``: the mean over views."""
    return values.reshape(-1, views, *values.shape[1:]).mean(axis=1)
