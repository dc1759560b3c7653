"""Decoded clips kept on disk, so that epochs after the first read pixels instead of decoding.

A folder holds what one `ClipRequest` reads, in shards that are whole or absent; the key of a
sample is that of its stored features, so moved videos are known again and changed ones are not
mistaken. A shard is a safetensors file: ``frames (rows, views, M, H, W, 3)`` uint8 as `Clip.pack`
gives them, and ``mask``, ``indices`` and ``seconds`` ``(rows, views, T)``. It is mapped into
memory, so the operating system keeps what fits and reads what does not.
"""

import json
import logging
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import numpy as np

from frameflow.features._files import write_failure, write_whole
from frameflow.features._onnx import short_digest
from frameflow.video.clip import Clip, ClipRequest

log = logging.getLogger(__name__)

FORMAT = 1  # to be raised when the same request comes to mean other pixels
SUFFIX = ".safetensors"
_ABANDONED = 3600  # seconds after which an unfinished file belongs to nobody
_ARRAYS = {"frames": np.uint8, "mask": np.bool_, "indices": np.int64, "seconds": np.float64}


class DamagedFrames(ValueError):
    """The file is no whole shard, or its pixels are not those that were written."""


class FrameStore:
    """The clips of one request, by the key of their sample; safe to use from several threads.

    Args:
        root: the folder of all requests.
        request: what is read of a video.
        random: whether its moments are drawn at random, by the sample's key.

    Example:
        >>> store = FrameStore(root, request)  # doctest: +SKIP
        >>> store.write([(key, clips)])  # doctest: +SKIP
        >>> store.read(key, view=0).frames.shape  # doctest: +SKIP
        (16, 224, 224, 3)
    """

    def __init__(self, root: Path, request: ClipRequest, *, random: bool = False) -> None:
        self.request = request
        self._spec = asdict(request) | {
            "sampling": request.sampling.model_dump(mode="json"),
            "crops": request.crops if request.fit == "crops" else 1,
            "follow": request.follow if request.fit == "follow" else 1,
            "random": random,
            "format": FORMAT,
        }
        size = request.size if isinstance(request.size, int) else "x".join(map(str, request.size))
        self.folder = Path(root) / f"{request.images}x{size}-{short_digest(self._spec)}"
        self._where: dict[str, tuple[_Shard, int]] = {}
        self._intact: set[str] = set()
        self._lock = threading.Lock()
        self.refresh()

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    @property
    def sample_bytes(self) -> int:
        """What a sample takes, about."""
        size = self.request.size
        width, height = (size, size) if isinstance(size, int) else size
        return self.request.total_views * self.request.images * width * height * 3

    def refresh(self) -> None:
        """Look for shards that were added, by this process or another."""
        try:
            found = sorted(self.folder.iterdir())
        except OSError:
            return  # nothing was kept yet
        for path in found:
            if path.suffix == ".tmp":
                _clean(path)
            elif path.suffix == SUFFIX:
                self._open(path)

    def write(self, samples: Sequence[tuple[str, Sequence[Clip]]]) -> Path:
        """Keep the clips of some samples, all of them or none.

        Args:
            samples: keys, and for each the request's ``total_views`` clips.

        Raises:
            FrameFlowError: the disk is full or may not be written.
        """
        path = self.folder / f"{time.time_ns():016x}-{uuid4().hex[:8]}{SUFFIX}"
        try:
            self._write_spec()
            write_whole(path, _encoded(samples))
        except OSError as error:
            kept = "What was kept so far can be used."
            raise write_failure(self.folder, error, kept=kept) from error
        self._open(path)
        return path

    def read(self, key: str, view: int) -> Clip:
        """The clip of a sample, equal to what decoding gave.

        Raises:
            KeyError: it is not kept.
            DamagedFrames: its shard was altered, is dropped, and none of its samples is kept
                any more.
        """
        shard, row = self._where[key]
        try:
            if key not in self._intact:  # read through once: the disk may have altered it
                if not shard.intact(row):
                    raise DamagedFrames("its content is not what was written")
                self._intact.add(key)
            packed = np.array(shard.array("frames")[row, view])
            parts = {name: np.array(shard.array(name)[row, view]) for name in list(_ARRAYS)[1:]}
        except (OSError, DamagedFrames) as error:
            self._drop(shard.path, str(error))
            raise DamagedFrames(str(error)) from None
        return Clip.from_packed(packed, self.request.runs, **parts)

    def forget(self, path: Path) -> None:
        """Remove a shard."""
        with self._lock:
            gone = [key for key, (shard, _) in self._where.items() if shard.path == path]
            for key in gone:
                del self._where[key]
                self._intact.discard(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.debug("%s cannot be removed: %s", path, error)

    def _open(self, path: Path) -> None:
        try:
            shard = _Shard(path, self.request)
        except (DamagedFrames, ValueError, KeyError, TypeError) as error:
            self._drop(path, str(error))
            return
        except OSError as error:
            log.debug("%s cannot be read: %s", path, error)
            return
        with self._lock:
            for row, key in enumerate(shard.keys):
                self._where.setdefault(key, (shard, row))

    def _drop(self, path: Path, reason: str) -> None:
        log.warning("Frames that were kept are damaged and decoded again: %s (%s).", path, reason)
        self.forget(path)

    def _write_spec(self) -> None:
        path = self.folder / "spec.json"
        if not path.exists():
            write_whole(path, [json.dumps(self._spec, indent=1).encode() + b"\n"])


class _Shard:
    """A file of clips: its header was read, its arrays are mapped when they are used."""

    def __init__(self, path: Path, request: ClipRequest) -> None:
        self.path = path
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            size = file.seek(0, 2)
            if not 0 < length <= size - 8:
                raise DamagedFrames("it is truncated")
            file.seek(8)
            header = json.loads(file.read(length))
        about = json.loads(header.pop("__metadata__")["frameflow"])
        self.keys: list[str] = about["keys"]
        self._checksums: list[int] = about["checksums"]
        self._places = {
            name: (about["shape"], about["data_offsets"]) for name, about in header.items()
        }
        if size != 8 + length + max(end for _, (_, end) in self._places.values()):
            raise DamagedFrames("it is truncated")
        rows, views, images = self._places["frames"][0][:3]
        if (rows, views, images) != (len(self.keys), request.total_views, request.images):
            raise DamagedFrames("its clips are of another shape")
        self._begin = 8 + length
        self._maps: dict[str, np.ndarray] = {}

    def array(self, name: str) -> np.ndarray:
        """One of the arrays, mapped into memory."""
        if name not in self._maps:
            shape, (begin, _) = self._places[name]
            self._maps[name] = np.memmap(
                self.path, _ARRAYS[name], "r", offset=self._begin + begin, shape=tuple(shape)
            )
        return self._maps[name]

    def intact(self, row: int) -> bool:
        arrays = [self.array(name)[row] for name in _ARRAYS]
        return _checksum(self.keys[row], arrays) == self._checksums[row]


def _encoded(samples: Sequence[tuple[str, Sequence[Clip]]]) -> list[bytes]:
    from safetensors.numpy import save

    clips = [own for _, own in samples]
    arrays = {
        "frames": np.stack([[clip.pack() for clip in own] for own in clips]),
        "mask": np.stack([[clip.mask for clip in own] for own in clips]),
        "indices": np.stack([[clip.indices for clip in own] for own in clips]).astype(np.int64),
        "seconds": np.stack([[clip.seconds for clip in own] for own in clips]).astype(np.float64),
    }
    keys = [key for key, _ in samples]
    checksums = [
        _checksum(key, [arrays[name][row] for name in _ARRAYS]) for row, key in enumerate(keys)
    ]
    about = {"keys": keys, "checksums": checksums}
    return [save(arrays, metadata={"frameflow": json.dumps(about)})]


def _checksum(key: str, arrays: Iterable[np.ndarray]) -> int:
    checksum = zlib.crc32(key.encode())
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return checksum


def _clean(path: Path) -> None:
    """Remove what a killed process left unfinished, but not what another one is writing."""
    try:
        if time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
    except OSError:
        pass
