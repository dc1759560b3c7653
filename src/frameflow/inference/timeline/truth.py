"""What truly happens in videos, from files of spans, to score segments with."""

import os
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from frameflow.data._sample import SEPARATOR
from frameflow.data.spans import Span, read_spans
from frameflow.errors import UsageError, listing

Source = str | os.PathLike[str]


def read_truth(
    path: Source, videos: Sequence[Source], *, tier: str | None = None, multilabel: bool = False
) -> list[list[Span]]:
    """The true segments of each video.

    Args:
        path: any file that `frameflow.data.spans.read_spans` reads, such as a manifest with the
            columns start and end. A file that names no video is of the only one, or of the one
            with its own name.
        videos: that are to be scored.
        tier: of an ELAN file.
        multilabel: a label may be several, joined by ``|``.

    Raises:
        UsageError: the file cannot be read, a span in it is wrong, or a video has none.
    """
    file = read_spans(path, tier=tier)
    if file.faults:
        fault = file.faults[0]
        raise UsageError(f"{path} has {len(file.faults)} faults; {fault.place}: {fault.message}")
    found: list[list[Span]] = [[] for _ in videos]
    own = "" if len(videos) == 1 else Path(path).stem
    for span in file.spans:
        if span.end < span.start:
            raise UsageError(f"{span.place}: {span.label} ends before it starts.")
        place = _which(span.video or own, videos)
        if place is not None:
            labels = span.label.split(SEPARATOR) if multilabel else [span.label]
            found[place] += [replace(span, label=label) for label in labels]
    missing = [os.fspath(video) for video, spans in zip(videos, found) if not spans]
    if missing:
        named = sorted({span.video for span in file.spans} - {""})
        of = f": its spans are of {listing(named, most=3)}" if named else ""
        raise UsageError(f"{path} has no span of {listing(missing, most=3)}{of}.")
    return found


def _which(name: str, videos: Sequence[Source]) -> int | None:
    """The video that a name means: the one whose path agrees in the most parts from the end."""
    if not name and len(videos) == 1:
        return 0
    plain = posixpath.normpath(unquote(name.removeprefix("file://")).replace("\\", "/"))
    parts = plain.casefold().split("/")
    best, most = None, 0
    for place, video in enumerate(videos):
        other = [part.casefold() for part in Path(video).absolute().parts]
        same = 0
        for ours, theirs in zip(reversed(parts), reversed(other)):
            if ours != theirs and (same or ours != posixpath.splitext(theirs)[0]):
                break
            same += 1
        if same > most:
            best, most = place, same
    return best
