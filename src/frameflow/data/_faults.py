"""The rules a manifest must keep, and the error that lists where it does not."""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from frameflow import remote
from frameflow._places import below, shown, url_in, url_of
from frameflow.data._sample import SPLITS, Region, Sample
from frameflow.data.containers import is_video_name
from frameflow.errors import UsageError, near_names

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one row; ``message`` says the cure too."""

    row: int
    message: str


class ManifestError(UsageError):
    """A manifest breaks its rules.

    Attributes:
        faults: all of them, in the order of their rows; the message shows the first ten.
    """

    def __init__(self, name: str, faults: Iterable[Fault], *, unit: str = "row") -> None:
        self.name, self.unit = name, unit
        self.faults = sorted(faults, key=lambda fault: fault.row)
        lines = [f"  {unit} {fault.row}: {fault.message}" for fault in self.faults[:SHOWN]]
        lines = [line if line.endswith("?") else f"{line}." for line in lines]
        rest = len(self.faults) - SHOWN
        if rest > 0:
            lines.append(f"  and {rest:,} more.")
        count = f"{len(self.faults):,} fault{'s' if len(self.faults) > 1 else ''}"
        super().__init__("\n".join([f"{name} has {count}:", *lines]))

    def __reduce__(self) -> tuple[Callable[..., "ManifestError"], tuple[str, list[Fault], str]]:
        return _rebuild, (self.name, self.faults, self.unit)


def _rebuild(name: str, faults: list[Fault], unit: str) -> ManifestError:
    return ManifestError(name, faults, unit=unit)


def check_samples(samples: Sequence[Sample], root: Path, *, check_files: bool) -> list[Fault]:
    """Every rule on every sample. A sample without a row is named by its place, from 1."""
    rows = [sample.row or place for place, sample in enumerate(samples, start=1)]
    faults = [
        Fault(row, message)
        for row, sample in zip(rows, samples)
        if not _is_plain(sample)
        for message in _check_one(sample)
    ]
    faults += _repeats(samples, rows)
    if check_files:
        faults += _missing_files(samples, rows, root)
    return faults


def _is_plain(sample: Sample) -> bool:
    """Nothing to check but a label: most rows of a large manifest, so the loop stays fast."""
    return bool(
        sample.video
        and sample.label
        and (not sample.split or sample.split in SPLITS)
        and sample.start is sample.end is sample.frame is sample.region is None
        and (sample.fold is None or sample.fold >= 0)
    )


def _check_one(sample: Sample) -> Iterator[str]:
    if not sample.video:
        yield "the video is empty: write its path or delete the row"
    if sample.split and sample.split not in SPLITS:
        yield f"split {sample.split!r} is none of train, val, test" + (
            near_names(sample.split, SPLITS).replace(" Did", ". Did")
        )
    if not sample.label and sample.split in ("train", "val"):
        yield (
            f"the label is empty, which the split {sample.split} does not allow: "
            "write a label, or leave the split empty"
        )
    yield from _check_span(sample)
    if sample.frame is not None:
        yield from _check_frame(sample)
    if sample.fold is not None and sample.fold < 0:
        yield f"fold {sample.fold} is negative: folds count from 0"
    if sample.region is not None:
        yield from _check_region(sample.region)


def _check_span(sample: Sample) -> Iterator[str]:
    start, end = sample.start, sample.end
    for name, value in (("start", start), ("end", end)):
        if value is not None and not math.isfinite(value):
            yield f"{name} ({value}) is no number of seconds"
        elif value is not None and value < 0:
            yield f"{name} ({value:g}) is negative: seconds count from the start of the video"
    if start is not None and end is not None and start >= 0 and end <= start:
        yield f"end ({end:g}) is not after start ({start:g}): both are seconds"


def _check_frame(sample: Sample) -> Iterator[str]:
    frame = sample.frame or ""
    if sample.start is not None or sample.end is not None:
        yield "both a frame and a span (start, end) are given: leave one of them empty"
    if frame.lstrip("-").isdecimal() and int(frame) < 0:
        yield f"frame {frame} is negative: frames count from 0"


def _check_region(region: Region) -> Iterator[str]:
    x, y, w, h = region.x, region.y, region.w, region.h
    shown = f"region x={x:g}, y={y:g}, w={w:g}, h={h:g}"
    slack = 1e-6  # shares such as 1/3 + 2/3, written with few digits, may sum to a little over 1
    inside = x >= 0 and y >= 0 and x + w <= 1 + slack and y + h <= 1 + slack
    if not all(math.isfinite(value) for value in (x, y, w, h)):
        yield f"{shown} holds a value that is no number"
    elif w <= 0 or h <= 0:
        yield f"{shown} is empty: w and h must be > 0"
    elif not inside:
        cure = "shares of the frame from 0 to 1" + (", not pixels" if max(x, y, w, h) > 1 else "")
        yield f"{shown} reaches outside the frame: give {cure}"


def _repeats(samples: Sequence[Sample], rows: Sequence[int]) -> Iterator[Fault]:
    seen: dict[tuple[object, ...], int] = {}
    for place, sample in enumerate(samples):
        key = (
            url_in(sample.video) or os.path.normpath(sample.video),
            sample.start,
            sample.end,
            sample.frame,
            sample.region,
        )
        first = seen.setdefault(key, place)
        if first == place or not sample.video:
            continue
        if samples[first].label == sample.label:
            yield Fault(rows[place], f"repeats row {rows[first]} ({sample.video}): delete one")
        else:
            yield Fault(
                rows[place],
                f"gives {sample.video} the label {sample.label!r} and row {rows[first]} gives "
                f"{samples[first].label!r}: delete one, or join the labels with '|'",
            )


def _missing_files(samples: Sequence[Sample], rows: Sequence[int], root: Path) -> Iterator[Fault]:
    missing = _absent({sample.video for sample in samples if sample.video}, root)
    for row, sample in zip(rows, samples):
        if sample.video in missing:
            slashes = ": write / instead of \\" if "\\" in sample.video else ""
            yield Fault(row, f"there is no video {sample.video} (looked in {shown(root)}){slashes}")
    by_name = [
        (row, sample)
        for row, sample in zip(rows, samples)
        if sample.frame and not sample.frame.lstrip("-").isdecimal()
    ]
    frames = {_frame_of(sample) for _, sample in by_name}
    absent = _absent(frames, root)
    for row, sample in by_name:
        if sample.video not in missing and _frame_of(sample) in absent:
            cure = ": give its number" if is_video_name(sample.video) else ""
            yield Fault(row, f"there is no frame {sample.frame} in {sample.video}{cure}")


def _frame_of(sample: Sample) -> str:
    return os.path.join(sample.video, sample.frame or "")  # noqa: PTH118


def _absent(paths: Collection[str], root: Path) -> set[str]:
    """Which paths do not exist. Lists each folder once: faster than one look per file."""
    elsewhere = url_of(root) is not None
    urls = {path: url_of(below(root, path)) for path in paths if elsewhere or ":/" in path}
    absent = _absent_here([path for path in paths if not urls.get(path)], root)
    there = remote.states(url for url in urls.values() if url)
    return absent | {path for path, url in urls.items() if url and there[url] is None}


def _absent_here(paths: Iterable[str], root: Path) -> set[str]:
    by_folder: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in paths:
        folder, name = os.path.split(path.rstrip("/"))
        by_folder[folder].append((name, path))
    absent: set[str] = set()
    for folder, members in by_folder.items():
        place = os.path.join(root, folder)  # noqa: PTH118
        try:
            there = set(os.listdir(place)) if len(members) > 4 else set()  # noqa: PTH208
        except OSError:
            there = set()
        # The second look is for what a listing spells otherwise: `..`, or names whose case or
        # accents the file system does not tell apart.
        absent.update(
            path
            for name, path in members
            if name not in there and not os.path.exists(os.path.join(root, path))  # noqa: PTH110, PTH118
        )
    return absent
