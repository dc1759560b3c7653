"""Lists of videos with the numbers of their labels: the forms of MMAction2 and PyTorchVideo.

A line is ``path label`` (videos), ``path frames label`` (MMAction2's folders of frames) or
``path label label ...`` (several labels). A map of labels, one name a line in the order of the
numbers or ``number name``, gives the numbers their names.

https://mmaction2.readthedocs.io/en/latest/user_guides/prepare_dataset.html and
https://pytorchvideo.readthedocs.io/en/latest/data.html
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from frameflow.data._sample import SEPARATOR
from frameflow.data.importers._shared import (
    Path_,
    VideoNames,
    collect,
    numbered_lines,
    refuse,
    split_of,
)
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError

log = logging.getLogger(__name__)

_LINE = re.compile(r"^(?P<path>.+?)[\s,](?P<numbers>-?\d+(?:[\s,]+-?\d+)*)$")


def import_lists(
    videos: Path_,
    lists: Iterable[Path_],
    *,
    labels: Path_ | None = None,
    raw_frames: bool | None = None,
    multilabel: bool = False,
    allow_missing: bool = False,
) -> Manifest:
    """The manifest of lists such as ``train_list_videos.txt``.

    Args:
        videos: the folder that the paths of the lists start from.
        lists: text or CSV without a header; the split is that of the name (train, val, test).
        labels: the names of the numbers; without it the labels are the numbers.
        raw_frames: whether the first of two numbers counts frames; by default where every line
            has two and every path leads to a folder of frames.
        multilabel: whether all numbers are labels.
        allow_missing: go on without the videos that are not there.

    Raises:
        UsageError: a list or the map is missing or malformed, or videos are missing.
    """
    names = read_label_map(labels) if labels is not None else None
    index = VideoNames(videos, "that the paths of the lists start from")
    samples, missing = [], []
    for path in map(Path, lists):
        entries = _entries(path)
        counted = _counts_frames(entries, index) if raw_frames is None else raw_frames
        faults = []
        for line, video, numbers in entries:
            kept = numbers[1:] if counted and not multilabel else numbers
            label, reason = _label(kept, names, multilabel=multilabel)
            if reason:
                faults.append((line, reason))
                continue
            found = index.find(video)
            if found is None:
                missing.append(video)
            else:
                samples.append(Sample(found, label, split_of(path.stem)))
        refuse(path, faults)
    if names is None:
        log.warning("There is no map of labels, so they are numbers: give one with --labels.")
    return collect(samples, missing, index.root, allow_missing=allow_missing)


def read_label_map(path: Path_) -> dict[int, str]:
    """The names of labels by number: one a line in order, or ``number name`` on each line.

    The second form is known by its numbers, which are 0, 1, 2 or 1, 2, 3 and so on, in any order.

    Raises:
        UsageError: the file cannot be read, or names a number twice.
    """
    path = Path(path)
    lines = [line for _, line in numbered_lines(path)]
    matches = [re.match(r"^(\d+)[\s,:]+(.*\S)$", line) for line in lines]
    pairs = [(int(match[1]), match[2]) for match in matches if match]
    numbers = {number for number, _ in pairs}
    first = min(numbers, default=0)
    if len(pairs) < len(lines) or first > 1 or numbers != set(range(first, first + len(numbers))):
        return dict(enumerate(lines))
    if len(numbers) < len(pairs):
        raise UsageError(f"{path} gives one number two names: each number stands on one line.")
    return dict(pairs)


def _entries(path: Path) -> list[tuple[int, str, list[int]]]:
    """(line, video, numbers) of each line."""
    entries, faults = [], []
    for number, line in numbered_lines(path):
        match = _LINE.match(line)
        if match is None:
            faults.append((number, f"{line!r} is not a path and the number of a label"))
            continue
        numbers = [int(value) for value in re.split(r"[\s,]+", match["numbers"])]
        entries.append((number, match["path"].strip().strip('"'), numbers))
    refuse(path, faults)
    return entries


def _counts_frames(entries: list[tuple[int, str, list[int]]], index: VideoNames) -> bool:
    if not entries or any(len(numbers) != 2 for *_, numbers in entries):
        return False
    found = [video for _, name, _ in entries if (video := index.find(name)) is not None]
    return bool(found) and all((index.root / video).is_dir() for video in found)


def _label(
    numbers: list[int], names: dict[int, str] | None, *, multilabel: bool
) -> tuple[str, str]:
    """The label, or why there is none."""
    if not numbers:
        return "", "a number of frames, and no label"
    if len(numbers) > 1 and not multilabel:
        return "", f"has {len(numbers)} labels: import with several labels (--multilabel)"
    if names is None:
        return SEPARATOR.join(map(str, numbers)), ""
    unknown = [number for number in numbers if number not in names]
    if unknown:
        return "", f"the map of labels has no number {unknown[0]}: it has {len(names)} names"
    return SEPARATOR.join(names[number] for number in numbers), ""
