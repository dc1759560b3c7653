"""What a server accepts, and how it says no."""

from dataclasses import dataclass, fields

from frameflow.errors import FrameFlowError, UsageError

MIB = 1 << 20
MINUTE = 60.0

# Containers that hold a video in themselves. FFmpeg knows some 400 more, among them lists of other
# files and addresses (HLS, DASH, concat, SDP, image sequences), which a client must not choose.
FORMATS = (
    "mov", "matroska", "avi", "gif", "asf", "flv", "mpegts", "mpeg", "mpegvideo", "ogg", "ivf",
    "h264", "hevc", "m4v", "dv", "mxf", "nut", "swf", "rm", "amv", "mjpeg", "obu", "wtv",
)  # fmt: skip


class Refused(FrameFlowError):
    """A request that is not answered, and why.

    Attributes:
        status: of HTTP.
        code: one word for programs.
        message: a sentence for people.
        cure: what they can do about it.
    """

    def __init__(self, status: int, code: str, message: str, cure: str | None = None) -> None:
        super().__init__(message if cure is None else f"{message} {cure}")
        self.status = status
        self.code = code
        self.message = message
        self.cure = cure

    def __reduce__(self) -> tuple[type["Refused"], tuple[int, str, str, str | None]]:
        return Refused, (self.status, self.code, self.message, self.cure)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server; each must be positive.

    Attributes:
        bytes: of an upload.
        seconds_of_video: from the first frame to the last, whatever the file says.
        frames: of a video.
        pixels_of_frame: width times height.
        side_of_frame: the longer side, pixels.
        streams: of a file, of any kind.
        decode_seconds: that reading the clips of one video may take, and the longest silence of
            a worker process.
        stream_seconds: that reading all of a long video may take, waiting for the client or the
            model not counted.
        memory_bytes: of a worker process, beyond what it has at its start.
        reply_bytes: that a worker process may hand over at once.
        videos_per_worker: after so many a worker process is replaced.
        queue_seconds: that a request waits for a worker process.
        preview_seconds: of a video, for which a preview is made.
        preview_bytes: of a preview.
        preview_side: the longer side of a preview, pixels.
        quota_bytes: of all uploads and previews together.
        spare_bytes: that stay free on the disk.
        uploads: that are received at once.
        stall_seconds: after which an upload of which nothing comes is given up.
        bytes_per_second: the slowest upload, on average after ``stall_seconds``.
        form_fields: of a form.
        field_bytes: of one field of a form.

    Raises:
        UsageError: one is not positive.
    """

    bytes: int = 1024 * MIB
    seconds_of_video: float = 180 * MINUTE
    frames: int = 1_000_000
    pixels_of_frame: int = 4096 * 2304
    side_of_frame: int = 8192
    streams: int = 32
    decode_seconds: float = 60.0
    stream_seconds: float = 60 * MINUTE
    memory_bytes: int = 1024 * MIB
    reply_bytes: int = 512 * MIB
    videos_per_worker: int = 500
    queue_seconds: float = 60.0
    preview_seconds: float = 30 * MINUTE
    preview_bytes: int = 256 * MIB
    preview_side: int = 720
    quota_bytes: int = 4096 * MIB
    spare_bytes: int = 256 * MIB
    uploads: int = 16
    stall_seconds: float = 30.0
    bytes_per_second: int = 4096
    form_fields: int = 32
    field_bytes: int = 4096

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise UsageError(f"{field.name} ({value}) must be > 0.")


def size_text(count: float) -> str:
    """Bytes as people say them: ``"1.5 GB"``."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GB"


def time_text(seconds: float) -> str:
    """A length of time as people say it: ``"3 hours"``."""
    for unit, length in (("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            count = f"{seconds / length:.3g}"
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return f"{seconds:.3g} seconds"
