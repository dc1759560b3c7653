"""`DATASHEET.md`: what a data set is, as far as files say it, and the questions they leave open.

The questions are those of Gebru et al., *Datasheets for datasets*, Communications of the ACM 2021,
as far as they concern labelled video. What is computed stands between ``<!-- facts NAME -->`` and
``<!-- /facts -->`` and is renewed each time; everything else belongs to people and is kept.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from frameflow._files import write_text
from frameflow.audit._datasheet_facts import (
    collection,
    composition,
    gaps,
    labelling,
    preprocessing,
    splits,
)
from frameflow.audit.survey import Survey
from frameflow.errors import UsageError

OPEN = "_open question_"

_SECTIONS: tuple[tuple[str, Callable[[Survey], str] | None, tuple[str, ...]], ...] = (
    (
        "Motivation",
        None,
        (
            "For what purpose was the data set made?",
            "Who made it, and who paid for it?",
        ),
    ),
    (
        "Composition",
        composition,
        (
            "What is one clip: how was it cut, and from what?",
            "What do the classes mean, and what was told apart from what?",
            "Is it all there is, or a sample of more? How was it drawn?",
            "Are there people who can be recognised? Did they agree?",
        ),
    ),
    (
        "Collection",
        collection,
        (
            "With what cameras, where and when was it filmed?",
            "Under what licence may it be used?",
        ),
    ),
    (
        "Labelling",
        labelling,
        (
            "Who labelled, by what rules, and how often did two people agree?",
            "Which of the likely label errors were looked at, and what was decided?",
        ),
    ),
    (
        "Preprocessing",
        preprocessing,
        ("What was done to the videos (cut, resized, encoded again), and is the raw film kept?",),
    ),
    (
        "Splits",
        splits,
        ("What does a group stand for (a scene, a person, a recording), and who says so?",),
    ),
    (
        "Uses",
        None,
        (
            "What has it been used for, and with what result?",
            "What should it not be used for?",
            "Who keeps it, and where are mistakes reported?",
        ),
    ),
    ("Gaps", gaps, ("What that a model will meet is missing here?",)),
)

_FACTS = re.compile(
    r"<!-- facts (?P<name>\w+) (?P<digest>[0-9a-f]{8}) -->\n(?P<text>.*?)<!-- /facts -->\n", re.S
)


@dataclass(frozen=True, slots=True)
class Written:
    """A datasheet that was written.

    Attributes:
        path: where.
        open: how many questions nobody has answered.
        kept: a file was there and the answers in it were kept.
        reason: why it was written beside the file that was there; empty where it was not.
    """

    path: Path
    open: int
    kept: bool = False
    reason: str = ""


def write_datasheet(path: Path, found: Survey, *, name: str) -> Written:
    """Write the datasheet, or renew the facts of the one that is there.

    Where a file is there, only the text between the marks of its facts is renewed; answers and
    everything else a person wrote stay as they are. Where a person has changed facts too, or the
    file has no such marks, it is not touched, and ``DATASHEET.new.md`` is written beside it.

    Args:
        path: usually ``DATASHEET.md``.
        found: everything that is known of the data set.
        name: of the data set.

    Raises:
        UsageError: the file is there and is no text.
    """
    facts = {
        title.lower(): _block(title.lower(), make(found))
        for title, make, _ in _SECTIONS
        if make is not None
    }
    fresh = _fresh(name, facts)
    if not path.exists():
        write_text(path, fresh)
        return Written(path, fresh.count(OPEN))
    try:
        before = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is no text in UTF-8: move it away, then run this again."
        ) from error
    reason = _changed_by_hand(before)
    if reason:
        beside = path.with_name(f"{path.stem}.new{path.suffix}")
        write_text(beside, fresh)
        return Written(beside, fresh.count(OPEN), reason=reason)
    text = _FACTS.sub(lambda match: facts.get(match["name"], match[0]), before)
    write_text(path, text)
    return Written(path, text.count(OPEN), kept=True)


def _fresh(name: str, facts: dict[str, str]) -> str:
    lines = [
        f"# Datasheet of {name}\n",
        "The form is that of Gebru et al., *Datasheets for datasets*, 2021. `frameflow data "
        "explore` renews what stands between the `facts` marks and touches nothing else: answer "
        f"the questions in place of {OPEN.replace('_', '*')}.\n",
    ]
    for title, _, questions in _SECTIONS:
        lines.append(f"## {title}\n")
        if title.lower() in facts:
            lines.append(facts[title.lower()])
        lines += [f"**{question}**\n\n{OPEN}\n" for question in questions]
    return "\n".join(lines)


def _block(name: str, text: str) -> str:
    text = text.rstrip("\n") + "\n"
    return f"<!-- facts {name} {_digest(text)} -->\n{text}<!-- /facts -->\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]


def _changed_by_hand(text: str) -> str:
    """Why the facts of a file must not be renewed; empty where they may."""
    blocks = list(_FACTS.finditer(text))
    if not blocks or len(blocks) != text.count("<!-- facts "):
        return "it was not written by this command, or the marks of its facts are damaged"
    repeated = [name for name, count in Counter(b["name"] for b in blocks).items() if count > 1]
    changed = [b["name"] for b in blocks if _digest(b["text"]) != b["digest"]]
    if repeated or changed:
        return f"its facts were changed by hand ({', '.join(repeated + changed)})"
    return ""
