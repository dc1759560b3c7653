"""UCF101 and its official lists.

K. Soomro, A. R. Zamir and M. Shah, "UCF101: A Dataset of 101 Human Actions Classes From Videos in
The Wild", CRCV-TR-12-01, 2012. 13,320 clips of 101 actions in 2,525 groups; a group is cut from
one source video, and the three official splits keep groups apart.
"""

import csv
import logging
import os
import posixpath
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from frameflow.data._group_names import group_number
from frameflow.data._walk import require_folder, walk
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import cut_validation
from frameflow.errors import UsageError, listing, near_names

log = logging.getLogger(__name__)

FOLDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of a list."""

    stem: str  # v_Archery_g01_c01
    label: str
    split: str
    number: int  # of its group


def import_ucf101(
    videos: str | os.PathLike[str],
    annotations: str | os.PathLike[str],
    *,
    fold: int = 1,
    val_share: float = 0.15,
    seed: int = 0,
    allow_missing: bool = False,
) -> Manifest:
    """The manifest of one official split of UCF101.

    Args:
        videos: the folder of the videos, in class folders or flat. Videos are matched by their
            names, whatever the ending and the case, because the lists write
            ``v_HandStandPushups_g01_c01.avi`` and the videos in circulation
            ``v_HandstandPushups_g01_c01.avi``. Folders of frame images count as videos.
        annotations: the folder of ``classInd.txt``, ``trainlist01.txt`` and so on.
        fold: the official split, 1, 2 or 3.
        val_share: the share of the train list that becomes ``val``, whole groups at a time.
        seed: of the choice of these groups.
        allow_missing: go on without the videos that are not there.

    Returns:
        Samples with label, split, group (``Class_g01``) and ``category``, rooted at ``videos``.

    Raises:
        UsageError: a folder or list is missing or malformed, or videos are missing.
    """
    if fold not in FOLDS:
        raise UsageError(f"fold ({fold}) must be 1, 2 or 3: UCF101 has three official splits.")
    root = require_folder(videos, "of the UCF101 videos")
    entries = _read_lists(_find_lists(annotations), fold)
    by_stem = _by_stem(walk(root).videos)
    samples, missing = [], []
    for entry in entries:
        video = by_stem.pop(entry.stem.casefold(), None)
        if video is None:
            missing.append(f"{entry.label}/{entry.stem}.avi")
            continue
        group = f"{entry.label}_g{entry.number:02d}"
        kind = {"category": categories().get(entry.label, "")}
        samples.append(Sample(video, entry.label, entry.split, group, extra=kind))
    _check_missing(missing, len(entries), root, allow_missing=allow_missing)
    log.info(
        "Found %s of the %s videos of fold %d.", f"{len(samples):,}", f"{len(entries):,}", fold
    )
    if by_stem:
        log.info(
            "Left out %s videos that the lists do not name: %s.",
            f"{len(by_stem):,}",
            listing(sorted(by_stem.values()), most=3),
        )
    return cut_validation(Manifest(samples, root), val=val_share, seed=seed)


@cache
def categories() -> dict[str, str]:
    """The category of each of the 101 actions, one of the five that the authors name.

    Example:
        >>> categories()["Archery"]
        'Sports'
    """
    table = resources.files("frameflow.data") / "ucf101_categories.csv"
    rows = csv.DictReader(table.read_text("utf-8").splitlines())
    return {row["label"]: row["category"] for row in rows}


def _find_lists(annotations: str | os.PathLike[str]) -> Path:
    """The folder of the lists: the one given, or the one that the official archive unpacks to."""
    folder = require_folder(annotations, "of the lists (ucfTrainTestlist)")
    for candidate in (folder, folder / "ucfTrainTestlist"):
        if (candidate / "classInd.txt").is_file():
            return candidate
    raise UsageError(
        f"There is no classInd.txt in {folder}: give the folder of the official lists, "
        "ucfTrainTestlist. `frameflow data fetch ucf101` gets it."
    )


def _read_lists(folder: Path, fold: int) -> list[_Entry]:
    numbers = {}
    for place, line in _lines(folder / "classInd.txt"):
        number, _, label = line.partition(" ")
        if not number.isdecimal() or not label:
            raise UsageError(f"{place}: {line!r} is not a number and a class name.")
        numbers[label.strip()] = int(number)
    entries = []
    for split in ("train", "test"):
        for place, line in _lines(folder / f"{split}list{fold:02d}.txt"):
            entries.append(_parse_line(place, line, split, numbers))
    return entries


def _parse_line(place: str, line: str, split: str, numbers: dict[str, int]) -> _Entry:
    """``Class/v_Class_g01_c01.avi 1`` of a train list; test lists have no number."""
    path, _, number = line.partition(" ")
    label, name = posixpath.split(path)
    group = group_number(name)
    if group is None or (number and not number.strip().isdecimal()):
        raise UsageError(f"{place}: {line!r} is not like Class/v_Class_g01_c01.avi.")
    if label not in numbers:
        raise UsageError(
            f"{place}: classInd.txt does not name the class {label!r}.{near_names(label, numbers)}"
        )
    if number and int(number) != numbers[label]:
        raise UsageError(
            f"{place}: {label} has the number {number.strip()} here "
            f"and {numbers[label]} in classInd.txt: get the lists anew."
        )
    return _Entry(posixpath.splitext(name)[0], label, split, group)


def _lines(path: Path) -> list[tuple[str, str]]:
    """(file and line number, text) of the lines that are not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UsageError(
            f"The list {path} cannot be read ({reason}): get the lists anew with "
            "`frameflow data fetch ucf101`."
        ) from None
    numbered = enumerate(map(str.strip, text.splitlines()), start=1)
    return [(f"{path.name}, line {number}", line) for number, line in numbered if line]


def _by_stem(videos: list[str]) -> dict[str, str]:
    """Videos by name without ending, in lower case; ``.avi`` goes before a copy in another."""
    preferred = sorted(videos, key=lambda video: (not video.lower().endswith(".avi"), video))
    by_stem: dict[str, str] = {}
    for video in preferred:
        name = posixpath.basename(video)
        stem = posixpath.splitext(name)[0] if group_number(name) is not None else name
        by_stem.setdefault(stem.casefold(), video)
    return by_stem


def _check_missing(missing: list[str], total: int, root: Path, *, allow_missing: bool) -> None:
    if len(missing) == total:
        raise UsageError(
            f"{root} holds none of the {total:,} videos of the lists: give the folder UCF-101, "
            "with names such as v_Archery_g01_c01.avi. `frameflow data fetch ucf101` gets it."
        )
    if not missing:
        return
    found = f"{len(missing):,} of the {total:,} videos are not in {root}: {listing(missing)}."
    if not allow_missing:
        raise UsageError(
            f"{found}\nGet them with `frameflow data fetch ucf101`, "
            "or go on without them (--allow-missing)."
        )
    log.warning("%s", found)
