"""Timestamps to labels: the spans of files, checked against their videos, as a manifest."""

import logging
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from frameflow.data._walk import require_folder, walk
from frameflow.data.containers import is_video_name
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.span_rules import check_spans, fill_gaps, label_frames
from frameflow.data.spans import Span, SpanFault, SpanFile, read_spans
from frameflow.errors import FrameFlowError, UsageError, VideoError, near_names
from frameflow.video.extract_frames import FrameChoice
from frameflow.video.probe import VideoInfo, frame_times, probe

log = logging.getLogger(__name__)

_TOLD = 10


class SpanError(UsageError):
    """Spans cannot be used as they are.

    Attributes:
        faults: all of them; the message shows the first ten.
    """

    def __init__(self, faults: Sequence[SpanFault]) -> None:
        self.faults = list(faults)
        lines = [f"  {fault.place}: {fault.message}." for fault in faults[:_TOLD]]
        if len(faults) > _TOLD:
            lines.append(f"  and {len(faults) - _TOLD:,} more.")
        count = f"{len(faults):,} span{'s' if len(faults) > 1 else ''} cannot be used"
        super().__init__(
            f"{count}; mend them, or leave them out (--skip-bad):\n" + "\n".join(lines)
        )


@dataclass(frozen=True, slots=True)
class SpanLabels:
    """What was made of the files.

    Attributes:
        manifest: one sample a span, or a frame.
        spans: how many spans it is of.
        left_out: the faults that were passed over.
    """

    manifest: Manifest
    spans: int
    left_out: list[SpanFault]


def labels_of_spans(
    files: Iterable[str | os.PathLike[str]],
    *,
    videos: str | os.PathLike[str] | None = None,
    tier: str | None = None,
    frames: FrameChoice | None = None,
    background: str = "",
    multilabel: bool = False,
    skip_bad: bool = False,
) -> SpanLabels:
    """Make a manifest of labelled spans.

    A file that names no video is of the video with its own name (``match.txt`` of ``match.mp4``).
    Every sample's group is its video, so that no split divides one.

    Args:
        files: text, CSV, ELAN, VIA 3 or BORIS (`frameflow.data.spans.read_spans`).
        videos: the folder of the videos; that of the first file by default.
        tier: of ELAN files; the attribute of VIA ones.
        frames: label frames instead of spans: those of this choice.
        background: the label of what lies between spans; empty leaves it out.
        multilabel: spans of different labels may overlap; a frame then has several.
        skip_bad: leave out what is wrong and go on.

    Raises:
        SpanError: a span is unreadable, reversed, past the end, overlaps another or has no video.
        UsageError: a file or folder cannot be used at all.
        FrameFlowError: no span is left.

    Example:
        >>> labels_of_spans(["match.txt"]).manifest.describe()  # doctest: +SKIP
        '12 samples, 3 labels, 1 group.'
    """
    read = [read_spans(path, tier=tier) for path in files]
    root = require_folder(videos if videos is not None else read[0].path.parent, "of the videos")
    index = _Videos(root)
    faults = [fault for file in read for fault in file.faults]
    spans = [span for file in read for span in _placed(file, index, faults)]
    infos = _probed(spans, root, faults)
    lengths = {video: info.duration for video, info in infos.items()}
    kept, broken = check_spans(
        (span for span in spans if span.video in infos),
        lengths,
        overlaps=multilabel,
        moments=frames is not None,
    )
    faults += broken
    if faults and not skip_bad:
        raise SpanError(faults)
    if not kept:
        raise FrameFlowError(f"There are no spans in {', '.join(str(f.path) for f in read)}.")
    by_video: dict[str, list[Span]] = defaultdict(list)
    for span in kept:
        by_video[span.video].append(span)
    samples = [
        sample
        for video, members in sorted(by_video.items())
        for sample in (
            _frame_samples(root, members, frames, background)
            if frames is not None
            else _span_samples(members, infos[video], background)
        )
    ]
    return SpanLabels(Manifest(samples, root), len(kept), faults)


def _span_samples(spans: list[Span], info: VideoInfo, background: str) -> list[Sample]:
    if background:
        spans = fill_gaps(spans, info.duration, background, 1 / info.rate)
    labels: dict[tuple[float, float], list[str]] = defaultdict(list)
    for span in spans:
        labels[round(span.start, 6), round(span.end, 6)].append(span.label)
    video = spans[0].video
    return [
        Sample(video, "|".join(names), group=_group(video), start=start, end=end)
        for (start, end), names in labels.items()
    ]


def _frame_samples(
    root: Path, spans: list[Span], choice: FrameChoice, background: str
) -> list[Sample]:
    video = spans[0].video
    times = frame_times(root / video)
    labels = label_frames(times, spans, background=background)
    return [
        Sample(video, labels[index], group=_group(video), frame=str(index))
        for index in choice.indices(times).tolist()
        if labels[index]
    ]


def _group(video: str) -> str:
    return posixpath.splitext(video)[0] if is_video_name(video) else video


def _probed(spans: list[Span], root: Path, faults: list[SpanFault]) -> dict[str, VideoInfo]:
    """What each video is; of one that cannot be read every span is a fault."""
    infos: dict[str, VideoInfo] = {}
    reasons: dict[str, str] = {}
    for span in spans:
        if span.video not in infos and span.video not in reasons:
            try:
                infos[span.video] = probe(root / span.video)
            except VideoError as error:
                reasons[span.video] = error.reason
        if span.video in reasons:
            faults.append(SpanFault(span.place, f"{span.video} {reasons[span.video]}"))
    return infos


def _placed(file: SpanFile, index: "_Videos", faults: list[SpanFault]) -> list[Span]:
    """The spans with their videos as paths below the root; a fault for each without one."""
    placed = []
    for span in file.spans:
        try:
            placed.append(replace(span, video=index.find(span.video or file.path.stem)))
        except KeyError as error:
            faults.append(SpanFault(span.place, str(error.args[0])))
    return placed


class _Videos:
    """The videos below a folder, by whatever an annotation program calls them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.videos = walk(root).videos
        self._named: dict[str, list[str]] = defaultdict(list)
        for video in self.videos:
            name = posixpath.basename(video).casefold()
            keys = {name, posixpath.splitext(name)[0] if is_video_name(name) else name}
            for key in keys:
                self._named[key].append(video)
        self._found: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The video below the root.

        Raises:
            KeyError: none or several; the message says so.
        """
        if name not in self._found:
            self._found[name] = self._look(name)
        return self._found[name]

    def _look(self, name: str) -> str:
        plain = unquote(name.removeprefix("file://")).replace("\\", "/")
        below = posixpath.normpath(plain)
        if below in self.videos:
            return below
        base = posixpath.basename(below).casefold()
        found = self._named.get(base) or []
        longer = [video for video in found if below.casefold().endswith(video.casefold())]
        if len(found) > 1 and len(longer) == 1:
            found = longer
        if len(found) == 1:
            return found[0]
        if found:
            raise KeyError(f"{len(found)} videos in {self.root} have the name {base}: give a path")
        near = near_names(base, self._named, most=1).replace(" Did", ". Did").removesuffix("?")
        raise KeyError(f"there is no video {base} in {self.root}{near}")
