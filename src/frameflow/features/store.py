"""The feature store: what a frozen backbone says of each sample, kept on disk.

One folder holds the features of one `FeatureSpec`, in shards that are whole or absent. Several
processes may write to one folder at once: shards have names of their own, and a sample that two of
them stored is read once.
"""

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from frameflow._places import url_of
from frameflow.config import Fit, Strategy, StreamKind
from frameflow.features._elsewhere import Elsewhere
from frameflow.features._files import write_failure, write_whole
from frameflow.features._onnx import short_digest
from frameflow.features._shard import SUFFIX, DamagedShard, Shard, open_shard, write_shard

log = logging.getLogger(__name__)

FORMAT = 1  # to be raised when the same choices come to mean other features
_ABANDONED = 3600  # seconds after which an unfinished file belongs to nobody


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Everything that features depend on, apart from the sample: two specs, two folders.

    Attributes:
        backbone: its timm name.
        weights: the digest of its weights.
        size, mean, std, interpolation: preprocessing.
        fit, crops: how a frame is brought to that size; ``crops`` is 1 unless ``fit="crops"``.
        follow: the side of a square that follows what moves; 0 where none does.
        kind, gap, gain: the stream; 0 where they do not matter to its kind.
        strategy, frames, stride, spacing, pace: sampling.
        steps: S, features of a clip, where they are not as many as its frames.
        view, views: which clip of how many (moments times crops).
        random: whether the moments of the views were drawn at random, by the sample's key.
        flip: whether frames are mirrored left to right.
        precision: the engine's.
        layer: what is stored of the backbone, see `frameflow.models.backbones.Backbone.layer`.
    """

    backbone: str
    weights: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    fit: Fit
    strategy: Strategy
    frames: int
    stride: int = 1
    spacing: float | None = None
    crops: int = 1
    kind: StreamKind = "rgb"
    gap: int = 0
    gain: float = 0.0
    view: int = 0
    views: int = 1
    random: bool = False
    flip: bool = False
    precision: str = "float32"
    layer: str = "pooled"
    pace: int = 1
    follow: float = 0.0
    steps: int | None = None
    format: int = FORMAT

    @property
    def length(self) -> int:
        """Features of a clip."""
        return self.frames if self.steps is None else self.steps

    def digest(self) -> str:
        """16 hexadecimal digits over all of it."""
        return short_digest(asdict(self))

    @property
    def folder(self) -> str:
        """The name of its folder: readable at the front, unique by the digest."""
        return f"{self.backbone}-{self.kind}-{self.digest()}"


class FeatureStore:
    """The stored features of one spec.

    Args:
        root: the folder of all specs; the place of a URL is that of a store elsewhere.
        spec: which features.

    Example:
        >>> store = FeatureStore(root, spec)  # doctest: +SKIP
        >>> store.write_shard(["key"], np.zeros((1, 16, 1280)), np.ones((1, 16), bool))
        ... # doctest: +SKIP
        >>> store.read(["key"])[0].shape  # doctest: +SKIP
        (1, 16, 1280)
    """

    def __init__(self, root: Path, spec: FeatureSpec) -> None:
        self.spec = spec
        root = Path(root)
        self._elsewhere = Elsewhere(root, spec.folder) if url_of(root) else None
        self.folder = self._elsewhere.twin if self._elsewhere else root / spec.folder
        self._has_spec = False  # elsewhere
        self._away: set[str] = set()  # shards that are known by their header, and not here
        self._shards: list[Shard] = []
        self._known: set[str] = set()
        self._gone: set[int] = set()
        self._where: dict[str, tuple[int, int]] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._where)

    def has(self, key: str) -> bool:
        return key in self._where

    def refresh(self) -> None:
        """Look for shards that were added, by this process or another.

        Raises:
            RemoteError: the store lies elsewhere and cannot be reached.
        """
        try:
            found = sorted(p for p in self.folder.iterdir() if p.suffix in {SUFFIX, ".tmp"})
        except OSError:
            found = []  # nothing was stored yet
        for path in found:
            if path.name in self._known:
                continue
            if path.suffix == ".tmp":
                _clean(path)
                continue
            try:
                self._add(open_shard(path))
            except (DamagedShard, ValueError, KeyError) as error:
                if self._elsewhere:
                    _remove(path)  # only this copy is known to be damaged
                else:
                    self._drop(path, str(error))
            except OSError as error:
                log.debug("%s cannot be read: %s", path, error)
        if self._elsewhere:
            self._refresh_from(self._elsewhere)

    def _refresh_from(self, elsewhere: Elsewhere) -> None:
        there = elsewhere.names()
        self._has_spec = "spec.json" in there
        elsewhere.send_again(there)
        news = [(n, size) for n, size in sorted(there.items()) if n.endswith(SUFFIX)]
        for name, shard in elsewhere.headers((n, s) for n, s in news if n not in self._known):
            try:
                if isinstance(shard, Exception):
                    raise shard
                self._away.add(name)
                self._add(shard)
            except FileNotFoundError:
                pass  # deleted meanwhile
            except (DamagedShard, ValueError, KeyError) as error:
                self._drop(self.folder / name, str(error))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys, each once, that are not stored or whose shard is damaged.

        Shards that hold any of the keys are read through once per process, and fetched before
        where they lie elsewhere; a damaged one is dropped with a warning.

        Raises:
            RemoteError: one cannot be fetched.
        """
        wanted = list(dict.fromkeys(keys))
        checked: set[int] = set()
        # A key of a dropped shard may turn up in another one, which is then checked too.
        while used := {self._where[k][0] for k in wanted if k in self._where} - checked:
            checked |= used
            self._fetch(used)
            if damaged := [i for i in sorted(used) if not self._is_whole(self._shards[i])]:
                for index in damaged:
                    self._drop(self._shards[index].path, "its content is not what was written")
                self._forget(damaged)
        return [key for key in wanted if key not in self._where]

    def write_shard(self, keys: Sequence[str], features: np.ndarray, mask: np.ndarray) -> None:
        """Store features, all of them or none.

        Args:
            keys: one for each row.
            features: ``(N, T, D)``; stored as float16.
            mask: ``(N, T)`` bool.

        Raises:
            FrameFlowError: the disk is full or may not be written.
            RemoteError: the store lies elsewhere and cannot be written; the features are kept here
                and sent by the next job.
        """
        path = self.folder / f"{time.time_ns():016x}-{uuid4().hex[:8]}{SUFFIX}"
        try:
            self._write_spec()
            if self._elsewhere:
                self._elsewhere.announce(path.name)
            write_shard(path, keys, features, mask)
        except OSError as error:
            kept = "What was stored so far is kept."
            raise write_failure(self.folder, error, kept=kept) from error
        self._add(open_shard(path))
        if self._elsewhere:
            self._elsewhere.send(path.name)

    def read(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """``(N, T, D)`` float16 features and ``(N, T)`` bool masks, in the order of the keys.

        Raises:
            KeyError: one of them is not stored.
        """
        return self.gather(self.locate(keys))

    def locate(self, keys: Sequence[str]) -> np.ndarray:
        """``(N, 2)`` int32: the shard and the row of each key, for `gather`.

        Raises:
            KeyError: one of them is not stored.
            RemoteError: a shard lies elsewhere and cannot be fetched.
        """
        places = np.array([self._where[key] for key in keys], dtype=np.int32).reshape(-1, 2)
        self._fetch(np.unique(places[:, 0]).tolist())
        return places

    def gather(
        self, places: np.ndarray, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, from places; only the rows asked for are read from disk.

        Args:
            places: ``(N, 2)`` of `locate`.
            out: ``(N, T, D)`` float16 to be filled.
        """
        if not len(places) and out is None:
            return np.empty((0, self.spec.length, 0), np.float16), np.empty((0, 0), np.bool_)
        shards, frames = self._shards, self.spec.length
        if out is None:
            out = np.empty((len(places), frames, shards[places[0, 0]].shape[2]), np.float16)
        mask = np.empty((len(places), frames), np.bool_)
        for i, (shard, row) in enumerate(places.tolist()):
            out[i] = shards[shard].features[row]
            mask[i] = shards[shard].mask[row]
        return out, mask

    def _is_whole(self, shard: Shard) -> bool:
        """Whether its content is what was written; a damaged copy is fetched again first."""
        if _verified(shard):
            return True
        if self._elsewhere is None:
            return False
        self._elsewhere.fetch(shard.path.name)
        shard.forget()
        return _verified(shard)

    def _fetch(self, indices: Iterable[int]) -> None:
        """Have those shards here that are known by their headers only."""
        names = {self._shards[i].path.name for i in indices} & self._away
        if names and self._elsewhere:
            log.info("Fetching %d files of stored features.", len(names))
            self._elsewhere.fetch_all(sorted(names))
            self._away -= names

    def _add(self, shard: Shard) -> None:
        if shard.shape[1] != self.spec.length:
            raise DamagedShard("its clips have another length")
        self._known.add(shard.path.name)
        self._shards.append(shard)
        index = len(self._shards) - 1
        for row, key in enumerate(shard.keys):
            self._where.setdefault(key, (index, row))

    def _forget(self, indices: Iterable[int]) -> None:
        """No key is found in these shards any more, but perhaps in another that holds it too."""
        self._gone.update(indices)
        self._where = {}
        for other, shard in enumerate(self._shards):
            if other not in self._gone:
                for row, key in enumerate(shard.keys):
                    self._where.setdefault(key, (other, row))

    def _drop(self, path: Path, reason: str) -> None:
        name = f"{self._elsewhere.url}/{path.name}" if self._elsewhere else path
        log.warning("Stored features were damaged and are computed again: %s (%s).", name, reason)
        self._known.add(path.name)
        if self._elsewhere:
            self._elsewhere.delete(path.name)
        _remove(path)

    def _write_spec(self) -> None:
        path = self.folder / "spec.json"
        if not path.exists():
            write_whole(path, [json.dumps(asdict(self.spec), indent=1).encode() + b"\n"])
        if self._elsewhere and not self._has_spec:
            self._elsewhere.send(path.name)
            self._has_spec = True


_intact: dict[Path, tuple[int, int]] = {}  # shards read through by this process: size and time


def _verified(shard: Shard) -> bool:
    try:
        now = shard.path.stat()
        stamp = now.st_size, now.st_mtime_ns
        if _intact.get(shard.path) != stamp:
            if not shard.intact():
                return False
            _intact[shard.path] = stamp
    except OSError:  # it was removed meanwhile
        return False
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.debug("%s cannot be removed: %s", path, error)


def _clean(path: Path) -> None:
    """Remove what a killed process left unfinished, but not what another one is writing."""
    try:
        if time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
    except OSError:
        pass
