"""Frames to files: video, GIF, contact sheet and thumbnail.

Frames are (T, H, W, 3) uint8 RGB everywhere, as the decoder gives them.
"""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow.errors import FrameFlowError, UsageError
from frameflow.video.transform import apply_plan, plan_fit, resize

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from PIL.Image import Image

Path_ = str | PathLike[str]

# What plays everywhere is tried first; FFmpeg builds without x264 have MPEG-4 part 2.
_ENCODERS = ("libx264", "libopenh264", "mpeg4")

# 1/100 s is GIF's unit, and viewers slow anything below 2/100 s down to 1/10 s.
_GIF_SHORTEST = 20  # milliseconds


def write_video(
    path: Path_,
    frames: np.ndarray | Iterable[np.ndarray],
    *,
    rate: float = 25.0,
    quality: int = 20,
) -> None:
    """Write an MP4 (H.264, or MPEG-4 where FFmpeg has no encoder for it) that plays everywhere.

    Odd sides get one more row or column, a copy of the last, because 4:2:0 colour needs even ones.

    Args:
        path: of the file; its folder must exist. Another ending chooses another container.
        frames: (T, H, W, 3) uint8 RGB, or single (H, W, 3) frames as they come, all of one size.
        rate: frames per second.
        quality: constant rate factor of H.264, 0 (lossless) to 51; 18 to 23 looks like the source.

    Raises:
        UsageError: no frame, a wrong shape or type, or a number out of range.
        FrameFlowError: the file cannot be written.

    Example:
        >>> import numpy as np
        >>> write_video("black.mp4", np.zeros((8, 48, 64, 3), np.uint8))  # doctest: +SKIP
    """
    _check_rate(rate)
    if not 0 <= quality <= 51:
        raise UsageError(f"quality ({quality}) must be >= 0 and <= 51")
    import av

    first, rest = _peek(frames)
    height, width = first.shape[:2]
    with _written(path) as partial, av.open(str(partial), "w") as container:
        stream = _stream(container, width + width % 2, height + height % 2, rate, quality)
        for pixels in chain([first], rest):
            if pixels.shape != first.shape:
                raise UsageError(f"frame {_shape(pixels)} must be like the first {first.shape}")
            frame = av.VideoFrame.from_ndarray(_even(pixels), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_gif(
    path: Path_,
    frames: np.ndarray,
    *,
    rate: float = 12.5,
    width: int | None = 320,
    colours: int = 128,
) -> None:
    """Write an animated GIF that loops, small enough for a README.

    One palette serves all frames, so still background does not flicker.

    Args:
        path: of the file; its folder must exist.
        frames: (T, H, W, 3) uint8 RGB.
        rate: frames per second, at most 50; GIF knows hundredths of a second only.
        width: px; wider frames are made smaller, narrower ones stay; None keeps all sizes.
        colours: 2 to 256.

    Raises:
        UsageError: no frame, a wrong shape or type, or a number out of range.
        FrameFlowError: the file cannot be written.
    """
    frames = _check_frames(frames)
    _check_rate(rate)
    if not 2 <= colours <= 256:
        raise UsageError(f"colours ({colours}) must be >= 2 and <= 256")
    if width is not None and width <= 0:
        raise UsageError(f"width ({width}) must be > 0")
    if width is not None and frames.shape[2] > width:
        height = max(1, round(frames.shape[1] * width / frames.shape[2]))
        frames = resize(frames, (width, height), interpolation="area")
    images = _one_palette(_steady(frames), colours)
    shown = max(_GIF_SHORTEST, round(100 / rate) * 10)
    options = {"save_all": True, "append_images": images[1:], "duration": shown, "loop": 0}
    with _written(path) as partial:
        images[0].save(partial, "GIF", disposal=1, **options)


def contact_sheet(
    frames: np.ndarray | Sequence[np.ndarray],
    *,
    columns: int | None = None,
    width: int | None = None,
    gap: int = 2,
) -> np.ndarray:
    """Lay frames out in rows, read like text.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        columns: frames in a row; None makes the sheet about as wide as high.
        width: of one frame in the sheet, px; None keeps its own.
        gap: white between frames, px.

    Returns:
        (height, width, 3) uint8; places that stay empty are white.

    Raises:
        UsageError: no frame, a wrong shape or type, or a number out of range.

    Example:
        >>> import numpy as np
        >>> contact_sheet(np.zeros((5, 30, 40, 3), np.uint8), columns=3, gap=0).shape
        (60, 120, 3)
    """
    frames = _check_frames(frames)
    for name, value, least in (("columns", columns, 1), ("width", width, 1), ("gap", gap, 0)):
        if value is not None and value < least:
            raise UsageError(f"{name} ({value}) must be >= {least}")
    if width is not None and width != frames.shape[2]:
        height = max(1, round(frames.shape[1] * width / frames.shape[2]))
        frames = resize(frames, (width, height), interpolation="area")
    count, h, w, _ = frames.shape
    if columns is None:
        columns = max(1, min(count, round(math.sqrt(count * h / w))))
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        y, x = (i // columns) * (h + gap), (i % columns) * (w + gap)
        sheet[y : y + h, x : x + w] = frame
    return sheet


def thumbnail(
    frames: np.ndarray, *, size: int | tuple[int, int] = (160, 90), quality: int = 80
) -> bytes:
    """One small JPEG of a frame, or of several side by side, for a page that embeds it.

    Args:
        frames: (H, W, 3) or (T, H, W, 3) uint8 RGB.
        size: of each picture in px, a side or (width, height); frames are cropped to it.
        quality: of JPEG, 1 to 95.

    Raises:
        UsageError: no frame, a wrong shape or type, or a number out of range.
    """
    if not 1 <= quality <= 95:
        raise UsageError(f"quality ({quality}) must be >= 1 and <= 95")
    frames = _check_frames(frames[None] if np.ndim(frames) == 3 else frames)
    plan = plan_fit(frames.shape[2], frames.shape[1], size=size)
    if plan.decode is not None:
        frames = resize(frames, plan.decode, interpolation="area")
    (frames,) = apply_plan(frames, plan)
    buffer = io.BytesIO()
    _image(contact_sheet(frames, columns=len(frames))).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def save_image(path: Path_, image: np.ndarray, *, quality: int = 90) -> None:
    """Save one (H, W, 3) uint8 RGB image; the ending chooses PNG, JPEG or WebP.

    Raises:
        UsageError: a wrong shape or type, or an ending that is none of them.
        FrameFlowError: the file cannot be written.
    """
    endings = {".png", ".jpg", ".jpeg", ".webp"}
    if Path(path).suffix.lower() not in endings:
        raise UsageError(f"{path} must end in one of {', '.join(sorted(endings))}")
    frames = _check_frames(image[None])
    with _written(path) as partial:
        _image(frames[0]).save(partial, quality=quality)


def _stream(
    container: "OutputContainer", width: int, height: int, rate: float, quality: int
) -> "VideoStream":
    from av.codec import codecs_available

    encoder = next((name for name in _ENCODERS if name in codecs_available), None)
    if encoder is None:
        raise FrameFlowError(f"This FFmpeg has none of the encoders {', '.join(_ENCODERS)}.")
    from av.video.stream import VideoStream

    exact = Fraction(rate).limit_denominator(1001)
    options = {}
    if encoder == "libx264":
        # Without mbtree: on some processors its fast code gives the same frames other bytes each
        # time, and then other features and scores.
        options = {"crf": str(quality), "preset": "medium", "x264-params": "mbtree=0"}
    stream = container.add_stream(encoder, rate=exact, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    if encoder != "libx264":
        stream.bit_rate = max(200_000, int(width * height * rate * 0.15))
    return stream


def _peek(
    frames: np.ndarray | Iterable[np.ndarray],
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    rest = iter(frames)
    try:
        first = next(rest)
    except StopIteration:
        raise UsageError("frames (0) must be > 0") from None
    return _check_frames(np.asarray(first)[None])[0], rest


def _even(pixels: np.ndarray) -> np.ndarray:
    h, w = pixels.shape[:2]
    if h % 2 or w % 2:
        pixels = np.pad(pixels, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)


def _steady(frames: np.ndarray, tolerance: int = 10) -> np.ndarray:
    """Pixels that hardly change stay as they were shown, which GIF stores for nothing."""
    steady = frames.copy()
    for shown, frame in pairwise(steady):
        change = np.maximum(frame, shown) - np.minimum(frame, shown)
        np.copyto(frame, shown, where=change.max(axis=-1, keepdims=True) <= tolerance)
    return steady


def _one_palette(frames: np.ndarray, colours: int) -> list["Image"]:
    from PIL.Image import Dither, Quantize

    # a few frames are enough to know the colours, and keep this quick for long clips
    few = frames[np.linspace(0, len(frames) - 1, min(8, len(frames))).astype(int)]
    palette = _image(np.concatenate(list(few))).quantize(colours, Quantize.MEDIANCUT)
    return [_image(f).quantize(palette=palette, dither=Dither.NONE) for f in frames]


def _image(pixels: np.ndarray) -> "Image":
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels), "RGB")


def _check_frames(frames: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    if not isinstance(frames, np.ndarray):
        shapes = {np.shape(f) for f in frames}
        if len(shapes) > 1:
            raise UsageError(f"frames must have one size, not {sorted(shapes)}")
        frames = np.stack(frames) if len(frames) else np.empty((0, 1, 1, 3), np.uint8)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape[1:]:
        raise UsageError(f"frames {_shape(frames)} must have the shape (T, height, width, 3)")
    if frames.dtype != np.uint8:
        raise UsageError(f"frames ({frames.dtype}) must be uint8, 0 to 255")
    if not len(frames):
        raise UsageError("frames (0) must be > 0")
    return frames


def _shape(frames: np.ndarray) -> tuple[int, ...]:
    return tuple(np.shape(frames))


def _check_rate(rate: float) -> None:
    if not (rate > 0 and math.isfinite(rate)):
        raise UsageError(f"rate ({rate}) must be > 0 and finite")


@contextmanager
def _written(path: Path_) -> Iterator[Path]:
    """A file beside ``path`` that takes its place when all of it is written, and not before."""
    from av import FFmpegError

    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except (OSError, FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FrameFlowError(f"{path} cannot be written: {reason}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
