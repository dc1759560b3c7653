"""The table of Kinetics, which `frameflow.data.importers.kinetics` reads back."""

import csv
import io
import math
from collections import defaultdict
from pathlib import Path, PurePosixPath

from frameflow._files import write_text
from frameflow.data.containers import is_video_name
from frameflow.data.exporters._shared import Facts, has_span, refuse_parts
from frameflow.data.importers.kinetics import cut_name
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError, listing

HEADER = ("label", "youtube_id", "time_start", "time_end", "split")


def export_kinetics(manifest: Manifest, out: Path, facts: Facts) -> Path:
    """Write ``label,youtube_id,time_start,time_end,split``.

    The ID is that of a name such as ``ID_000010_000020.mp4``, else the name without its ending; of
    a whole video the times are 0 and its length in full seconds.

    Args:
        manifest: whole videos or spans.
        out: the CSV.
        facts: the length of a video.

    Raises:
        UsageError: samples are single frames, or two videos have one name.
    """
    refuse_parts(manifest, "a table of Kinetics", spans=True)
    named: dict[str, set[str]] = defaultdict(set)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for sample in manifest:
        name = PurePosixPath(sample.video)
        stem = name.stem if is_video_name(sample.video) else name.name
        cut = cut_name(stem)
        named[stem].add(sample.video)
        if cut is not None and not has_span(sample):
            identity, start, end = cut[0], float(cut[1]), float(cut[2])
        elif has_span(sample):
            length = sample.end is None and facts(manifest.path(sample)).seconds
            identity, start, end = stem, sample.start or 0.0, sample.end or float(length)
        else:
            seconds = facts(manifest.path(sample)).seconds
            identity, start, end = stem, 0.0, float(math.ceil(seconds))
        times = (f"{start:.10g}", f"{end:.10g}")
        split = "validate" if sample.split == "val" else sample.split
        writer.writerow((sample.label, identity, *times, split))
    several = [listing(sorted(videos)) for videos in named.values() if len(videos) > 1]
    if several:
        raise UsageError(
            f"Kinetics names a video by its name alone, and these share one: {several[0]}. "
            "Rename them."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text.getvalue())
    return out
