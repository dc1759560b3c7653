"""The file that holds the features of some samples: valid as a whole, or dropped.

    magic (8) | header bytes (4) | CRC-32 of the header (4) | header, JSON | zeros to 64
    features (rows, frames, dim) float16 | mask (rows, frames) bool

The header says the shape, the keys and the CRC-32 of what follows it, so a truncated or altered
file is found out.
"""

import json
import os
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from frameflow.features._files import write_whole

MAGIC = b"FFSHARD1"
SUFFIX = ".features"
_FIXED = struct.Struct("<8sII")
_ALIGN = 64
_BLOCK = 1 << 20
_GUESS = 16 << 10  # bytes: most headers are shorter, and are read at once


class DamagedShard(ValueError):
    """The file is no whole shard."""


@dataclass(frozen=True)
class Shard:
    """A shard on disk: its header was read, its arrays are mapped when they are used."""

    path: Path
    keys: tuple[str, ...]
    shape: tuple[int, int, int]
    offset: int
    checksum: int

    @cached_property
    def features(self) -> np.ndarray:
        """``(rows, frames, dim)`` float16, mapped into memory."""
        return np.memmap(self.path, np.float16, "r", offset=self.offset, shape=self.shape)

    @cached_property
    def mask(self) -> np.ndarray:
        """``(rows, frames)`` bool."""
        rows, frames, dim = self.shape
        offset = self.offset + 2 * rows * frames * dim
        return np.fromfile(self.path, np.bool_, rows * frames, offset=offset).reshape(rows, frames)

    def forget(self) -> None:
        """The file was replaced: map it anew."""
        for name in ("features", "mask"):
            self.__dict__.pop(name, None)

    def intact(self) -> bool:
        """Whether the arrays are those that were written; reads the whole file."""
        checksum = 0
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            while block := file.read(_BLOCK):
                checksum = zlib.crc32(block, checksum)
        return checksum == self.checksum


def write_shard(path: Path, keys: Sequence[str], features: np.ndarray, mask: np.ndarray) -> None:
    """Write a shard, whole or not at all.

    Args:
        path: a name that no other shard has.
        keys: one for each row.
        features: ``(rows, frames, dim)``; stored as float16.
        mask: ``(rows, frames)`` bool.

    Raises:
        OSError: it could not be written.
    """
    values = np.ascontiguousarray(features, dtype=np.float16)
    flags = np.ascontiguousarray(mask, dtype=np.bool_)
    arrays = [values.reshape(-1).data.cast("B"), flags.reshape(-1).data.cast("B")]
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(array, checksum)
    header = json.dumps({"keys": list(keys), "shape": values.shape, "checksum": checksum}).encode()
    fixed = _FIXED.pack(MAGIC, len(header), zlib.crc32(header))
    padding = b"\0" * (-(len(fixed) + len(header)) % _ALIGN)
    write_whole(path, [fixed, header, padding, *arrays])


def open_shard(path: Path) -> Shard:
    """Read the header of a shard and check its length.

    Raises:
        DamagedShard: it is truncated or altered.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:

        def read(begin: int, end: int) -> bytes:
            file.seek(begin)
            return file.read(end - begin)

        return parse_shard(path, os.fstat(file.fileno()).st_size, read)


def parse_shard(path: Path, size: int, read: Callable[[int, int], bytes]) -> Shard:
    """A shard from its header.

    Args:
        path: where the shard is, or will be when its arrays are used.
        size: bytes of the file.
        read: gives the bytes from one place to another.

    Raises:
        DamagedShard: it is truncated or altered.
    """
    first = read(0, min(size, _GUESS))
    fixed = first[: _FIXED.size]
    if len(fixed) < _FIXED.size:
        raise DamagedShard("it is truncated")
    magic, length, checksum = _FIXED.unpack(fixed)
    end = _FIXED.size + length
    header = b""
    if magic == MAGIC and end <= size:
        header = first[_FIXED.size : end]
        header += read(len(first), end) if len(first) < end else b""
    if magic != MAGIC or zlib.crc32(header) != checksum:
        raise DamagedShard("its header is damaged")
    content = json.loads(header)
    rows, frames, dim = content["shape"]
    offset = -(-(_FIXED.size + length) // _ALIGN) * _ALIGN
    if size != offset + rows * frames * (2 * dim + 1):
        raise DamagedShard("it is truncated")
    keys = tuple(map(sys.intern, content["keys"]))  # the same samples stand in many folders
    return Shard(path, keys, (rows, frames, dim), offset, content["checksum"])
