"""Messages between the server and its worker processes.

What comes out of a worker is numbers and text, never pickled objects: a worker that a file took
over cannot make the server run code. What goes into one is pickled, as the server is trusted.

A message is the lengths of its two parts, a header in JSON, and the bytes of its arrays.
"""

import json
import pickle
import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from frameflow.video.clip import Clip
from frameflow.video.probe import VideoInfo

if TYPE_CHECKING:
    from frameflow.inference.timeline.shots import Shot

_LENGTHS = struct.Struct("<IQ")
_ALIGN = 64  # bytes
_HEADER = 16 << 20  # bytes: a longer one is no message of ours
_TYPES = frozenset({"|u1", "|b1", "<i8", "<f8", "<f4"})
_PIECE = 1 << 20  # bytes that are written at once


class BadMessage(Exception):
    """The other side does not speak as agreed."""


class Arrays:
    """Collects the arrays of a message; one that several refer to is sent once."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.table: list[tuple[str, list[int], int]] = []
        self.size = 0
        self._places: dict[int, int] = {}
        self._seen: list[np.ndarray] = []  # while they live, no other object has their id

    def add(self, array: np.ndarray) -> int:
        """The place of an array in the message."""
        if id(array) not in self._places:
            self._places[id(array)] = len(self.parts)
            self._seen.append(array)
            whole = np.ascontiguousarray(array)
            self.parts.append(whole)
            self.table.append((whole.dtype.str, list(array.shape), self.size))
            self.size += -(-whole.nbytes // _ALIGN) * _ALIGN
        return self._places[id(array)]


def write_reply(file: IO[bytes], header: dict[str, Any], arrays: Arrays | None = None) -> None:
    """Write a message; the caller sees to it that no other thread does meanwhile."""
    arrays = arrays or Arrays()
    head = json.dumps({**header, "arrays": arrays.table}).encode()
    file.write(_LENGTHS.pack(len(head), arrays.size) + head)
    for part in arrays.parts:
        raw = part.reshape(-1).view(np.uint8).data
        for at in range(0, len(raw), _PIECE):
            file.write(raw[at : at + _PIECE])
        file.write(bytes(-len(raw) % _ALIGN))
    file.flush()


def read_reply(file: IO[bytes], most: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The header of the next message, and its arrays (they share memory).

    Args:
        file: from the worker.
        most: bytes of arrays that are taken.

    Raises:
        EOFError: there is no further one.
        BadMessage: it is none, or larger than that.
    """
    head_size, size = _LENGTHS.unpack(_exactly(file, _LENGTHS.size))
    if head_size > _HEADER or size > most:
        raise BadMessage(f"a message of {head_size} and {size} bytes")
    try:
        header = json.loads(bytes(_exactly(file, head_size)))
        table = header.pop("arrays")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadMessage("a header that is none") from None
    block = _exactly(file, size)
    try:
        return header, [_array(block, *entry) for entry in table]
    except (ValueError, TypeError) as error:
        raise BadMessage(f"arrays that are none: {error}") from None


def _array(block: bytearray, kind: str, shape: list[int], start: int) -> np.ndarray:
    if kind not in _TYPES or not all(isinstance(n, int) and n >= 0 for n in [start, *shape]):
        raise BadMessage("an array of another type")
    count = 1
    for side in shape:
        count *= side
    return np.frombuffer(block, np.dtype(kind), count, start).reshape(shape)


def _exactly(file: IO[bytes], size: int) -> bytearray:
    block = bytearray(size)
    view = memoryview(block)
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]
    return block


def write_request(file: IO[bytes], request: Any) -> None:
    """Ask a worker for something."""
    body = pickle.dumps(request)
    file.write(_LENGTHS.pack(0, len(body)) + body)
    file.flush()


def read_request(file: IO[bytes]) -> Any:
    """What the server asks for next.

    Raises:
        EOFError: the server is gone.
    """
    _, size = _LENGTHS.unpack(_exactly(file, _LENGTHS.size))
    return pickle.loads(bytes(_exactly(file, size)))


# What a reply holds, as JSON ---------------------------------------------------------------------


def pack_info(info: VideoInfo) -> dict[str, Any]:
    """What a video is."""
    return {**asdict(info), "path": str(info.path)}


def unpack_info(value: dict[str, Any]) -> VideoInfo:
    """What `pack_info` packed."""
    return VideoInfo(**{**value, "path": Path(value["path"])})


def pack_clips(clips: Iterable[Sequence[Clip]], arrays: Arrays) -> list[Any]:
    """The clips of each request."""
    return [[_pack_clip(clip, arrays) for clip in own] for own in clips]


def unpack_clips(value: list[Any], arrays: Sequence[np.ndarray]) -> list[list[Clip]]:
    """What `pack_clips` packed."""
    return [[_unpack_clip(clip, arrays) for clip in own] for own in value]


def _pack_clip(clip: Clip, arrays: Arrays) -> list[Any]:
    runs = [[list(run), [arrays.add(part) for part in parts]] for run, parts in clip.runs.items()]
    shown = None if clip.shown is None else arrays.add(clip.shown)
    own = [arrays.add(part) for part in (clip.frames, clip.mask, clip.indices, clip.seconds)]
    return [own, runs, shown]


def _unpack_clip(value: list[Any], arrays: Sequence[np.ndarray]) -> Clip:
    own, runs, shown = value
    frames, mask, indices, seconds = (arrays[place] for place in own)
    taken = {(run[0], run[1]): tuple(arrays[place] for place in places) for run, places in runs}
    return Clip(frames, mask, indices, seconds, taken, None if shown is None else arrays[shown])


def pack_shots(shots: "Iterable[Shot]", arrays: Arrays) -> list[Any]:
    """Moments of a video."""
    return [
        [
            [int(shot.index), float(shot.seconds), int(shot.moment)],
            [arrays.add(image) for image in shot.images],
            [arrays.add(places) for places in shot.places],
            [[int(index), arrays.add(look)] for index, look in shot.looks],
        ]
        for shot in shots
    ]


def unpack_shots(value: list[Any], arrays: Sequence[np.ndarray]) -> "list[Shot]":
    """What `pack_shots` packed."""
    from frameflow.inference.timeline.shots import Shot

    return [
        Shot(
            index=int(index),
            seconds=float(seconds),
            moment=int(moment),
            images=tuple(arrays[place] for place in images),
            places=tuple(arrays[place] for place in places),
            looks=tuple((int(at), arrays[place]) for at, place in looks),
        )
        for (index, seconds, moment), images, places, looks in value
    ]
