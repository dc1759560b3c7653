"""Spans of VIA 3, the VGG Image Annotator: its projects (JSON) and its exports (CSV).

A. Dutta and A. Zisserman, "The VIA Annotation Software for Images, Audio and Video", ACM Multimedia
2019, https://arxiv.org/abs/1904.10699. A segment is ``z: [start, end]`` in seconds; its label is
the value of an attribute, often the number of an option.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frameflow.data._span import SpanFile
from frameflow.errors import UsageError, listing, near_names


def read_via_project(path: Path, text: str, attribute: str | None) -> SpanFile:
    """The temporal segments of a project.

    Raises:
        UsageError: no VIA 3 project, or several attributes to choose from.
    """
    try:
        project = json.loads(text)
        parts = [project[name] for name in ("file", "view", "attribute", "metadata")]
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is no project of VIA 3 (file, view, attribute, metadata): "
            "save the project in VIA's version 3, or export its segments as CSV."
        ) from None
    files, views, attributes, metadata = parts
    found = SpanFile(path)
    segments = {
        identity: entry
        for identity, entry in metadata.items()
        if isinstance(entry, dict) and entry.get("z")
    }
    used = [value for entry in segments.values() for value in entry.get("av", {})]
    chosen = _choose(path, _attributes(attributes), used, attribute)
    for identity, entry in segments.items():
        place = f"{path.name}, segment {identity}"
        try:
            number = str(views[str(entry["vid"])]["fid_list"][0])
            video = files[number].get("fname") or files[number].get("src") or ""
        except (KeyError, IndexError, TypeError, AttributeError):
            found.fault(place, f"it is of a view that is not there ({entry.get('vid')})")
            continue
        label = _label(entry.get("av", {}), chosen, attributes)
        _add(found, place, str(video), entry["z"], label)
    return found


def read_via_csv(path: Path, text: str, attribute: str | None) -> SpanFile:
    """The temporal segments of an export, of either of its two forms.

    Raises:
        UsageError: the export lacks a column, or several attributes could be meant.
    """
    header, attributes, lines = _split(path, text)
    found = SpanFile(path)
    rows = []
    for number, line in lines:
        place = f"{path.name}, line {number}"
        cells = next(csv.reader(io.StringIO(line), skipinitialspace=True), [])
        try:
            row = dict(zip(header, cells, strict=True))
            moments = _moments(row)
            video = json.loads(row["file_list"])[0]
            values = json.loads(row["metadata"])
            if not isinstance(values, dict):
                raise TypeError
        except (ValueError, KeyError, IndexError, TypeError):
            found.fault(place, "it is not as the header says: export the segments anew")
            continue
        if moments:
            rows.append((place, str(video), moments, values))
    known = _attributes(attributes)
    chosen = _choose(path, known, [name for *_, values in rows for name in values], attribute)
    for place, video, moments, values in rows:
        _add(found, place, video, moments, _label(values, chosen, attributes))
    return found


def _split(path: Path, text: str) -> tuple[list[str], dict[str, Any], list[tuple[int, str]]]:
    """The names of the columns, the attributes, and the numbered lines of the rows."""
    header: list[str] = []
    attributes: dict[str, Any] = {}
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        plain = line.strip().strip('"') if line.lstrip('"').startswith("#") else line
        key, _, value = plain.lstrip("# ").partition("=")
        if not plain.startswith("#"):
            if line.strip():
                lines.append((number, line))
        elif key.strip() == "CSV_HEADER":
            header = [name.strip() for name in value.split(",") if name.strip()]
        elif key.strip() in ("ATTRIBUTE", "ATTRIBUTES"):
            try:
                attributes = json.loads(value)
            except ValueError:
                attributes = {}
    if not {"file_list", "metadata"} <= set(header):
        raise UsageError(f"{path} names no columns file_list and metadata: export it anew.")
    return header, attributes, lines


def _moments(row: Mapping[str, str]) -> list[float]:
    if "temporal_coordinates" in row:
        return [float(value) for value in json.loads(row["temporal_coordinates"])]
    return [float(row["temporal_segment_start"]), float(row["temporal_segment_end"])]


def _attributes(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The name of each attribute by its number; one form of export gives the name alone."""
    return {
        number: str(entry.get("aname", number) if isinstance(entry, dict) else entry)
        for number, entry in attributes.items()
    }


def _choose(
    path: Path, known: Mapping[str, str], used: list[str], attribute: str | None
) -> str | None:
    """The attribute that holds the labels, by its number; None where no segment has one."""
    numbers = list(dict.fromkeys(used))
    names = {known.get(number, number): number for number in numbers}
    if attribute is not None:
        if attribute not in names:
            near = near_names(attribute, names)
            raise UsageError(
                f"No segment of {path} has the attribute {attribute!r}; "
                f"they have {listing(list(names))}.{near}"
            )
        return names[attribute]
    if len(numbers) > 1:
        raise UsageError(
            f"The segments of {path} have {len(numbers)} attributes ({listing(list(names))}): "
            "say which holds the labels, with --tier."
        )
    return numbers[0] if numbers else None


def _label(values: Mapping[str, Any], chosen: str | None, attributes: Mapping[str, Any]) -> str:
    """The value in words: options are stored by their number, several joined by commas."""
    value = str(values.get(chosen or "", ""))
    entry = attributes.get(chosen or "")
    options = entry.get("options", {}) if isinstance(entry, dict) else {}
    if value in options:
        return str(options[value])
    several = [part for part in value.split(",") if part]
    if several and all(part in options for part in several):
        return "|".join(str(options[part]) for part in several)
    return value


def _add(found: SpanFile, place: str, video: str, moments: list[Any], label: str) -> None:
    try:
        times = [float(moment) for moment in moments]
    except (TypeError, ValueError):
        found.fault(place, f"its times ({moments}) are no numbers")
        return
    if len(times) > 2:
        found.fault(place, f"it has {len(times)} times where a segment has two")
        return
    found.add(place, video, times[0], times[-1], label)
