"""What the files say of a data set, in the sections of its datasheet."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from frameflow.audit._explore_page import class_table, framed
from frameflow.audit.survey import Survey
from frameflow.errors import listing

_FEW = 10  # clips of a class, below which it is called a gap
_SPREAD = 3.0  # times as many clips of the largest class as of the smallest


def composition(found: Survey) -> str:
    """Counts, lengths, sizes, and clips of each class."""
    manifest = found.manifest
    labels = manifest.label_names(multilabel=found.multilabel)
    videos = len({manifest.path(sample) for sample in manifest})
    several = " A clip may have several labels." if found.multilabel else ""
    lines = [
        f"{len(manifest):,} samples of {videos:,} video{'s' * (videos != 1)}, "
        f"{len(labels):,} classes.{several}",
        _lengths(found),
    ]
    parts = found.part_names
    header = ["label", "clips", "length", "groups", *parts]
    rows = [
        [entry["label"] or "(no label)", entry["clips"], entry["seconds"], entry["groups"] or "-",
         *entry["parts"]]
        for entry in class_table(found)
    ]  # fmt: skip
    return "\n\n".join(filter(None, [*lines, _table(header, rows)]))


def collection(found: Survey) -> str:
    """What the video files are."""
    infos = list(found.health.videos.values())
    lines = [
        ["codec", _tally(info.codec for info in infos)],
        ["size, px", _tally(f"{info.width} x {info.height}" for info in infos)],
        ["frames a second", _tally(f"{info.rate:.4g}" for info in infos)],
        ["sound", _tally("with" if info.has_audio else "without" for info in infos)],
        ["form", _tally("file" if i.kind == "file" else "folder of frames" for i in infos)],
    ]
    varying = sum(info.variable_rate for info in infos)
    if varying:
        lines.append(["uneven frame times", f"{varying:,}"])
    known = [m for m in found.measures if m is not None]
    for what, values in (
        ("brightness (0 to 1)", [m.brightness for m in known]),
        ("contrast", [m.contrast for m in known]),
        ("motion", [m.motion for m in known]),
    ):
        lines.append([what, _range(values)])
    return _table(["of the videos", "counts, or 5 %, median, 95 %"], lines)


def labelling(found: Survey) -> str:
    """Unlabelled clips and likely label errors."""
    errors = found.errors
    lines = [f"{len(found.unlabelled):,} of {len(found.manifest):,} clips have no label."]
    if errors.reason:
        lines.append(f"Likely label errors were not looked for: {errors.reason}.")
        return " ".join(lines)
    lines.append(
        f"Classifiers on the features of `{found.recipe}` that never saw a clip were asked for "
        f"its label: by the estimate of confident learning about {errors.likely:,} of "
        f"{errors.judged:,} labels are wrong. The surest:"
    )
    rows = [
        [found.manifest[s.row].video, s.label, s.said, f"{s.probability:.2f}", f"{s.own:.2f}"]
        for s in errors.clips[: min(20, max(errors.likely, 5))]
    ]
    if not rows:
        return " ".join(
            [*lines[:-1], "No label is less likely than another to held-out classifiers."]
        )
    table = _table(["video", "label", "looks like", "probability", "of its label"], rows)
    return " ".join(lines) + "\n\n" + table


def preprocessing(found: Survey) -> str:
    """What the manifest does to the videos."""
    manifest = found.manifest
    spans = sum(s.start is not None or s.end is not None for s in manifest)
    framed = sum(s.frame is not None for s in manifest)
    regions = sum(s.region is not None for s in manifest)
    told = [
        f"{count:,} samples are {what}"
        for count, what in (
            (spans, "spans of a video"),
            (framed, "the frames that end at one"),
            (regions, "a region of the frame"),
        )
        if count
    ]
    if not told:
        return "Every sample is a whole video, and the whole frame."
    return "; ".join(told) + "."


def splits(found: Survey) -> str:
    """Groups, splits and what leaks between them."""
    manifest, kind = found.manifest, found.part_kind
    sizes = found.group_sizes()
    lines = []
    if sizes:
        without = sum(not sample.group for sample in manifest)
        lines.append(
            f"{len(sizes):,} groups of {min(sizes)} to {max(sizes)} clips (median "
            f"{np.median(sizes):g})" + (f"; {without:,} clips have none." if without else ".")
        )
    else:
        lines.append("There are no groups: clips of one scene are not held together.")
    if not kind:
        lines.append("There are neither splits nor folds.")
        return " ".join(lines)
    counts = ", ".join(f"{name} {found.parts.count(name):,}" for name in found.part_names)
    across = found.groups_across
    lines.append(f"Clips of each {kind}: {counts}.")
    lines.append(
        f"{len(across):,} groups stand in more than one {kind}: {listing(across)}."
        if across
        else f"No group stands in two {kind}s."
    )
    if found.pairs is None:
        lines.append("Clips were not compared by content.")
    elif found.pairs:
        lines.append(f"{len(found.pairs):,} pairs of clips in different {kind}s show one scene.")
    else:
        lines.append(f"By their backgrounds, no two clips in different {kind}s show one scene.")
    return " ".join(lines)


def gaps(found: Survey) -> str:
    """What is missing, broken or uneven."""
    health, lines = found.health, []
    if health.troubles:
        lines.append(f"{len(health.troubles):,} samples cannot be used:")
        lines += [f"  - {trouble.video}: {trouble.reason}" for trouble in health.troubles[:20]]
        if len(health.troubles) > 20:
            lines.append(f"  - and {len(health.troubles) - 20:,} more")
    if health.copies:
        copies = sum(len(copy) - 1 for copy in health.copies)
        lines.append(f"{copies:,} videos are copies of others, byte for byte.")
    table = [entry for entry in class_table(found) if entry["label"]]
    few = [entry["label"] for entry in table if entry["clips"] < _FEW]
    if few:
        lines.append(f"Fewer than {_FEW} clips: {listing(few, most=20)}.")
    if table:
        most, least = (pick(entry["clips"] for entry in table) for pick in (max, min))
        if most >= _SPREAD * least:
            lines.append(f"The largest class has {most:,} clips, the smallest {least:,}.")
    lone = [entry["label"] for entry in table if entry["groups"] == 1]
    if lone:
        lines.append(f"Of one group only: {listing(lone, most=20)}.")
    for number, part in enumerate(found.part_names):
        missing = [entry["label"] for entry in table if not entry["parts"][number]]
        if missing:
            lines.append(f"No clip in {part}: {listing(missing, most=20)}.")
    if found.strangers:
        lines.append(f"{len(found.strangers):,} pairs of clips in different groups show one scene.")
    if not lines:
        return "None that the files show."
    return "\n".join(line if line.startswith("  ") else f"- {line}" for line in lines)


def _lengths(found: Survey) -> str:
    known = [m for m in found.measures if m is not None]
    if not known:
        return ""
    seconds = [m.seconds for m in known]
    together = "" if framed(found) else f", together {sum(seconds) / 60:.1f} minutes"
    return (
        f"They are {min(seconds):.2f} to {max(seconds):.2f} s long, median "
        f"{np.median(seconds):.2f} s{together}."
    )


def _tally(values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    shown = ", ".join(f"{value} ({count:,})" for value, count in counts[:6])
    return f"{shown} and {len(counts) - 6} more" if len(counts) > 6 else shown


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return ", ".join(f"{value:.3f}" for value in np.percentile(values, [5, 50, 95]))


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def line(cells: Sequence[object]) -> str:
        return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(header), f"|{'---|' * len(header)}", *map(line, rows)])
