"""Whether the end of a video file is missing, from the sizes in its own container."""

import struct
from pathlib import Path
from typing import BinaryIO

_MP4_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def truncation(path: Path) -> str | None:
    """``"is truncated: ..."`` where the file's own sizes say that its end is missing."""
    try:
        declared, there = declared_bytes(path), path.stat().st_size
        if declared is not None and declared > there:
            return f"is truncated: {there} of {declared} bytes are there"
        with open(path, "rb") as file:
            if file.read(8)[4:] in _MP4_FIRST and not _mp4(file)[1]:
                return "is truncated: its index, which is written last, is missing"
    except OSError:
        pass
    return None


def declared_bytes(path: Path) -> int | None:
    """The size an MP4 (MOV), AVI or Matroska (WebM) file declares, None where unknown.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(16)
        if head[4:8] in _MP4_FIRST:
            return _mp4(file)[0]
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            size = int.from_bytes(head[4:8], "little")
            return 8 + size if size else None  # zero until the writer has finished
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(file)
    return None


def _mp4(file: BinaryIO) -> tuple[int | None, bool]:
    """The end of the last top-level box (size, name, content), and whether one is an index."""
    end = file.seek(0, 2)
    at, indexed = 0, False
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1 and at + 16 <= end:
            size = struct.unpack(">Q", file.read(8))[0]
        indexed |= name in (b"moov", b"moof")
        if size == 0:  # reaches to the end of the file, wherever that is
            return None, indexed
        if size < 8 or not name.isascii():  # no box: something was put behind the last one
            return at or None, indexed
        at += size
    return at, indexed


def _matroska(file: BinaryIO) -> int | None:
    """The end of the segment, the element after the EBML header."""
    file.seek(4)
    header = _ebml_size(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return None
    size = _ebml_size(file)
    return None if size is None else file.tell() + size


def _ebml_size(file: BinaryIO) -> int | None:
    """A variable-length size; None for the reserved value "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0xFF >> length)]) + file.read(length - 1), "big")
    return None if value == (1 << 7 * length) - 1 else value
