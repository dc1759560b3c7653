"""Where the segments of videos are written to: checked before long work, written after it."""

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.errors import UsageError
from frameflow.inference.timeline.annotate import annotate_video, check_annotated
from frameflow.inference.timeline.files import (
    FORMS,
    beside_file,
    check_form,
    csv_text,
    save_text,
    write_timeline,
)
from frameflow.inference.timeline.picture import PICTURES, Stretch, check_picture, write_picture

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.segments import Segment, SegmentRule

Source = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that were asked for.

    Attributes:
        table: a CSV of all videos.
        files: of one video, each in the form of its ending (`write_timeline`).
        picture: of one video, .svg or .png.
        video: one video with the labels drawn on it.
        folder: all of them but the drawn video, for each video, with the video's name.
    """

    table: Path | None = None
    files: tuple[Path, ...] = ()
    picture: Path | None = None
    video: Path | None = None
    folder: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.table or self.files or self.picture or self.video or self.folder)

    def check(self, videos: Sequence[Source]) -> None:
        """Before long work: whether all of it can be written.

        Raises:
            UsageError: an ending is no form, a folder is missing, or a file is for one video only.
        """
        if self.table is not None and self.table.suffix.lower() != ".csv":
            raise UsageError(f"{self.table} must end in .csv.")
        for path in self.files:
            check_form(path)
        if self.picture is not None:
            check_picture(self.picture)
        if self.video is not None:
            check_annotated(self.video, videos)
        single = [*self.files, *(path for path in (self.picture, self.video) if path is not None)]
        for path in [*single, *([self.table] if self.table else [])]:
            _check_place(path)
        if single and len(videos) > 1:
            raise UsageError(
                f"{single[0]} can hold one video, not {len(videos)}: --out FOLDER writes files "
                "for each, and --csv one table."
            )
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file: name a folder.")

    def write(
        self,
        timeline: "Timeline",
        segments: "Sequence[Segment]",
        *,
        name: str,
        rule: "SegmentRule",
        truth: Sequence[Stretch] = (),
        progress: Callable[[float], None] | None = None,
    ) -> list[Path]:
        """Write what is of one video.

        Args:
            timeline: of the video.
            segments: of it.
            name: of its files in the folder, without ending (`file_names`).
            rule: by which the segments were found.
            truth: what truly happens, for the picture.
            progress: called with the share of the video that is drawn.

        Returns:
            The files written.

        Raises:
            FrameFlowError: a file cannot be written.
        """
        files, pictures = list(self.files), [self.picture] if self.picture else []
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            files += [self.folder / f"{name}.{form}" for form in FORMS]
            pictures += [self.folder / f"{name}{ending}" for ending in PICTURES]
        for path in files:
            write_timeline(path, timeline, segments)
        for path in pictures:
            write_picture(path, timeline, segments, rule=rule, truth=truth)
        if self.video is not None:
            annotate_video(self.video, timeline, segments, progress=progress)
        return [*files, *pictures, *([self.video] if self.video else [])]


class Table:
    """Rows of several videos for one CSV; what windows say is not kept.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._text = path, ""

    def add(self, timeline: "Timeline", segments: "Sequence[Segment]") -> None:
        """Note the segments of one more video."""
        beside = replace(timeline, video=beside_file(timeline.video, self.path))
        text = csv_text([(beside, segments)])
        self._text += text if not self._text else text.split("\n", 1)[1]

    def write(self) -> None:
        """Write the table.

        Raises:
            FrameFlowError: it cannot be written.
        """
        save_text(self.path, self._text or csv_text([]))

    def __len__(self) -> int:
        return max(0, sum(1 for _ in csv.reader(io.StringIO(self._text))) - 1)


def file_names(videos: Sequence[Source]) -> list[str]:
    """A name for the files of each video: its own without ending, with a number where it is taken.

    Example:
        >>> file_names(["a/one.mp4", "b/one.avi", "two.mp4"])
        ['one', 'one-2', 'two']
    """
    taken: set[str] = set()
    names = []
    for video in videos:
        stem = Path(video).stem or "video"
        name, number = stem, 2
        while name.casefold() in taken:  # as file systems that ignore case would have it
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} to write {path.name} into: make it.")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: the folder {path.parent} is write-protected.")
