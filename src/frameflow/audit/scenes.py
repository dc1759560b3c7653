"""Which clips show the same scene, found from their pixels.

A clip's fingerprint is its background: the median over time of a few small frames, in which what
moves has vanished. Two clips are taken for one scene when their backgrounds agree in absolute
colour (the mean absolute difference is small) and in pattern (they correlate), so that two dark or
two empty pictures are not one scene for being dark or empty.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frameflow._threads import in_threads
from frameflow.config import Sampling
from frameflow.data.manifest import Manifest, Region
from frameflow.errors import UsageError, VideoError
from frameflow.progress import progress
from frameflow.video.clip import ClipRequest, read_clips

log = logging.getLogger(__name__)

# Grey levels of 255. On 371 real clips of 90 scenes the first false pair comes at 24; a margin
# is kept because a false pair joins two scenes for good.
MAX_DIFFERENCE = 22.0
MIN_CORRELATION = 0.5

_WIDTH, _HEIGHT = 64, 32
_FRAMES = 8
_COARSE = 4
_BLOCK = 512

# Each clip is compared with every other: benchmarks/bookkeeping.py --only scenes.
_MANY = 50_000
_PAIR, _EACH = 0.4e-6, 76_000  # seconds of a core, bytes

Part = tuple[float | None, float | None, Region | None]
"""What of a video a sample shows: start and end in seconds, and the region."""


@dataclass(frozen=True)
class Backgrounds:
    """The backgrounds of the readable samples of a manifest.

    Attributes:
        rows: (N,) index of each into the manifest.
        pictures: (N, 32, 64, 3) float32, 0 to 255.
        failed: what could not be read, by index into the manifest.
    """

    rows: np.ndarray
    pictures: np.ndarray
    failed: dict[int, VideoError]


@dataclass(frozen=True, slots=True)
class ScenePair:
    """Two samples that show one scene; ``one`` and ``two`` index the manifest."""

    one: int
    two: int
    difference: float


def read_backgrounds(manifest: Manifest, *, workers: int | None = None) -> Backgrounds:
    """Read the background of every sample.

    Args:
        manifest: the samples; one that cannot be read is put aside.
        workers: how many are read at once; the machine's cores by default.
    """
    workers = _checked_workers(workers)
    parts = parts_of(manifest)
    distinct = [(path, part) for path, own in parts.items() for part in own]
    warn_of_many(len(distinct))
    found: dict[tuple[Path, Part], np.ndarray | VideoError] = {}
    results = in_threads(lambda one: background(*one), distinct, workers=workers, name="background")
    with progress("Comparing scenes", total=len(distinct)) as advance:
        for one, result in zip(distinct, results):
            found[one] = result
            advance()
    return gathered(manifest, found)


def warn_of_many(clips: int) -> None:
    """Say beforehand what comparing very many clips takes."""
    if clips > _MANY:
        log.warning(
            "Comparing %d clips with one another takes about %.1f hours and %.0f GB of memory. "
            "Where the manifest has a `group` column that is right, it is not needed: `frameflow "
            "data check --no-content`.",
            clips, clips**2 / 2 * _PAIR / 3600, clips * _EACH / 1e9,
        )  # fmt: skip


def parts_of(manifest: Manifest) -> dict[Path, list[Part]]:
    """What the samples show of each video, each part once."""
    parts: dict[Path, dict[Part, None]] = {}
    for sample in manifest:
        own = parts.setdefault(manifest.path(sample), {})
        own[sample.start, sample.end, sample.region] = None
    return {path: list(own) for path, own in parts.items()}


def gathered(
    manifest: Manifest, found: Mapping[tuple[Path, Part], np.ndarray | VideoError]
) -> Backgrounds:
    """The backgrounds of the samples, from those of the parts that they show."""
    pictures: list[np.ndarray] = []
    rows: list[int] = []
    failed: dict[int, VideoError] = {}
    for row, sample in enumerate(manifest):
        result = found[manifest.path(sample), (sample.start, sample.end, sample.region)]
        if isinstance(result, VideoError):
            failed[row] = result
        else:
            rows.append(row)
            pictures.append(result)
    shape = (0, _HEIGHT, _WIDTH, 3)
    stacked = np.stack(pictures) if pictures else np.empty(shape, np.float32)
    return Backgrounds(np.array(rows, dtype=np.int64), stacked, failed)


def background(path: Path, part: Part) -> np.ndarray | VideoError:
    """(32, 64, 3) float32, 0 to 255, or why it cannot be seen."""
    start, end, region = part
    request = ClipRequest(
        sampling=Sampling(strategy="uniform", frames=_FRAMES),
        size=(_WIDTH, _HEIGHT),
        fit="squash",
        interpolation="area",
    )
    try:
        (clip,) = read_clips(path, request, start=start, end=end, region=region)
    except VideoError as error:
        return error
    return np.median(clip.frames[clip.mask], axis=0).astype(np.float32)


def same_scene_pairs(
    backgrounds: Backgrounds,
    *,
    max_difference: float = MAX_DIFFERENCE,
    min_correlation: float = MIN_CORRELATION,
) -> list[ScenePair]:
    """All pairs of samples that show one scene, the most alike first.

    Args:
        backgrounds: of the samples.
        max_difference: mean absolute difference of two backgrounds, in levels of 255.
        min_correlation: of their pixels.

    Raises:
        UsageError: a limit is out of range.
    """
    if not 0 < max_difference <= 255:
        raise UsageError(f"max_difference ({max_difference}) must be in (0, 255]")
    if not -1 <= min_correlation <= 1:
        raise UsageError(f"min_correlation ({min_correlation}) must be in [-1, 1]")
    from scipy.spatial.distance import cdist

    pictures = backgrounds.pictures
    count = len(pictures)
    if count < 2:
        return []
    fine = pictures.reshape(count, -1)
    # The difference of block means is never more than the mean of the differences, so comparing
    # the coarse pictures first drops no pair.
    coarse = pictures.reshape(
        count, _HEIGHT // _COARSE, _COARSE, _WIDTH // _COARSE, _COARSE, 3
    ).mean((2, 4))
    coarse = coarse.reshape(count, -1)
    centred = fine - fine.mean(1, keepdims=True)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    pairs: list[ScenePair] = []
    for start in range(0, count, _BLOCK):
        near = cdist(coarse[start : start + _BLOCK], coarse[start:], "cityblock")
        near /= coarse.shape[1]
        for one, two in np.argwhere(near <= max_difference):
            if two <= one:
                continue
            difference = float(np.abs(fine[start + one] - fine[start + two]).mean())
            if difference > max_difference:
                continue
            same_pattern = float(centred[start + one] @ centred[start + two]) >= min_correlation
            # A picture without pattern correlates with nothing: there only equality counts.
            if same_pattern or difference < 1.0:
                first, second = backgrounds.rows[start + one], backgrounds.rows[start + two]
                pairs.append(ScenePair(int(first), int(second), difference))
    return sorted(pairs, key=lambda pair: pair.difference)


def crossing(pairs: Sequence[ScenePair], manifest: Manifest) -> list[ScenePair]:
    """The pairs whose two samples stand in different splits."""
    found = []
    for pair in pairs:
        one, two = manifest[pair.one].split, manifest[pair.two].split
        if one and two and one != two:
            found.append(pair)
    return found


def _checked_workers(workers: int | None) -> int:
    if workers is None:
        return os.cpu_count() or 1
    if workers < 1:
        raise UsageError(f"workers ({workers}) must be > 0")
    return workers
