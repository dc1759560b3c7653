"""Segments as an ELAN file: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf"""

import posixpath
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.segments import Segment

# XML 1.0 has no way to write them, and no reader of subtitles wants them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MIME = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".wmv": "video/x-ms-wmv",
}
_ELAN = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_TIER = "FrameFlow"
# ELAN writes these four into every file, and its types may name them.
_CONSTRAINTS = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps "
    "allowed within this interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations refering to "
    "the same parent are ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps "
    "are allowed",
}


def elan_text(timeline: "Timeline", segments: "Sequence[Segment]", *, media: str = "") -> str:
    """The text of an ``.eaf`` file: one tier, or in multi-label one for each label.

    Args:
        timeline: of the video; its ``video`` is the path as seen from the file.
        segments: of it.
        media: the address of the video; as the path where empty.
    """
    from xml.etree import ElementTree

    name = timeline.video
    # As ELAN itself writes it: nothing is percent-encoded.
    seen = _CONTROL.sub("", name if name.startswith(("/", ".")) else f"./{name}")
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "FrameFlow",
            "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _ELAN,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    ElementTree.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=_CONTROL.sub("", media) or seen,
        MIME_TYPE=_MIME.get(posixpath.splitext(name)[1].lower(), "video/*"),
        RELATIVE_MEDIA_URL=seen,
    )
    last = ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last.text = str(len(segments))
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = _time_slots(segments)
    for number, (moment, _, _) in enumerate(slots, start=1):
        slot = {"TIME_SLOT_ID": f"ts{number}", "TIME_VALUE": str(moment)}
        ElementTree.SubElement(order, "TIME_SLOT", slot)
    slot_of = {(n, side): f"ts{number}" for number, (_, side, n) in enumerate(slots, start=1)}
    for tier_name, members in _tiers(timeline, segments).items():
        tier = ElementTree.SubElement(
            root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=tier_name
        )
        for n in members:
            holder = ElementTree.SubElement(tier, "ANNOTATION")
            annotation = ElementTree.SubElement(
                holder,
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{n + 1}",
                TIME_SLOT_REF1=slot_of[n, 0],
                TIME_SLOT_REF2=slot_of[n, 1],
            )
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            value.text = one_line(segments[n].label)
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID="default-lt",
        TIME_ALIGNABLE="true",
    )
    for stereotype, text in _CONSTRAINTS.items():
        ElementTree.SubElement(root, "CONSTRAINT", DESCRIPTION=text, STEREOTYPE=stereotype)
    ElementTree.indent(root, "    ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _time_slots(segments: "Sequence[Segment]") -> list[tuple[int, int, int]]:
    """(milliseconds, 0 for a start and 1 for an end, segment) in rising order of time.

    Each annotation has slots of its own, so that moving one in ELAN moves no other.
    """
    slots = []
    for n, segment in enumerate(segments):
        start, end = milliseconds(segment)
        slots += [(start, 0, n), (end, 1, n)]
    return sorted(slots, key=lambda slot: (slot[0], -slot[1], slot[2]))


def _tiers(timeline: "Timeline", segments: "Sequence[Segment]") -> dict[str, list[int]]:
    """The segments of each tier: annotations on one tier must not overlap."""
    if not timeline.multilabel:
        return {_TIER: list(range(len(segments)))}
    tiers: dict[str, list[int]] = {}
    for n, segment in enumerate(segments):
        tiers.setdefault(one_line(segment.label), []).append(n)
    return tiers or {_TIER: []}


def milliseconds(segment: "Segment") -> tuple[int, int]:
    """Whole milliseconds, at least one."""
    start = round(segment.start * 1000)
    return start, max(round(segment.end * 1000), start + 1)


def one_line(text: str) -> str:
    """The text without line breaks and without letters that no file can hold."""
    return " ".join(_CONTROL.sub("", text).split())
