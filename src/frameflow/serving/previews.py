"""Small copies of uploads that every browser plays, made when they are first asked for."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frameflow.serving.faults import busy, refused_by
from frameflow.serving.limits import Refused

if TYPE_CHECKING:
    from frameflow.serving.reader import SafeReader
    from frameflow.serving.uploads import Upload, Uploads

_MOST = 8  # that wait
_PLAYS = {
    "h264": ("video/mp4",), "av1": ("video/mp4", "video/webm"), "vp8": ("video/webm",),
    "vp9": ("video/mp4", "video/webm"),
}  # fmt: skip
_PIXELS = ("yuv420p", "yuvj420p")


@dataclass(slots=True, eq=False)
class Preview:
    """One of them.

    Attributes:
        upload: of what; once it is gone, nobody wants its preview.
        progress: share that is done.
        ready: whether it can be played.
        error: why there is none.
    """

    upload: "Upload"
    progress: float = 0.0
    ready: bool = False
    error: Refused | None = None


class Previews:
    """Makes previews one at a time.

    Args:
        reader: whose processes make them.
        uploads: where they are kept, beside their videos.
    """

    def __init__(self, reader: "SafeReader", uploads: "Uploads") -> None:
        self._reader, self._uploads = reader, uploads
        self._made: dict[str, Preview] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="preview")
        self._closed = False

    def of(self, upload: "Upload") -> Preview:
        """The preview of an upload, begun if it was not.

        Raises:
            Refused: 429, too many wait; or why it cannot be made.
        """
        found = self._made.get(upload.id)
        if found is None:
            waiting = sum(not (each.ready or each.error) for each in tuple(self._made.values()))
            if waiting >= _MOST:
                raise busy("Too many previews are being made")
            found = self._made[upload.id] = Preview(upload)
            self._pool.submit(self._make, found)
        if found.error is not None:
            raise found.error
        return found

    def sweep(self) -> None:
        """Forget those whose uploads are gone."""
        for name, preview in tuple(self._made.items()):
            if preview.upload.gone:
                self._made.pop(name, None)

    def close(self) -> None:
        """Stop what is being made."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make(self, preview: Preview) -> None:
        upload = preview.upload

        def report(share: float) -> None:
            preview.progress = share

        try:
            with self._uploads.using(upload.id):
                self._reader.preview(
                    upload.path,
                    upload.preview,
                    progress=report,
                    cancelled=lambda: upload.gone or self._closed,
                )
        except Exception as error:
            preview.error = refused_by(error)
        else:
            preview.ready = True


def content_type(head: bytes) -> str:
    """What browsers take a file for that begins so; the name that a client gave says nothing."""
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in head[:64]:
        return "video/webm"
    return "application/octet-stream"


def is_playable(kind: str, codec: str, pixel_format: str) -> bool:
    """Whether Chromium, Firefox and Safari play it as it is."""
    return kind in _PLAYS.get(codec, ()) and pixel_format in _PIXELS
