"""Videos to folders of frame images, in parallel; a run that was ended goes on.

Each video becomes a folder of images named by their frame's index, ``000012.jpg``, with the table
``frames.csv`` beside them (`frameflow.video.frame_table`), which is written last: a folder with a
table is done, and one without goes on after the images it has. An image is there whole or not.
"""

import io
import json
import logging
import math
import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from frameflow._files import write_json
from frameflow.config import Sampling
from frameflow.errors import FrameFlowError, UsageError, VideoError, listing
from frameflow.progress import progress
from frameflow.video._scale import Pixels, Scaler
from frameflow.video.decode import stream_frames
from frameflow.video.frame_table import TABLE, read_frame_table, write_frame_table
from frameflow.video.probe import frame_times, probe
from frameflow.video.sample import clip_indices

log = logging.getLogger(__name__)

Format = Literal["jpeg", "png"]
SUFFIXES: dict[str, str] = {"jpeg": ".jpg", "png": ".png"}
_CHOICES = ".extraction.json"  # what the folder was made with


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """Which frames are taken, and how they are stored.

    Give one of ``every``, ``per_second`` and ``count``; none of them takes every frame.

    Attributes:
        every: the first of each so many frames.
        per_second: the frame shown at each multiple of 1 / ``per_second`` seconds.
        count: so many frames, the middles of equal parts: the uniform sampler's choice.
        format: of the images.
        quality: of JPEG, 1 to 100.
        size: pixels of the shorter side; None keeps the video's size.
    """

    every: int | None = None
    per_second: float | None = None
    count: int | None = None
    format: Format = "jpeg"
    quality: int = 92
    size: int | None = None

    def check(self) -> None:
        """Refuse what means nothing.

        Raises:
            UsageError: with the option, its value and what is allowed.
        """
        ways = {"every": self.every, "per_second": self.per_second, "count": self.count}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"Give one of {listing(given)}: each says which frames are taken.")
        for name in given:
            value = ways[name]
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} ({value}) must be > 0.")
        if self.format not in get_args(Format):
            raise UsageError(f"format ({self.format!r}) must be jpeg or png.")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality ({self.quality}) must be >= 1 and <= 100.")
        if self.size is not None and self.size < 1:
            raise UsageError(f"size ({self.size}) must be at least 1 pixel.")

    def indices(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """The frames taken of a video whose frames are shown at these seconds, sorted.

        Example:
            >>> FrameChoice(per_second=2).indices(np.arange(50) / 25)
            array([ 0, 12, 25, 37])
        """
        frames = len(times)
        if self.count is not None:
            sampling = Sampling(strategy="uniform", frames=self.count)
            return np.unique(clip_indices(frames, sampling).indices)
        if self.per_second is not None:
            moments = np.arange(math.floor(times[-1] * self.per_second + 1e-6) + 1)
            shown = np.searchsorted(times, moments / self.per_second + 1e-6, side="right") - 1
            return np.unique(np.maximum(shown, 0))
        return np.arange(0, frames, self.every or 1)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extraction did.

    Attributes:
        images: how many images it wrote.
        done: the folders that are complete, in order.
        found: how many of these were complete before.
        set_aside: (video, reason) of those that cannot be read.
    """

    images: int
    done: list[str]
    found: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)


def extract_frames(
    videos: Mapping[str, Path],
    out: str | os.PathLike[str],
    choice: FrameChoice | None = None,
    *,
    named: Mapping[str, Collection[int]] | None = None,
    workers: int | None = None,
) -> Extracted:
    """Write frames of videos as images.

    Args:
        videos: for each folder to write below ``out``, its video.
        out: the folder; made where it is not there. One that holds an extraction goes on.
        choice: which frames and how; every frame as JPEG by default.
        named: further frames of some folders, which are taken in any case.
        workers: how many videos are read at once; the machine's cores by default.

    Raises:
        UsageError: a choice means nothing, or ``out`` was made with another.
        FrameFlowError: no video can be read.

    Example:
        >>> videos = {"serve/1": Path("serve/1.mp4")}
        >>> extract_frames(videos, "FRAMES", FrameChoice(per_second=5))  # doctest: +SKIP
        Extracted(images=12, done=['serve/1'], found=0, set_aside=[])
    """
    choice = choice or FrameChoice()
    choice.check()
    if workers is not None and workers < 1:
        raise UsageError(f"workers ({workers}) must be at least 1.")
    out = Path(out)
    _begin(out, choice)
    workers = workers or os.cpu_count() or 1

    ended = Event()  # so that a long video does not hold up Ctrl-C

    def one(item: tuple[str, Path]) -> int | VideoError:
        name, path = item
        try:
            return _extract(path, out / name, choice, set((named or {}).get(name, ())), ended)
        except VideoError as error:
            return error

    images, found, done, aside = 0, 0, [], []
    with (
        ThreadPoolExecutor(workers, thread_name_prefix="frames") as pool,
        progress("Extracting", total=len(videos), unit="videos") as advance,
    ):
        try:
            for (name, path), result in zip(videos.items(), pool.map(one, videos.items())):
                advance()
                if isinstance(result, VideoError):
                    aside.append((str(path), result.reason))
                    continue
                done.append(name)
                found += result == 0
                images += result
        except BaseException:
            ended.set()
            raise
    if aside and not done:
        first = listing([f"{path} ({reason})" for path, reason in aside], most=3)
        raise FrameFlowError(f"None of the {len(videos)} videos can be read: {first}.")
    return Extracted(images, done, found, aside)


def _begin(out: Path, choice: FrameChoice) -> None:
    """Make the folder, or see that it was made with the same choice."""
    wanted, record = asdict(choice), out / _CHOICES
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        out.mkdir(parents=True, exist_ok=True)
        write_json(record, wanted)
        return
    except ValueError:
        known = None
    if known != wanted:
        raise UsageError(
            f"{out} holds frames that were taken with other options"
            f"{_differences(known, wanted)}: give the same ones, or another folder."
        )


def _differences(known: object, wanted: dict[str, object]) -> str:
    if not isinstance(known, dict):
        return ""
    differ = [f"{k} {known.get(k)}, not {v}" for k, v in wanted.items() if known.get(k) != v]
    return f" ({'; '.join(differ)})"


def _extract(path: Path, folder: Path, choice: FrameChoice, named: set[int], ended: Event) -> int:
    """Write what is missing of one video, then its table; how many images that were.

    Raises:
        VideoError: it cannot be read.
    """
    if _complete(folder, path, named):
        return 0
    info = probe(path)
    times = frame_times(path)[: info.frames]
    if len(times) < info.frames:  # a damaged file whose frames are more than its times
        times = np.arange(info.frames) / info.rate
    taken = np.union1d(choice.indices(times), [i for i in named if 0 <= i < info.frames])
    taken = taken.astype(np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    _tidy(folder, path)
    names = [f"{index:06d}{SUFFIXES[choice.format]}" for index in taken.tolist()]
    missing = [i for i, name in zip(taken.tolist(), names) if not (folder / name).exists()]
    scaler = Scaler(short_side=choice.size)
    written = 0
    if missing:
        for index, frame in stream_frames(path, np.array(missing), scaler, 1):
            _write_image(folder / f"{index:06d}{SUFFIXES[choice.format]}", frame, choice)
            written += 1
            if ended.is_set():
                break
    if written < len(missing):
        raise VideoError(path, f"only {written} of {len(missing)} frames can be decoded")
    write_frame_table(folder, names, taken.tolist(), times[taken].tolist())
    if info.truncated:
        log.warning("%s: its end is missing: %d frames are left.", path, info.frames)
    return written


def _complete(folder: Path, video: Path, named: set[int]) -> bool:
    """Whether the table is there, newer than the video, and all that it names."""
    rows = read_frame_table(folder)
    if rows is None or not _is_newer(folder, video) or not named <= {row[1] for row in rows}:
        return False
    there = set(os.listdir(folder))  # noqa: PTH208
    return all(name in there for name, _, _ in rows)


def _is_newer(folder: Path, video: Path) -> bool:
    try:
        return (folder / TABLE).stat().st_mtime_ns >= video.stat().st_mtime_ns
    except OSError:
        return False


def _tidy(folder: Path, video: Path) -> None:
    """Remove what an ended run left half written, and images of a video that changed since."""
    changed = read_frame_table(folder) is not None and not _is_newer(folder, video)
    for path in folder.iterdir():
        half = path.name.startswith(".") and path.name.endswith(".partial")
        if half or (changed and path.suffix in SUFFIXES.values()):
            path.unlink(missing_ok=True)


def _write_image(path: Path, frame: Pixels, choice: FrameChoice) -> None:
    from PIL import Image

    encoded = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(frame))
    if choice.format == "png":
        image.save(encoded, "PNG", compress_level=3)
    else:
        image.save(encoded, "JPEG", quality=choice.quality)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(encoded.getvalue())
    partial.replace(path)
