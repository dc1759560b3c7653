"""Kinetics 400, 600 and 700: tables of YouTube videos and the ten seconds that were cut from each.

W. Kay et al., "The Kinetics Human Action Video Dataset", 2017, https://arxiv.org/abs/1705.06950.
The tables have the columns ``label, youtube_id, time_start, time_end, split``; clips are named
``ID_000010_000020.mp4``. Many videos are gone from YouTube, so nobody has all of them.
"""

import csv
import io
import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from frameflow.data.importers._shared import (
    SPLIT_NAMES,
    Path_,
    VideoNames,
    collect,
    read_text,
    refuse,
    split_of,
)
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing

log = logging.getLogger(__name__)

_CUT = re.compile(r"^(?P<id>.{11})_(?P<start>\d{1,6})_(?P<end>\d{1,6})$")
_NEEDED = ("youtube_id", "time_start", "time_end")


def import_kinetics(
    videos: Path_,
    tables: Iterable[Path_],
    *,
    untrimmed: bool = False,
    allow_missing: bool = False,
) -> Manifest:
    """The manifest of a Kinetics data set. Each sample's group is its YouTube video.

    Args:
        videos: the folder of the clips, flat or in folders by class or split, named
            ``ID_000010_000020.mp4``, ``ID_10_20.mp4`` or ``ID.mp4``.
        tables: ``train.csv``, ``val.csv`` and so on; the split is that of the column ``split``,
            or of the file's name where there is no such column.
        untrimmed: files that are named by their ID alone are whole videos, so that samples are
            spans of them; otherwise they count as the clip.
        allow_missing: go on without the videos that are not there.

    Raises:
        UsageError: a table is missing or malformed, or videos are missing.
    """
    index = _Clips(videos)
    samples: list[Sample] = []
    missing: list[str] = []
    for table in map(Path, tables):
        for label, identity, start, end, split in _rows(table):
            video, whole = index.clip(identity, start, end)
            if video is None:
                missing.append(f"{identity}_{int(start):06d}_{int(end):06d}")
                continue
            span = (start, end) if whole and untrimmed else (None, None)
            samples.append(Sample(video, label, split, identity, *span))
    _refuse_several(samples)
    return collect(samples, missing, index.root, allow_missing=allow_missing)


def cut_name(stem: str) -> tuple[str, int, int] | None:
    """ID, start and end of a name such as ``ID_000010_000020``; None of other names.

    Example:
        >>> cut_name("-abcdefghi1_000010_000020"), cut_name("clip_7")
        (('-abcdefghi1', 10, 20), None)
    """
    match = _CUT.match(stem)
    return (match["id"], int(match["start"]), int(match["end"])) if match else None


class _Clips(VideoNames):
    """Clips by ID and times, and files by ID alone."""

    def __init__(self, videos: Path_) -> None:
        super().__init__(videos, "of the Kinetics videos")
        self._cut: dict[tuple[str, int, int], str] = {}
        self._whole: dict[str, str] = {}
        for video in self.videos:
            stem = Path(video).name if (self.root / video).is_dir() else Path(video).stem
            cut = cut_name(stem)
            if cut:
                self._cut.setdefault(cut, video)
            else:
                self._whole.setdefault(stem, video)

    def clip(self, identity: str, start: float, end: float) -> tuple[str | None, bool]:
        """The file of a row, and whether its name is the ID alone."""
        cut = self._cut.get((identity, int(start), int(end)))
        return (cut, False) if cut else (self._whole.get(identity), True)


def _rows(path: Path) -> list[tuple[str, str, float, float, str]]:
    """(label, ID, start, end, split) of each row."""
    reader = csv.reader(io.StringIO(read_text(path)))
    header = [name.strip().lower() for name in next(reader, [])]
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        raise UsageError(
            f"{path} has no column {lacking[0]!r}: a Kinetics table has the columns label, "
            "youtube_id, time_start, time_end, split."
        )
    rows, faults = [], []
    for cells in reader:
        if not any(cells):
            continue
        number = reader.line_num
        if len(cells) != len(header):
            faults.append((number, f"has {len(cells)} cells where the header has {len(header)}"))
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells)}
        split = row.get("split", "").lower() or split_of(path.stem)
        try:
            start, end = (float(row[name]) for name in _NEEDED[1:])
            if not 0 <= start < end < math.inf:
                raise ValueError
        except ValueError:
            times = f"{row['time_start']!r} and {row['time_end']!r}"
            faults.append((number, f"{times} are no start and end in seconds"))
            continue
        if split and split not in SPLIT_NAMES:
            faults.append((number, f"split {split!r} is none of train, validate, test"))
            continue
        label = row.get("label", "")
        rows.append((label, row["youtube_id"], start, end, SPLIT_NAMES.get(split, "")))
    refuse(path, faults)
    return rows


def _refuse_several(samples: list[Sample]) -> None:
    """One file for several rows must be a whole video."""
    of: dict[tuple[str, float | None], int] = defaultdict(int)
    for sample in samples:
        of[sample.video, sample.start] += 1
    several = [video for (video, _), count in of.items() if count > 1]
    if several:
        raise UsageError(
            f"Several rows are of one file: {listing(several, most=3)}. If files named by their ID "
            "alone are whole videos, say so (--untrimmed); else delete the rows that repeat."
        )
