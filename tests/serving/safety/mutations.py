"""Videos that went wrong, each from a number: the same number gives the same bytes."""

import random
import re
from collections.abc import Callable

INTERESTING = [0, 1, 2, 7, 8, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]
# Names before whose first byte, in MP4, or after whose last, in AVI, a length stands.
BOXES = re.compile(
    rb"ftyp|moov|mvhd|trak|tkhd|edts|elst|mdia|mdhd|hdlr|minf|stbl|stsd|stts|ctts|stsz|stsc|stco|"
    rb"co64|avc1|avcC|hvc1|hvcC|esds|mdat|udta|meta|RIFF|LIST|hdrl|avih|strl|strh|strf|movi|idx1|"
    rb"00dc|JUNK"
)
# Elements of Matroska: EBML, Segment, SeekHead, Info, Tracks, Cluster, SimpleBlock, Cues, Video ...
ELEMENTS = re.compile(
    rb"\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x11\x4d\x9b\x74|\x15\x49\xa9\x66|\x16\x54\xae\x6b|"
    rb"\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\xae|\xe0|\xb0|\xba|\xa3|\xd7|\x86|\x63\xa2|\x2a\xd7\xb1"
)

Random = random.Random


def flip(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Bits anywhere, few or many."""
    for _ in range(rng.choice([1, 4, 32, 256])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def flip_head(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Bits where headers are: at the beginning, or at the end."""
    size = min(len(data), 1500)
    at = 0 if rng.random() < 0.6 else len(data) - size
    for _ in range(rng.choice([1, 2, 8, 32])):
        data[at + rng.randrange(size)] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncate(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """The end is missing."""
    return bytes(data[: rng.randrange(len(data))])


def _part(rng: Random, data: bytearray) -> tuple[int, int]:
    size = rng.choice([1, 4, 64, 1024, len(data) // 3])
    begin = rng.randrange(len(data))
    return begin, min(len(data), begin + size)


def remove(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """A part is missing."""
    begin, end = _part(rng, data)
    return bytes(data[:begin] + data[end:])


def repeat(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """A part is there several times."""
    begin, end = _part(rng, data)
    return bytes(data[:end] + data[begin:end] * rng.choice([1, 2, 20]) + data[end:])


def blank(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """A part is all zeros, or all ones."""
    begin, end = _part(rng, data)
    data[begin:end] = rng.choice([b"\0", b"\xff"]) * (end - begin)
    return bytes(data)


def swap(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Head and tail have changed places."""
    at = rng.randrange(len(data))
    return bytes(data[at:] + data[:at])


def shuffle(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Blocks are in another order, the first one stays."""
    size = rng.choice([64, 512, 4096])
    blocks = [bytes(data[at : at + size]) for at in range(size, len(data), size)]
    rng.shuffle(blocks)
    return bytes(data[:size]) + b"".join(blocks)


def splice(rng: Random, data: bytearray, other: bytes) -> bytes:
    """It begins as one file and goes on as another."""
    return bytes(data[: rng.randrange(len(data))]) + other[rng.randrange(len(other)) :]


def transplant(rng: Random, data: bytearray, other: bytes) -> bytes:
    """A part comes from another file."""
    begin, end = _part(rng, data)
    at = rng.randrange(len(other))
    data[begin:end] = other[at : at + end - begin]
    return bytes(data)


def lengths(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Lengths and counts of containers are others."""
    places = [found.span() for found in BOXES.finditer(data)]
    for begin, end in rng.sample(places, min(len(places), rng.choice([1, 2, 5]))):
        at = rng.choice([begin - 4, end, end + 4, end + 8])
        order = rng.choice(["big", "little"])
        if 0 <= at <= len(data) - 4:
            value = rng.choice([*INTERESTING, rng.randrange(1 << 32)])
            data[at : at + 4] = value.to_bytes(4, order)  # type: ignore[arg-type]
    return bytes(data)


def elements(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Lengths of Matroska's elements are others, or their names."""
    places = [found.end() for found in ELEMENTS.finditer(data) if found.end() < len(data) - 8]
    for at in rng.sample(places, min(len(places), rng.choice([1, 2, 5]))):
        data[at] = rng.choice([0x00, 0x01, 0x7F, 0x80, 0x81, 0xFF, rng.randrange(256)])
        data[at + 1] ^= rng.choice([0, 0, 0x80, 0xFF])
    return bytes(data)


def integers(rng: Random, data: bytearray, _other: bytes) -> bytes:
    """Numbers in the headers are extreme ones."""
    size = min(len(data), 3000)
    start = 0 if rng.random() < 0.6 else len(data) - size
    for _ in range(rng.choice([1, 3, 10])):
        at = start + rng.randrange(max(1, size - 4))
        order = rng.choice(["big", "little"])
        data[at : at + 4] = rng.choice(INTERESTING).to_bytes(4, order)  # type: ignore[arg-type]
    return bytes(data)


MUTATIONS: list[Callable[[Random, bytearray, bytes], bytes]] = [
    flip, flip_head, truncate, remove, repeat, blank, swap, shuffle, splice, transplant,
    lengths, lengths, elements, integers,
]  # fmt: skip


def mutated(number: int, films: list[bytes]) -> tuple[str, bytes]:
    """(what was done, the file): one film with one to three faults."""
    rng = random.Random(number)
    data, other = films[number % len(films)], rng.choice(films)
    done = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutation = rng.choice(MUTATIONS)
        data = mutation(rng, bytearray(data or b"\0"), other)
        done.append(mutation.__name__)
    return "+".join(done), data
