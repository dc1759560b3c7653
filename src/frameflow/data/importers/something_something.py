"""Something-Something V2: actions named by templates, "Holding [something] next to [something]".

R. Goyal et al., "The 'something something' Video Database for Learning and Evaluating Visual Common
Sense", ICCV 2017, https://arxiv.org/abs/1706.04261. 220,847 clips of 174 templates; ``train.json``
and ``validation.json`` hold them with their templates, ``test.json`` numbers alone.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from frameflow.data.importers._shared import (
    Path_,
    VideoNames,
    collect,
    read_text,
    refuse,
    split_of,
)
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError


def import_something_something(
    videos: Path_,
    lists: Iterable[Path_],
    *,
    labels: Path_ | None = None,
    answers: Path_ | None = None,
    allow_missing: bool = False,
) -> Manifest:
    """The manifest of Something-Something V2. The label is the template without its brackets.

    The data set does not say who filmed what, so there are no groups.

    Args:
        videos: the folder of ``1.webm`` and so on, or of folders of frames named ``1``.
        lists: ``train.json``, ``validation.json``, ``test.json``; the split is that of the name.
        labels: ``labels.json``; a template that it does not name is refused.
        answers: ``test-answers.csv`` (``number;template``): the labels of the test clips.
        allow_missing: go on without the videos that are not there.

    Raises:
        UsageError: a file is missing or malformed, or videos are missing.
    """
    known = _templates(Path(labels)) if labels is not None else None
    told = _answers(Path(answers)) if answers is not None else {}
    index = VideoNames(videos, "of the videos, 1.webm and so on")
    samples, missing = [], []
    for path in map(Path, lists):
        split = split_of(path.stem)
        if not split:
            raise UsageError(f"{path} is named after no split: train, validation or test.")
        for number, label, description in _entries(path, known):
            video = index.find(number)
            if video is None:
                missing.append(f"{number}.webm")
                continue
            label = label or told.get(number, "")
            samples.append(Sample(video, label, split, extra={"description": description}))
    return collect(samples, missing, index.root, allow_missing=allow_missing)


def plain(template: str) -> str:
    """The template as ``labels.json`` writes it.

    Example:
        >>> plain("Holding [something] next to [something]")
        'Holding something next to something'
    """
    return template.replace("[", "").replace("]", "").strip()


def _entries(path: Path, known: set[str] | None) -> Iterator[tuple[str, str, str]]:
    """(number, label, description) of each clip."""
    content = _json(path)
    if not isinstance(content, list):
        raise UsageError(
            f"{path} is no list of clips: give train.json, validation.json, test.json."
        )
    read, faults = [], []
    for place, entry in enumerate(content, start=1):
        if not isinstance(entry, dict) or not str(entry.get("id", "")).strip():
            faults.append((place, "the entry has no id"))
            continue
        label = plain(str(entry.get("template", "")))
        if known is not None and label and label not in known:
            faults.append((place, f"the template {label!r} is not in the file of labels"))
            continue
        read.append((str(entry["id"]).strip(), label, str(entry.get("label", ""))))
    refuse(path, faults)
    yield from read


def _templates(path: Path) -> set[str]:
    content = _json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path} is no map of templates to numbers: give labels.json.")
    return {plain(template) for template in content}


def _answers(path: Path) -> dict[str, str]:
    rows = csv.reader(read_text(path).splitlines(), delimiter=";")
    return {row[0].strip(): plain(row[1]) for row in rows if len(row) == 2}


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON ({error}): get it anew.") from None
