"""Files that lie, byte by byte."""

import struct
import zlib
from collections.abc import Iterable


def element(number: int, *content: bytes) -> bytes:
    """An element of Matroska."""
    body = b"".join(content)
    return number.to_bytes(-(-number.bit_length() // 8), "big") + (len(body) | 1 << 56).to_bytes(
        8, "big"
    ) + body  # fmt: skip


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def png(width: int, height: int, *, stated: tuple[int, int] | None = None) -> bytes:
    """A grey image; ``stated`` is what its header says instead."""
    packed = zlib.compressobj(9)
    rows = [packed.compress(bytes(1 + width)) for _ in range(height)]
    data = b"".join(rows) + packed.flush()
    header = struct.pack(">IIBBBBB", *(stated or (width, height)), 8, 0, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        checked = name + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def matroska(
    frames: Iterable[bytes],
    *,
    width: int,
    height: int,
    seconds_apart: float = 1.0,
    stated_seconds: float | None = None,
    codec: bytes = b"V_MS/VFW/FOURCC",
    tracks: int = 1,
) -> bytes:
    """A Matroska file of PNG images, whose header says whatever it is told to."""
    # BITMAPINFOHEADER, in which AVI's codecs come to Matroska
    bitmap = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MPNG", 0, 0, 0, 0, 0)
    entries = [
        element(
            0xAE,
            element(0xD7, number(n + 1)),
            element(0x73C5, number(n + 1)),
            element(0x83, number(1)),
            element(0x86, codec),
            element(0x63A2, bitmap),
            element(0xE0, element(0xB0, number(width)), element(0xBA, number(height))),
        )
        for n in range(tracks)
    ]
    duration = []
    if stated_seconds is not None:
        duration = [element(0x4489, struct.pack(">d", stated_seconds * 1000))]
    clusters = [
        element(
            0x1F43B675,
            element(0xE7, number(round(1000 * seconds_apart * place))),
            element(0xA3, b"\x81\x00\x00\x80", frame),
        )
        for place, frame in enumerate(frames)
    ]
    return element(0x1A45DFA3, element(0x4282, b"matroska")) + element(
        0x18538067,
        element(0x1549A966, element(0x2AD7B1, number(1_000_000)), *duration),
        element(0x1654AE6B, *entries),
        *clusters,
    )


def gif_of(width: int, height: int) -> bytes:
    """An animated GIF whose header is believed by nobody."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    image = b"\x21\xf9\x04\x00\x0a\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return screen + 2 * (image + b"\x02\x02\x4c\x01\x00") + b"\x3b"


def avi_of(data: bytes, width: int, height: int) -> bytes:
    """An AVI file whose header states another size."""
    at = data.index(b"strf") + 8
    return data[: at + 4] + struct.pack("<ii", width, height) + data[at + 12 :]


def mp4_of(data: bytes, width: int, height: int) -> bytes:
    """An MP4 file whose headers state another size (both have 16 bits)."""
    at = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    data = data[:at] + struct.pack(">HH", width, height) + data[at + 4 :]
    at = data.index(b"tkhd") + 4 + 76
    return data[:at] + struct.pack(">II", width << 16, height << 16) + data[at + 8 :]


def mp4_lasting(data: bytes, seconds: float) -> bytes:
    """An MP4 file whose headers, all that say it, state another length."""
    for name, scale_at, length_at in ((b"mvhd", 12, 16), (b"mdhd", 12, 16)):
        at = data.index(name) + 4
        (scale,) = struct.unpack_from(">I", data, at + scale_at)
        length = struct.pack(">I", round(seconds * scale))
        data = data[: at + length_at] + length + data[at + length_at + 4 :]
    return data
