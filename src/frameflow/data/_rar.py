"""The checksums in a RAR archive, for the programs that unpack one without looking at them.

The header layout is that of RAR 1.5 to 4 (``technote.txt``, RARLAB), which UCF101.rar is in.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_MARKER = b"Rar!\x1a\x07\x00"
_FILE, _END = 0x74, 0x7B
_LARGE, _UNICODE, _DATA = 0x0100, 0x0200, 0x8000
_FOLDER = 0x00E0  # the three bits of the dictionary size, all set, mean a folder


def first_damaged(archive: Path, unpacked: Path) -> str | None:
    """The first file below ``unpacked`` that is not what ``archive`` says, or None.

    None also where the archive is in the newer format, which has other headers.
    """
    for name, size, checksum in _members(archive):
        path = unpacked / name
        if not path.is_file() or path.stat().st_size != size or _crc32(path) != checksum:
            return name
    return None


def _members(archive: Path) -> Iterator[tuple[str, int, int]]:
    """(name, size, CRC-32) of each file."""
    with archive.open("rb") as file:
        if file.read(len(_MARKER)) != _MARKER:
            return
        while len(head := file.read(7)) == 7:
            _, kind, flags, length = struct.unpack("<HBHH", head)
            body = file.read(length - 7)
            if kind == _END or len(body) < length - 7:
                return
            skip = struct.unpack_from("<I", body)[0] if flags & _DATA or kind == _FILE else 0
            if kind == _FILE:
                size, _, checksum = struct.unpack_from("<IBI", body, 4)
                name_length = struct.unpack_from("<H", body, 19)[0]
                start = 25
                if flags & _LARGE:
                    skip_high, size_high = struct.unpack_from("<II", body, start)
                    skip, size = skip | skip_high << 32, size | size_high << 32
                    start += 8
                name = body[start : start + name_length]
                if flags & _UNICODE:
                    name = name.split(b"\0")[0]
                if flags & _FOLDER != _FOLDER:
                    yield name.decode("utf-8", "replace").replace("\\", "/"), size, checksum
            file.seek(skip, 1)


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
