"""What all importers share: numbered lines, videos by name, and what is said of missing ones."""

import logging
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from frameflow.data._faults import Fault, ManifestError
from frameflow.data._walk import require_folder, walk
from frameflow.data.containers import is_video_name
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing

log = logging.getLogger(__name__)

Path_ = str | os.PathLike[str]

# What the files of a data set call its parts.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def read_text(path: Path) -> str:
    """The text of a file of annotations.

    Raises:
        UsageError: it cannot be read or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"{path} cannot be read ({reason}): check the path.") from None


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines that are not empty, without spaces at their ends.

    Raises:
        UsageError: the file cannot be read.
    """
    lines = enumerate(map(str.strip, read_text(path).split("\n")), start=1)
    return [(number, line) for number, line in lines if line]


def refuse(path: Path, faults: Sequence[tuple[int, str]]) -> None:
    """Stop where lines are wrong.

    Raises:
        ManifestError: naming each line with its fault, the first ten.
    """
    if faults:
        raise ManifestError(str(path), [Fault(*fault) for fault in faults], unit="line")


def split_of(name: str) -> str:
    """The split that a file's name tells: that of the word it holds, or none.

    Example:
        >>> split_of("kinetics400_val_list_videos.txt"), split_of("labels.txt")
        ('val', '')
    """
    words = "".join(c if c.isalnum() else " " for c in name.casefold()).split()
    stems = [word.rstrip("0123456789") for word in words]
    found = {SPLIT_NAMES[stem] for stem in stems if stem in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else ""


class VideoNames:
    """The videos below a folder, by the path or the name that a list gives them."""

    def __init__(self, folder: Path_, what: str) -> None:
        self.root = require_folder(folder, what)
        self.videos = walk(self.root).videos
        self._paths = {_bare(video): video for video in self.videos}
        self._names: dict[str, list[str]] = defaultdict(list)
        for video in self.videos:
            self._names[posixpath.basename(_bare(video))].append(video)

    def find(self, name: str) -> str | None:
        """The video that a list calls ``name``, whatever its ending and the case; else None.

        The end of one path must be the whole of the other: ``train/serve/1.mp4`` is ``serve/1.avi``
        and ``1.mp4``, and not ``lob/1.mp4``.

        Raises:
            UsageError: several videos could be meant.
        """
        bare = _bare(posixpath.normpath(name.replace("\\", "/")))
        if bare in self._paths:
            return self._paths[bare]
        same = self._names.get(posixpath.basename(bare), [])
        parts = bare.split("/")
        found = [video for video in same if _ends_alike(_bare(video).split("/"), parts)]
        if len(found) > 1:
            raise UsageError(
                f"{name} could be {listing(found, most=3)} in {self.root}: "
                "give the folder that the names of the list start from."
            )
        return found[0] if found else None


def _bare(video: str) -> str:
    return (posixpath.splitext(video)[0] if is_video_name(video) else video).casefold()


def _ends_alike(one: list[str], two: list[str]) -> bool:
    """Whether the end of one path is the whole of the other."""
    return all(a == b for a, b in zip(reversed(one), reversed(two)))


def collect(
    samples: Iterable[Sample], missing: Sequence[str], root: Path, *, allow_missing: bool
) -> Manifest:
    """The manifest, once it is said which videos are not there.

    Raises:
        UsageError: videos are missing and that is not allowed, or none is there.
    """
    kept = list(samples)
    total = len(kept) + len(missing)
    if not total:
        raise UsageError("The lists name no videos: give the ones with the annotations.")
    if not kept:
        raise UsageError(
            f"{root} holds none of the {total:,} videos of the lists, such as {missing[0]}: "
            "give the folder they lie in."
        )
    if missing:
        found = f"{len(missing):,} of the {total:,} videos are not in {root}: {listing(missing)}."
        if not allow_missing:
            raise UsageError(f"{found}\nGet them, or go on without them (--allow-missing).")
        log.warning("%s", found)
    return Manifest(kept, root)
