"""What a stream of video comes from: a camera, the network, a pipe or a file; how it is opened."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from frameflow.errors import UsageError, VideoError, listing, near_names

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

SourceName = str | int | PathLike[str] | IO[bytes]

_PIPES = ("-", "pipe:", "pipe:0")
_DEVICES = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
# How long FFmpeg looks at a stream before it is shown; by itself it takes 5 s of most.
_QUICK = {"analyzeduration": "2000000"}
# What FFmpeg must be told, because what it does by itself fails for most.
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp"},  # over UDP a lost packet smears the picture
    "rtsps": {"rtsp_transport": "tcp"},
    "avfoundation": {"framerate": "30"},  # its own default is no rate of most cameras
}
# Formats that carry no times of their own: FFmpeg makes them up at 25 frames a second.
_TIMELESS = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "jpeg_pipe", "image2pipe", "m4v"})


@dataclass(frozen=True, slots=True)
class Source:
    """A source of video.

    Attributes:
        kind: what it is; a pipe cannot be opened twice, and a file ends.
        name: for people; a password in an address is left out.
        address: what FFmpeg opens, or the open pipe.
        format: FFmpeg's input format; None lets FFmpeg find out.
        options: of FFmpeg.
    """

    kind: Literal["camera", "network", "pipe", "file"]
    name: str
    address: str | IO[bytes]
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def again(self) -> bool:
        """Whether it can be opened once more after it ended."""
        return self.kind in ("camera", "network")


def find_source(
    source: SourceName, *, format: str | None = None, options: Mapping[str, str] | None = None
) -> Source:
    """What a user means by a source.

    Args:
        source: a camera's number, an address (``rtsp://``, ``http://``, ``udp://``...), a file,
            ``-`` for what is piped in, or an open binary file.
        format: FFmpeg's input format, for pipes and devices that do not say it themselves.
        options: of FFmpeg, such as ``video_size`` and ``framerate``.

    Raises:
        UsageError: an unknown format, or an empty name.
        VideoError: no such camera or file.

    Example:
        >>> find_source("rtsp://user:secret@camera/stream").name
        'rtsp://camera/stream'
    """
    _check_format(format)
    given = dict(options or {})
    if not isinstance(source, str | int | PathLike):
        if not hasattr(source, "read"):
            raise UsageError(f"The source ({source!r}) is no number, name or open binary file.")
        return Source("pipe", str(getattr(source, "name", "pipe")), source, format, given)
    name = str(source) if isinstance(source, int) else fspath(source)
    if not name.strip():
        raise UsageError("The source is empty: give 0, an address, a file, or - for a pipe.")
    if name in _PIPES:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("Nothing is piped in: ffmpeg ... -f mpegts - | frameflow live ...")
        return Source("pipe", "pipe", sys.stdin.buffer, format, given)
    if name.isdecimal() or name.startswith("/dev/video"):
        return _camera(name, format, given)
    scheme = re.match(r"([a-z][a-z0-9+]*)://", name, re.IGNORECASE)
    if scheme is not None and scheme[1].lower() != "file":
        usual = {**_QUICK, **_OPTIONS.get(scheme[1].lower(), {})}
        if "listen" in given.get("rtsp_flags", ""):
            usual["listen_timeout"] = "60"  # FFmpeg 8 cannot listen without
        return Source("network", without_password(name), name, format, {**usual, **given})
    path = name[len("file://") :] if scheme is not None else name
    if _is_device(format):
        usual = {**_OPTIONS.get(str(format), {})}
        return Source("camera", name, name, format, {**usual, **given})
    if not Path(path).exists():
        raise VideoError(path, "does not exist; a camera is a number, a stream has a ://")
    if Path(path).is_dir():
        raise VideoError(path, "is a folder: give one file, or `frameflow predict` the folder")
    return Source("file", path, path, format, given)


def without_password(address: str) -> str:
    """An address as it may be shown: without user and password."""
    return re.sub(r"(?<=://)[^/?#]*@", "", address)


def is_timeless(container: "InputContainer") -> bool:
    """Whether the times of a stream are made up by FFmpeg."""
    return not _TIMELESS.isdisjoint(container.format.name.split(","))


@contextmanager
def open_source(
    source: Source, pipe: Any = None, *, timeout: float | None
) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a source and find its video.

    Args:
        source: what to open.
        pipe: what to read in place of the source's own pipe.
        timeout: seconds that opening and, afterwards, each reading may take; None: any.

    Raises:
        VideoError: why it cannot be opened.
    """
    import av
    from av.stream import Disposition

    try:
        container: Any = av.open(
            source.address if pipe is None else pipe,
            format=source.format,
            options=dict(source.options),
            timeout=None if timeout is None else (timeout, timeout),
            metadata_errors="ignore",
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(source.name, why(error, source, timeout)) from None
    with container:
        still = Disposition.attached_pic | Disposition.timed_thumbnails
        streams = [s for s in container.streams.video if not s.disposition & still]
        if not streams or streams[0].codec_context is None:
            sound = " (sound only)" if container.streams.audio else ""
            raise VideoError(source.name, f"has no video{sound}")
        streams[0].thread_type = "SLICE"  # threads by frames would hold frames back
        yield container, streams[0]


def stalled_for(seconds: float) -> str:
    """The reason why a source is closed that sends nothing."""
    return f"sent no video for {seconds:g} s"


def why(error: Exception, source: Source, timeout: float | None) -> str:
    """In plain words, what FFmpeg could not do."""
    import av

    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return stalled_for(timeout or 0)
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "wants a user and a password: rtsp://USER:PASSWORD@..., http likewise"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "is not there (the server answered 404)"
    if isinstance(error, av.error.HTTPError | av.error.HTTPClientError):
        return "is refused by the server"
    if isinstance(error, av.error.ConnectionRefusedError):
        return "nobody answers there (connection refused)"
    if isinstance(error, av.error.EOFError):
        return "ended before any video came"
    if isinstance(error, av.error.PermissionError):
        return "may not be read (permission denied)"
    if isinstance(error, av.error.InvalidDataError):
        form = f" of the format {source.format}" if source.format else ""
        return f"sends nothing that FFmpeg reads as video{form}; --format names a raw format"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "is of a kind that FFmpeg does not know: rtsp, http, https, udp, tcp, srt, rtmp..."
    said = getattr(error, "strerror", None) or str(error)
    return f"cannot be opened ({said.strip().lower()})"


def _camera(name: str, format: str | None, options: Mapping[str, str]) -> Source:
    system = format or next((f for s, f in _DEVICES.items() if sys.platform.startswith(s)), None)
    if system is None:
        raise UsageError(f"No camera is known on {sys.platform}: name an address or a file.")
    address = f"/dev/video{name}" if name.isdecimal() and system == "v4l2" else name
    shown = f"camera {name}" if name.isdecimal() else name
    if system == "v4l2":
        missing = not Path(address).exists()
        there = cameras(system) if missing else []
    else:
        there = cameras(system)
        missing = name.isdecimal() and int(name) >= len(there)
        if system == "dshow" and name.isdecimal() and not missing:
            address = f"video={there[int(name)]}"
    if missing:
        instead = f"there are: {listing(there)}" if there else "this machine has none"
        raise VideoError(shown, f"there is no such camera ({address}); {instead}")
    return Source("camera", shown, address, system, {**_OPTIONS.get(system, {}), **options})


def cameras(system: str) -> list[str]:
    """The names of the cameras of this machine, as FFmpeg opens them."""
    import av
    from av.device import enumerate_input_devices

    try:
        found = enumerate_input_devices(system)
    except (av.FFmpegError, ValueError):
        return []
    return [device.name for device in found if "video" in device.media_types]


def _is_device(format: str | None) -> bool:
    """Whether what FFmpeg opens is no file: a camera, a screen (x11grab), a picture (lavfi)."""
    import av

    return format is not None and av.ContainerFormat(format, "r").no_file


def _check_format(format: str | None) -> None:
    if format is None:
        return
    import av

    names = {part for name in av.formats_available for part in name.split(",")}
    if format not in names:
        raise UsageError(f"FFmpeg has no format {format!r}.{near_names(format, sorted(names))}")
