"""Groups from names of the form ``v_Class_g01_c01``: the form of UCF101 and of many sets since."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from frameflow.data.manifest import Sample

log = logging.getLogger(__name__)

Numbering = Literal["auto", "class", "global", "none"]

_NAME = re.compile(r"v_.+_g(?P<group>\d+)_c\d+", re.IGNORECASE)

# In UCF101 nearly every class has its g01, because each class counts its own; where a number
# names one scene of the whole data set, the first scene is seen in few classes.
_PRESENT = 0.8


def group_number(video: str) -> int | None:
    """The NN of ``v_Class_gNN_cNN.avi``, or None for other names.

    Example:
        >>> group_number("Archery/v_Archery_g07_c02.avi"), group_number("clip7.mp4")
        (7, None)
    """
    stem = os.path.splitext(os.path.basename(video))[0]  # noqa: PTH119, PTH122
    match = _NAME.fullmatch(stem)
    return int(match["group"]) if match else None


def add_groups(samples: Sequence[Sample], *, numbering: Numbering = "auto") -> list[Sample]:
    """Give a group to each sample whose name has one.

    Args:
        samples: labelled by their class.
        numbering: ``class`` if numbers restart in every class (the group is ``Class_g01``),
            ``global`` if a number names one scene everywhere (the group is ``g01``), ``none``
            for no groups, ``auto`` to decide by whether the lowest number occurs in at least
            80 % of the classes.
    """
    numbers = [group_number(sample.video) for sample in samples]
    named = sum(number is not None for number in numbers)
    if numbering == "none" or not named:
        return list(samples)
    by_class: dict[str, set[int]] = defaultdict(set)
    for sample, number in zip(samples, numbers):
        if number is not None:
            by_class[sample.label].add(number)
    restarts = numbering == "class" or (numbering == "auto" and _restarts(by_class))
    result = [
        sample if number is None else replace(sample, group=_group(sample.label, number, restarts))
        for sample, number in zip(samples, numbers)
    ]
    groups = len({sample.group for sample in result} - {""})
    if restarts:
        said = "numbers start anew in every class, so a group is Class_gNN"
    else:
        said = "a number names the same scene in every class, so a group is gNN"
    log.info("Found %s groups in names like v_Class_gNN_cNN: %s.", f"{groups:,}", said)
    if named < len(samples):
        log.warning(
            "%d of %d videos have no group in their name.", len(samples) - named, len(samples)
        )
    return result


def _restarts(by_class: dict[str, set[int]]) -> bool:
    lowest = min(min(numbers) for numbers in by_class.values())
    present = sum(lowest in numbers for numbers in by_class.values())
    return len(by_class) >= 2 and present >= _PRESENT * len(by_class)


def _group(label: str, number: int, restarts: bool) -> str:
    return f"{label}_g{number:02d}" if restarts else f"g{number:02d}"
