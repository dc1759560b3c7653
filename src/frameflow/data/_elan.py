"""ELAN's .eaf files: annotations on tiers, their times in milliseconds in a table of time slots.

ELAN Annotation Format 3.0, https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.etree.ElementTree import Element

from frameflow.data._span import SpanFile
from frameflow.errors import UsageError, listing, near_names

# A document type can define entities that grow without end or name other files; ELAN writes none.
_HARMFUL = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def read_elan(path: Path, text: str, tier: str | None) -> SpanFile:
    """The annotations of one tier.

    Raises:
        UsageError: no ELAN file, or no such tier, or several to choose from.
    """
    root = _parse(path, text)
    tiers = {element.get("TIER_ID", ""): element for element in root.iter("TIER")}
    filled = [name for name, element in tiers.items() if len(element)]
    if tier is None and len(filled) > 1:
        raise UsageError(
            f"{path} has {len(filled)} tiers with annotations ({listing(filled)}): "
            "say which holds the labels, with --tier."
        )
    name = tier if tier is not None else next(iter(filled or tiers), "")
    if name not in tiers:
        near = near_names(name, tiers)
        raise UsageError(f"{path} has no tier {name!r}; it has {listing(list(tiers))}.{near}")
    found = SpanFile(path)
    video = _media(root)
    slots = _slots(root)
    times = _times(root, slots)
    for annotation in tiers[name].iter():
        identity = annotation.get("ANNOTATION_ID")
        if identity is None:
            continue
        place = f"{path.name}, annotation {identity}"
        start, end = times.get(identity, (None, None))
        if start is None or end is None:
            found.fault(place, "it has no time of its own: align it in ELAN")
            continue
        found.add(place, video, start, end, annotation.findtext("ANNOTATION_VALUE") or "")
    return found


def _parse(path: Path, text: str) -> Element:
    if _HARMFUL.search(text):
        raise UsageError(f"{path} defines a document type or entities, which ELAN never does.")
    try:
        # As bytes: the declaration in the first line would contradict text.
        root = ElementTree.fromstring(text.encode("utf-8"))
    except (ElementTree.ParseError, ValueError) as error:
        raise UsageError(f"{path} is no readable XML: {error}.") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise UsageError(f"{path} is no ELAN file: its outermost element is {root.tag!r}.")
    header = root.find("HEADER")
    units = "" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units not in ("", "milliseconds"):
        raise UsageError(f"{path} counts time in {units}: save it with milliseconds.")
    return root


def _media(root: Element) -> str:
    """The first media file, as it is named; a time origin is for the first one always 0."""
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    if media is None:
        return ""
    return media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or ""


def _slots(root: Element) -> dict[str, float | None]:
    """Seconds of each time slot; a slot between two others may have none."""
    slots: dict[str, float | None] = {}
    for slot in root.iter("TIME_SLOT"):
        value = slot.get("TIME_VALUE", "")
        slots[slot.get("TIME_SLOT_ID", "")] = int(value) / 1000 if value.isdecimal() else None
    return slots


def _times(
    root: Element, slots: dict[str, float | None]
) -> dict[str, tuple[float | None, float | None]]:
    """Start and end of every annotation; one that refers to another has the times of that."""
    times: dict[str, tuple[float | None, float | None]] = {}
    refers: dict[str, str] = {}
    for element in root.iter("ALIGNABLE_ANNOTATION"):
        ends = (element.get(f"TIME_SLOT_REF{end}", "") for end in (1, 2))
        start, end = (slots.get(slot) for slot in ends)
        times[element.get("ANNOTATION_ID", "")] = start, end
    for element in root.iter("REF_ANNOTATION"):
        refers[element.get("ANNOTATION_ID", "")] = element.get("ANNOTATION_REF", "")
    for identity in refers:
        target, seen = identity, {identity}
        while target in refers and refers[target] not in seen:
            target = refers[target]
            seen.add(target)
        times[identity] = times.get(target, (None, None))
    return times
