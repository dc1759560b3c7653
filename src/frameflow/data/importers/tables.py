"""A table of videos or frame folders and their labels, whatever its columns are called."""

import csv
import io
from pathlib import Path

from frameflow.data.importers._shared import (
    SPLIT_NAMES,
    Path_,
    VideoNames,
    collect,
    read_text,
    refuse,
)
from frameflow.data.importers.lists import read_label_map
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing

_COLUMNS = {
    "video": ("video", "video_path", "path", "file", "filename", "file_name", "folder", "clip",
              "video_id", "id", "name"),
    "label": ("label", "class", "action", "category", "tag", "class_name", "label_name", "target"),
    "split": ("split", "subset", "set", "usage", "partition"),
    "group": ("group", "scene", "subject", "actor", "source"),
}  # fmt: skip


def import_table(
    videos: Path_, table: Path_, *, labels: Path_ | None = None, allow_missing: bool = False
) -> Manifest:
    """The manifest of a CSV with a header, such as ``video_path,tag,split``.

    Videos are found by the path or the name in the table, with any ending or none; folders of
    frames count. Further columns are kept.

    Args:
        videos: the folder of the videos or of the folders of frames.
        table: CSV separated by commas, semicolons or tabs.
        labels: the names of labels that the table gives as numbers, one a line.
        allow_missing: go on without the videos that are not there.

    Raises:
        UsageError: the table is missing or malformed, or videos are missing.
    """
    path = Path(table)
    index = VideoNames(videos, "of the videos")
    names = read_label_map(labels) if labels is not None else None
    header, rows = _read(path)
    places = _places(path, header)
    samples, missing, faults = [], [], []
    for number, cells in rows:
        if len(cells) != len(header):
            faults.append((number, f"has {len(cells)} cells where the header has {len(header)}"))
            continue
        row = {meaning: cells[place] for meaning, place in places.items()}
        split = row.get("split", "").casefold()
        label, reason = _named(row["label"], names)
        if split and split not in SPLIT_NAMES:
            reason = f"split {split!r} is none of train, val, test"
        if reason:
            faults.append((number, reason))
            continue
        found = index.find(row["video"])
        if found is None:
            missing.append(row["video"])
            continue
        kept = {n: c for i, (n, c) in enumerate(zip(header, cells)) if i not in places.values()}
        extra = {name: cell for name, cell in kept.items() if name}
        group = row.get("group", "")
        samples.append(Sample(found, label, SPLIT_NAMES.get(split, ""), group, extra=extra))
    refuse(path, faults)
    return collect(samples, missing, index.root, allow_missing=allow_missing)


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    text = read_text(path)
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    header = [name.strip() for name in next(reader, [])]
    rows = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
    return header, rows


def _places(path: Path, header: list[str]) -> dict[str, int]:
    lower = [name.casefold() for name in header]
    places = {}
    for meaning, names in _COLUMNS.items():
        place = next((lower.index(name) for name in names if name in lower), None)
        if place is not None:
            places[meaning] = place
        elif meaning in ("video", "label"):
            raise UsageError(
                f"{path} has no column for the {meaning} (its columns: {listing(header, most=8)}): "
                f"call one {meaning!r}."
            )
    return places


def _named(label: str, names: dict[int, str] | None) -> tuple[str, str]:
    """The label by its name, or why it has none."""
    if names is None or not label:
        return label, ""
    if label in names.values():
        return label, ""
    if label.isdecimal() and int(label) in names:
        return names[int(label)], ""
    return "", f"the map of labels has no {label!r}"
