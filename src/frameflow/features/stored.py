"""The stored features of a manifest, handed out in batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frameflow.data.manifest import Sample
from frameflow.features.store import FeatureStore

_AT_ONCE = 1024  # samples gathered at once by `Features.array`


@dataclass(frozen=True, slots=True)
class BadVideo:
    """A sample that was set aside.

    Attributes:
        video: the path as the manifest writes it.
        row: its row there, 0 where it came from no file.
        reason: a short phrase.
    """

    video: str
    row: int
    reason: str

    def __str__(self) -> str:
        return f"{self.video}{f' (row {self.row})' if self.row else ''} {self.reason}"


class Features:
    """Features of a manifest's readable samples, all streams concatenated along D.

    They stay on disk, mapped into memory; a batch reads the rows it needs.

    Args:
        samples: the readable ones, in manifest order.
        keys: of each of them in the store.
        stores: for each view its stores, one for each stream.
        views: the names of the views.
        bad: the samples that were set aside.
        dims: length of the features of a frame, of each stream.
        frames: features of a clip: as many as its frames, or what a video model gives.
        precision: of the engine that computed them.
        apart: the streams choose frames differently, see `ClipEncoder.joined`.

    Attributes:
        samples, views, bad, frames, precision: as given.
        dim: length of the features of a frame, all streams together; ``dims`` of each stream.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        keys: Sequence[str],
        stores: Sequence[Sequence[FeatureStore]],
        *,
        views: Sequence[str],
        bad: Sequence[BadVideo],
        dims: Sequence[int],
        frames: int,
        precision: str = "float32",
        apart: bool = False,
    ) -> None:
        self.samples = list(samples)
        self.views = list(views)
        self.bad = list(bad)
        self.dim = sum(dims)
        self.frames = frames
        self.precision = precision
        self.dims = list(dims)
        self._apart = apart
        self._stores = stores
        self._places = [[store.locate(keys) for store in streams] for streams in stores]

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return (
            f"Features({len(self)} samples, {len(self.views)} views, "
            f"{self.frames} x {self.dim}, {len(self.bad)} bad)"
        )

    def batch(self, rows: np.ndarray, view: int | np.ndarray = 0) -> tuple[np.ndarray, np.ndarray]:
        """The features of some samples.

        Args:
            rows: ``(n,)`` indices into ``samples``, in any order.
            view: of all of them, or ``(n,)`` one for each.

        Returns:
            ``(n, T, D)`` float32 features and ``(n, T)`` bool masks, False for frames that are
            padded for any stream; of streams that choose frames differently as
            `ClipEncoder.joined` has them.
        """
        import torch

        rows = np.asarray(rows)
        views = np.broadcast_to(np.asarray(view), rows.shape)
        halves = np.empty((len(rows), self.frames, self.dim), dtype=np.float16)
        mask = np.empty((len(rows), self.frames), dtype=np.bool_)
        for one in np.unique(views):
            which = np.flatnonzero(views == one)
            halves[which], mask[which] = self._gather(rows[which], int(one))
        # PyTorch widens half precision many times faster than NumPy does.
        return torch.from_numpy(halves).float().numpy(), mask

    def array(self, view: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """All samples in one view: ``(N, T, D)`` float32 and ``(N, T)`` bool, held in memory."""
        features = np.empty((len(self), self.frames, self.dim), dtype=np.float32)
        mask = np.empty((len(self), self.frames), dtype=np.bool_)
        for begin in range(0, len(self), _AT_ONCE):
            rows = np.arange(begin, min(begin + _AT_ONCE, len(self)))
            features[rows], mask[rows] = self.batch(rows, view)
        return features, mask

    def _gather(self, rows: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        halves = np.empty((len(rows), self.frames, self.dim), dtype=np.float16)
        mask = np.ones((len(rows), self.frames), dtype=np.bool_)
        begin = 0
        streams = zip(self._stores[view], self._places[view], self.dims, strict=True)
        for store, places, dim in streams:
            part = halves[:, : store.spec.length, begin : begin + dim]
            _, own = store.gather(places[rows], part)
            begin += dim
            if self._apart:
                part[~own] = np.nan
                halves[:, store.spec.length :, begin - dim : begin] = np.nan
            else:
                mask &= own
        return halves, mask
