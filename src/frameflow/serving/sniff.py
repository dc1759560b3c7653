"""What kind of file bytes are, by how they begin: no decoder is asked."""

from pathlib import Path

from frameflow.serving.limits import Refused

HEAD = 4096  # bytes that are looked at

CURE = "Send a video, for instance MP4, WebM, MKV, MOV or AVI."

_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*", b"8BPS", b"\x00\x00\x01\x00")
_AUDIO = (b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"MAC ")
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")
_OTHER = {b"%PDF": "a PDF", b"\x7fELF": "a program", b"MZ": "a program", b"{\\rtf": "a text"}
_STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_SOUND = (b"M4A ", b"M4B ")
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_VIDEO = (
    b"\x1a\x45\xdf\xa3", b"GIF8", b"FLV\x01", b"OggS", b"DKIF", b"\x00\x00\x01\xba",
    b"\x00\x00\x01\xb3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b".RMF", b"\x06\x0e\x2b\x34",
)  # fmt: skip


def kind_of(head: bytes) -> str:
    """What a file is that begins so.

    Returns:
        "video" for a container of videos, "audio" for one of sound alone, "" where that cannot be
        told, and else a noun with its article, for people: "an image", "a text".
    """
    if not head:
        return "an empty file"
    if head[4:8] in _BOXES:
        brand = head[8:12]
        return "an image" if brand in _STILL else "audio" if brand in _SOUND else "video"
    if head[:4] in (b"RIFF", b"RIFX"):
        return {b"AVI ": "video", b"WAVE": "audio", b"WEBP": "an image"}.get(head[8:12], "")
    if head.startswith(_VIDEO) or (head[:1] == b"G" and head[188:189] == b"G"):
        return "video"
    for kind, starts in (("an image", _IMAGES), ("audio", _AUDIO), ("an archive", _ARCHIVES)):
        if head.startswith(starts):
            return kind
    for start, kind in _OTHER.items():
        if head.startswith(start):
            return kind
    return "a text" if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    head = head.removeprefix(b"\xef\xbb\xbf")
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:  # one that is cut at the end is text still
        return error.start > len(head) - 4 and len(head) >= 4
    return True


def check_kind(path: Path) -> bool:
    """Refuse what is surely no video; whether the file begins like one.

    Raises:
        Refused: 404 where there is nothing, 415 for another kind of file, 422 for sound alone.
    """
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise Refused(415, "not_a_video", "This is a folder or a device, not a video.", CURE)
    try:
        with open(path, "rb") as file:
            kind = kind_of(file.read(HEAD))
    except OSError:
        raise Refused(
            404, "unknown_video", "The video is no longer there.", "Send it again."
        ) from None
    if kind == "audio":
        raise Refused(422, "no_video", "This file has sound but no pictures.", CURE)
    if kind not in ("", "video"):
        raise Refused(415, "not_a_video", f"This file is not a video but {kind}.", CURE)
    return kind == "video"
