"""Segments as files that other programs read: tables, subtitles, annotations."""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from frameflow._files import write_text
from frameflow.data.timestamps import print_time
from frameflow.errors import FrameFlowError, UsageError, near_names
from frameflow.inference.timeline.elan import elan_text, milliseconds, one_line
from frameflow.video.draw import percent

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.segments import Segment

Form = Literal["csv", "json", "vtt", "srt", "eaf"]
FORMS: tuple[Form, ...] = get_args(Form)

_HEADER = ("video", "start", "end", "label", "probability", "peak")


def timeline_text(timeline: "Timeline", segments: "Sequence[Segment]", form: Form) -> str:
    """The segments of one video as the text of a file.

    Args:
        timeline: of the video; its ``video`` is what the file calls it.
        segments: as `find_segments` gives them.
        form: ``csv`` (a table that `read_spans` and a manifest's reader take), ``json`` (with what
            every window says), ``vtt`` and ``srt`` (subtitles), ``eaf`` (ELAN 3.0: one tier, or in
            multi-label one for each label).

    Raises:
        UsageError: the form is unknown.
    """
    if form not in FORMS:
        near = near_names(str(form), FORMS)
        raise UsageError(f"form ({form!r}) must be one of {', '.join(FORMS)}.{near}")
    makers: dict[Form, Callable[[Timeline, Sequence[Segment]], str]] = {
        "csv": lambda line, found: csv_text([(line, found)]),
        "json": lambda line, found: json_text(timeline_dict(line, found, windows=True)),
        "vtt": lambda _, found: webvtt_text(found),
        "srt": lambda _, found: srt_text(found),
        "eaf": elan_text,
    }
    return makers[form](timeline, segments)


def write_timeline(
    path: str | os.PathLike[str], timeline: "Timeline", segments: "Sequence[Segment]"
) -> None:
    """Write the file that an ending asks for; it names the video as seen from its own folder.

    Raises:
        UsageError: the ending is none of those of `timeline_text`.
        FrameFlowError: the file cannot be written.
    """
    path = Path(path)
    form = check_form(path)
    beside = replace(timeline, video=beside_file(timeline.video, path))
    if form == "eaf":
        whole = Path(timeline.video).absolute().as_posix().lstrip("/")
        text = elan_text(beside, segments, media=f"file:///{whole}")
    else:
        text = timeline_text(beside, segments, form)
    save_text(path, text)


def check_form(path: Path) -> Form:
    """The form of a file by its ending.

    Raises:
        UsageError: it is none.
    """
    ending = path.suffix.lower().removeprefix(".")
    for form in FORMS:
        if form == ending:
            return form
    raise UsageError(f"{path} must end in one of {', '.join(f'.{form}' for form in FORMS)}.")


def save_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        FrameFlowError: it cannot be written.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise FrameFlowError(f"{path} cannot be written: {error.strerror or error}.") from None


def beside_file(video: str, path: Path) -> str:
    """The path of a video as seen from the folder of another file."""
    try:
        seen = os.path.relpath(video, path.parent)
    except ValueError:  # on another drive
        seen = os.path.abspath(video)  # noqa: PTH100
    # A name that is not UTF-8 cannot stand in a file that is.
    return os.fsencode(Path(seen).as_posix()).decode("utf-8", "replace")


def timeline_dict(
    timeline: "Timeline", segments: "Sequence[Segment]", *, windows: bool = False
) -> dict[str, Any]:
    """For JSON: the video, its segments, and what was looked at.

    Args:
        timeline: of the video.
        segments: of it.
        windows: with the start, the end and the probabilities (4 digits) of each window.
    """
    found: dict[str, Any] = {
        "video": timeline.video,
        "duration": round(timeline.duration, 3),
        "rate": timeline.rate,
        "width": timeline.width,
        "height": timeline.height,
        "multilabel": timeline.multilabel,
        "labels": list(timeline.labels),
        "plan": {name: getattr(timeline.plan, name) for name in ("length", "stride", "grid")},
        "segments": [segment_dict(segment) for segment in segments],
    }
    if windows:
        found["windows"] = {
            "starts": [round(float(moment), 3) for moment in timeline.starts],
            "ends": [round(float(moment), 3) for moment in timeline.ends],
            "abstained": timeline.abstained.tolist(),
            "probabilities": [[round(float(p), 4) for p in row] for row in timeline.probabilities],
        }
    return found


def segment_dict(segment: "Segment") -> dict[str, Any]:
    """For JSON: seconds to the millisecond, probabilities to four digits."""
    return {
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "label": segment.label,
        "probability": round(segment.probability, 4),
        "peak": round(segment.peak, 4),
    }


def json_text(value: dict[str, Any]) -> str:
    """Strict JSON, each entry of a list of lists or dictionaries on a line of its own."""
    return _lay_out(value, "") + "\n"


def _lay_out(value: Any, indent: str) -> str:
    inner = indent + " "
    if isinstance(value, dict) and value:
        parts = [f"{_dump(key)}: {_lay_out(each, inner)}" for key, each in value.items()]
        brackets = "{}"
    elif isinstance(value, list) and value and isinstance(value[0], list | dict):
        parts, brackets = [_dump(each) for each in value], "[]"
    else:
        return _dump(value)
    body = f",\n{inner}".join(parts)
    return f"{brackets[0]}\n{inner}{body}\n{indent}{brackets[1]}"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def csv_text(found: "Sequence[tuple[Timeline, Sequence[Segment]]]") -> str:
    """A table of the segments of one or several videos."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADER)
    for timeline, segments in found:
        for segment in segments:
            row = {"video": timeline.video, **segment_dict(segment)}
            row |= {side: f"{row[side]:.3f}" for side in ("start", "end")}
            row |= {share: f"{row[share]:.4f}" for share in ("probability", "peak")}
            writer.writerow([row[name] for name in _HEADER])
    return file.getvalue()


def webvtt_text(segments: "Sequence[Segment]") -> str:
    """https://www.w3.org/TR/webvtt1/: cues in UTF-8, where ``&`` and ``<`` begin markup."""
    cues = [
        f"{n}\n{start} --> {end}\n{escape(text, quote=False)}\n"
        for n, (start, end, text) in enumerate(_cues(segments), start=1)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def srt_text(segments: "Sequence[Segment]") -> str:
    """SubRip: no way to escape, but players take ``<b>`` and ``{...}`` for markup."""
    cues = []
    for n, (start, end, text) in enumerate(_cues(segments), start=1):
        # An arrow of its own letter: some readers look for `-->` on every line.
        plain = text.replace("-->", "→").translate(_LOOKALIKES)
        cues.append(f"{n}\n{start.replace('.', ',')} --> {end.replace('.', ',')}\n{plain}\n")
    return "\n".join(cues)


_LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


def _cues(segments: "Sequence[Segment]") -> "list[tuple[str, str, str]]":
    """Start, end and one line of text; none is empty, and none is shown for no time."""
    cues = []
    for segment in sorted(segments, key=lambda one: (one.start, one.end, one.label)):
        start, end = milliseconds(segment)
        label = one_line(segment.label) or "?"
        text = f"{label} {percent(segment.probability)}"
        cues.append((print_time(start / 1000), print_time(end / 1000), text))
    return cues
