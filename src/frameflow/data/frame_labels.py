"""Frame-labelled data: a table with a label for each frame of each video."""

import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from frameflow.data._table import read_table
from frameflow.data._walk import require_folder
from frameflow.data.manifest import Manifest
from frameflow.data.splits import check_leaks
from frameflow.errors import UsageError, listing

log = logging.getLogger(__name__)


def import_frame_labels(
    table: str | os.PathLike[str], *, videos: str | os.PathLike[str] | None = None
) -> Manifest:
    """The manifest of a table of frame labels.

    Each row becomes a sample: the frames that end at the labelled one. A clip that would begin
    before the video does is masked at its start. All frames of a video are one group, since
    frames that follow one another show the same; a column ``group`` goes before.

    Args:
        table: CSV or Parquet with the columns ``video,frame,label``, and ``split`` where it is
            known. ``video`` is a folder of numbered frame images, or a video file; ``frame`` a
            file name in that folder, or an index from 0.
        videos: the folder that holds the videos; the table's own where None.

    Raises:
        ManifestError: rows break the rules: a frame that is not there, a frame labelled twice.
        UsageError: no such table, a column is missing, or rows without a frame.
    """
    path = Path(table)
    if "frame" not in read_table(path).columns:  # said before every second row is a repetition
        raise UsageError(
            f"{path} has no column frame: a table of frame labels has the columns "
            f"video,frame,label, and split where it is known."
        )
    read = Manifest.read(path, check_files=False)
    if videos is not None:
        root = require_folder(videos, "of the labelled videos")
        read = Manifest(read.samples, root, columns=read.columns, source=path)
    without = [sample.row for sample in read if sample.frame is None]
    if without:
        rows = listing([str(row) for row in without], most=5)
        raise UsageError(f"{path} names no frame in {len(without)} rows ({rows}): fill the column.")
    read.validate()
    manifest = read.replace(
        replace(sample, group=sample.group or Path(sample.video).as_posix()) for sample in read
    )
    frames = Counter(sample.video for sample in manifest)
    log.info("Found %d labelled frames in %d videos.", len(manifest), len(frames))
    if leaks := check_leaks(manifest):
        log.warning(
            "%s in more than one split: frames of one video are alike, so the score would be too "
            "high. `frameflow data split` makes another split.",
            listing([leak.group for leak in leaks], most=3),
        )
    return manifest
