"""Do labels and frames belong together? What has no label, what has no frame, doubles and gaps."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from frameflow.data._parse import parse
from frameflow.data._table import read_table
from frameflow.data.containers import frame_names
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.span_rules import check_spans
from frameflow.data.spans import Span
from frameflow.errors import UsageError, VideoError, listing
from frameflow.progress import progress
from frameflow.video.frame_table import table_seconds
from frameflow.video.probe import VideoInfo, probe

Table = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]

_MOST_ROWS = 20
_NUMBER = re.compile(r"(\d+)\.[^.]+$")


@dataclass(frozen=True, slots=True)
class LabelTrouble:
    """A row that is wrong; ``kind`` is one of `KINDS`."""

    row: int
    video: str
    kind: str
    message: str


# What a row can be, in the order of the verdict, each with its cure.
KINDS = {
    "unreadable": "Mend or remove these rows.",
    "no video": "Correct the paths, or remove the rows.",
    "no frame": "Correct the frame names or numbers, or remove the rows.",
    "no label": "Write a label, or remove the rows.",
    "double": "Delete one of each.",
    "span": "Mend the times.",
}
_SAID = {
    "unreadable": "cannot be read",
    "no video": "name a video that cannot be read",
    "no frame": "label a frame that is not there",
    "no label": "have no label",
    "double": "label again what another row labels",
    "span": "hold a span that is past the end or overlaps another",
}


@dataclass(slots=True)
class VideoLabels:
    """The labels of one video.

    Attributes:
        video: as the rows write it.
        frames: how many it has.
        labelled: how many of them have a label.
        step: labels are on one of so many frames: the usual distance between two labelled ones.
        without_label: first and last index of the stretches in which that distance is passed.
        lost: first and last number of the image files that are missing in the numbering.
    """

    video: str
    frames: int
    labelled: int = 0
    step: int = 1
    without_label: list[tuple[int, int]] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many frames lack a label, counting one in `step`."""
        return sum((last - first) // self.step + 1 for first, last in self.without_label)


@dataclass(frozen=True)
class FrameLabelReport:
    """What `check_labels` found.

    Attributes:
        source: the file.
        rows: how many it has.
        videos: what is labelled by frames, by video.
        troubles: the rows that are wrong.
    """

    source: Path
    rows: int
    videos: list[VideoLabels]
    troubles: list[LabelTrouble]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.troubles and not any(v.without_label or v.lost for v in self.videos)

    def tables(self) -> list[Table]:
        """Titled tables to print: the videos, and the rows that are wrong."""
        tables: list[Table] = []
        if self.videos:
            header = ("video", "frames", "labelled", "one in", "without a label", "missing files")
            rows = [
                (v.video, v.frames, v.labelled, v.step, _ranges(v.without_label), _ranges(v.lost))
                for v in self.videos
            ]
            tables.append(("Labels of frames", header, rows))
        if self.troubles:
            order = list(KINDS)
            first = sorted(self.troubles, key=lambda t: (order.index(t.kind), t.row))
            told: list[tuple[Any, ...]] = [(t.row, t.video, t.message) for t in first[:_MOST_ROWS]]
            if len(first) > _MOST_ROWS:
                told.append((f"and {len(first) - _MOST_ROWS} more", "", ""))
            tables.append(("Rows that are wrong", ("row", "video", "what is wrong"), told))
        return tables

    def lines(self) -> list[str]:
        """The verdict, in sentences, each with the cure."""
        counts = Counter(trouble.kind for trouble in self.troubles)
        lines = [f"{counts[k]:,} of {self.rows:,} rows {_SAID[k]}. {KINDS[k]}"
                 for k in KINDS if counts[k]]  # fmt: skip
        missing = sum(video.missing for video in self.videos)
        if missing:
            lines.append(
                f"{missing:,} frames have no label, between or beside others that have. Label "
                "them, or give them a label of their own such as none."
            )
        lost = sum(last - first + 1 for video in self.videos for first, last in video.lost)
        if lost:
            lines.append(
                f"{lost:,} images are missing in the numbering of their folders, so what is shown "
                "jumps there. Extract the frames again, or keep each part in a folder of its own."
            )
        if not lines:
            frames = sum(video.labelled for video in self.videos)
            videos = f"{len(self.videos)} video{'s' if len(self.videos) != 1 else ''}"
            part = f", {frames:,} frames of {videos}" if self.videos else ""
            lines.append(f"All is well: {self.rows:,} rows read{part}.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        videos = [
            {"video": v.video, "frames": v.frames, "labelled": v.labelled, "step": v.step,
             "without_label": v.without_label, "missing_files": v.lost}
            for v in self.videos
        ]  # fmt: skip
        troubles = [
            {"row": t.row, "video": t.video, "kind": t.kind, "message": t.message}
            for t in self.troubles
        ]
        return {"ok": self.ok, "rows": self.rows, "videos": videos, "troubles": troubles}


def check_labels(path: str | os.PathLike[str]) -> FrameLabelReport:
    """Hold the rows of a manifest or a table of frame labels against the videos.

    Args:
        path: a table with ``video``, ``label`` and, where frames are labelled, ``frame`` (an index
            from 0, or a file name); spans are checked too.

    Raises:
        UsageError: the table is missing, empty or lacks a column.

    Example:
        >>> check_labels("labels.csv").ok  # doctest: +SKIP
        True
    """
    path = Path(path)
    samples, columns, faults = parse(read_table(path), path)
    if not samples and not faults:
        raise UsageError(f"{path} has no rows: it must name at least one video.")
    manifest = Manifest(samples, path.parent, columns=columns, source=path)
    troubles = [LabelTrouble(f.row, "", "unreadable", f.message) for f in faults]
    by_video: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_video[sample.video].append(sample)
        if not sample.label:
            troubles.append(LabelTrouble(sample.row, sample.video, "no label", "no label"))
    videos = []
    with progress("Checking", total=len(by_video), unit="videos") as advance:
        for video, members in by_video.items():
            found = _check_video(video, members, manifest.path(members[0]), troubles)
            videos += [found] if found is not None else []
            advance()
    troubles.sort(key=lambda trouble: trouble.row)
    return FrameLabelReport(path, len(samples) + len(faults), videos, troubles)


def _check_video(
    video: str, members: list[Sample], path: Path, troubles: list[LabelTrouble]
) -> VideoLabels | None:
    """Note what is wrong with the rows of one video; its labels where they are of frames."""
    try:
        info = probe(path)
    except VideoError as error:
        troubles += [LabelTrouble(s.row, video, "no video", error.reason) for s in members]
        return None
    troubles += _doubles(video, members)
    spans = [s for s in members if s.start is not None or s.end is not None]
    troubles += _span_troubles(video, spans, info.duration)
    framed = [sample for sample in members if sample.frame is not None]
    if not framed:
        return None
    names = frame_names(path) if path.is_dir() else []
    labelled = _labelled(framed, info, names, troubles)
    found = VideoLabels(video, info.frames, len(labelled))
    if labelled:
        found.step = _usual(labelled)
        found.without_label = _unlabelled(sorted(labelled), found.step, info.frames)
    if names and table_seconds(path, names) is None:
        found.lost = _lost(names)
    return found


def _doubles(video: str, members: list[Sample]) -> Iterable[LabelTrouble]:
    first: dict[tuple[Any, ...], Sample] = {}
    for sample in members:
        key = (sample.frame, sample.start, sample.end, sample.region)
        other = first.setdefault(key, sample)
        if other is not sample:
            same = other.label == sample.label
            how = "the same label" if same else f"{sample.label!r}, there {other.label!r}"
            message = f"labels again what row {other.row} labels ({how})"
            yield LabelTrouble(sample.row, video, "double", message)


def _span_troubles(video: str, spans: list[Sample], length: float) -> Iterable[LabelTrouble]:
    rows = [
        Span(video, s.start or 0.0, length if s.end is None else s.end, s.label, f"row {s.row}")
        for s in spans
    ]
    for fault in check_spans(rows, {video: length}, overlaps=True)[1]:
        row = int(fault.place.removeprefix("row "))
        yield LabelTrouble(row, video, "span", fault.message)


def _labelled(
    framed: list[Sample], info: VideoInfo, names: list[str], troubles: list[LabelTrouble]
) -> set[int]:
    """The frames that have a label, by index."""
    places = {name: index for index, name in enumerate(names)}
    labelled = set()
    for sample in framed:
        frame = sample.frame or ""
        index = int(frame) if frame.isdecimal() else places.get(frame, -1)
        if not 0 <= index < info.frames:
            message = f"there is no frame {frame} ({info.frames:,} frames)"
            troubles.append(LabelTrouble(sample.row, sample.video, "no frame", message))
        elif sample.label:
            labelled.add(index)
    return labelled


def _usual(indices: Iterable[int]) -> int:
    """The most common distance between neighbours; the smallest of several; 1 of a single one."""
    apart = Counter(b - a for a, b in pairwise(sorted(indices)))
    return min(apart, key=lambda distance: (-apart[distance], distance), default=1)


def _unlabelled(labelled: Sequence[int], step: int, frames: int) -> list[tuple[int, int]]:
    """Stretches where the usual distance is passed, as the first and last index it would have."""
    stretches = []
    if labelled[0] - step >= 0:
        stretches.append((labelled[0] % step, labelled[0] - step))
    for before, after in pairwise(labelled):
        last = before + (after - 1 - before) // step * step
        if last > before:
            stretches.append((before + step, last))
    end = labelled[-1] + (frames - 1 - labelled[-1]) // step * step
    if end > labelled[-1]:
        stretches.append((labelled[-1] + step, end))
    return stretches


def _lost(names: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers that are missing in the names of the images, as first and last."""
    numbers = [int(match[1]) for name in names if (match := _NUMBER.search(name))]
    step = _usual(numbers)
    return [(a + step, b - step) for a, b in pairwise(numbers) if b - a > step]


def _ranges(stretches: Sequence[tuple[int, int]]) -> str:
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in stretches]
    return listing(shown, most=4) or "-"
