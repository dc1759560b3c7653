"""The page of a data set: what `explore` found, brought into the words of its template."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from frameflow import __version__
from frameflow.audit._map_data import MOST_LINES, as_script, map_data
from frameflow.audit.survey import Survey
from frameflow.pages.histogram import histogram
from frameflow.pages.page import markup, render_page
from frameflow.pages.strips import Strip, strip

_MOST_SUSPECTS = 40
_MOST_SCENES = 6
_CLIPS_OF_SCENE = 3
_MOST_STRIPS = 160  # of clips of the classes, all together
_STRIPS_OF_CLASS = 4
_MOST_LISTED = 60
_MOST_PAIRS = 20


def render_explore(found: Survey, *, name: str) -> str:
    """The page as text.

    Args:
        found: everything that is known of the data set.
        name: of the data set.
    """
    errors = found.errors
    shown = suspects_shown(found)
    doubted = [suspect.row for suspect in shown]
    drawn = map_data(found, doubted) if found.vectors is not None else None
    return render_page(
        "explore.html.j2",
        name=name,
        version=__version__,
        found=found,
        banner=_banner(found),
        facts=facts(found),
        map=drawn,
        map_json=as_script(drawn) if drawn is not None else "",
        most_lines=MOST_LINES,
        suspects=[
            {"s": s, "sample": found.manifest[s.row], "name": _file(found, s.row),
             "picture": strip(found.manifest, found.manifest[s.row])}
            for s in shown
        ],
        scenes=[
            {"s": s, "clips": [_clip(found, row) for row in s.rows[:_CLIPS_OF_SCENE]]}
            for s in errors.scenes[:_MOST_SCENES]
        ],
        classes=class_table(found),
        galleries=_galleries(found),
        **_distributions(found),
        unlabelled=[
            {"name": _file(found, row), "guess": errors.guesses.get(row),
             "sample": found.manifest[row]}
            for row in found.unlabelled[:_MOST_LISTED]
        ],
        pairs=_pairs(found, found.pairs or ()),
        strangers=_pairs(found, found.strangers or ()),
        copies=[[_file(found, row) for row in copy] for copy in found.health.copies],
        most=_MOST_LISTED,
        most_pairs=_MOST_PAIRS,
    )  # fmt: skip


def suspects_shown(found: Survey) -> list[Any]:
    """The clips of the list of likely label errors: at least ten where there are as many."""
    wanted = min(max(found.errors.likely, 10), _MOST_SUSPECTS)
    return found.errors.clips[:wanted]


def facts(found: Survey) -> list[tuple[str, str]]:
    """What the data set is, in a few rows."""
    manifest, health = found.manifest, found.health
    known = [m for m in found.measures if m is not None]
    seconds = sum(m.seconds for m in known)
    labels = manifest.label_names(multilabel=found.multilabel)
    rows = [("Clips", f"{len(manifest):,}"), ("Classes", f"{len(labels):,}")]
    groups = found.group_sizes()
    told = f"{len(groups):,}, of {min(groups)} to {max(groups)} clips" if groups else "none given"
    rows.append(("Groups", told))
    if found.part_kind:
        names = found.part_names
        counts = [f"{found.parts.count(part):,}" for part in names]
        if found.part_kind == "fold":
            told = f"{len(names)}, of {', '.join(counts)} clips"
        else:
            told = ", ".join(f"{count} {part}" for count, part in zip(counts, names, strict=True))
        rows.append((f"{found.part_kind.capitalize()}s", told))
    if not framed(found):
        rows.append(("Length", f"{_time(seconds)} in all"))
    if found.unlabelled:
        rows.append(("Unlabelled", f"{len(found.unlabelled):,}"))
    if health.troubles:
        rows.append(("Unusable", f"{len(health.troubles):,}"))
    if found.errors.judged and not found.errors.reason:
        rows.append(("Likely label errors", f"about {found.errors.likely:,}"))
    return rows


def framed(found: Survey) -> bool:
    """Whether samples are the frames that end at one: they overlap, so lengths do not add up."""
    return any(sample.frame is not None for sample in found.manifest)


def class_table(found: Survey) -> list[dict[str, Any]]:
    """One row for each label: clips, seconds, groups, and clips of each part."""
    members: dict[str, list[int]] = defaultdict(list)
    for row in range(len(found.manifest)):
        for label in found.strata(row):
            members[label].append(row)
    largest = max(map(len, members.values()), default=1)
    table = []
    for label in sorted(members, key=lambda name: (name == "", name)):
        rows = members[label]
        lengths = [m.seconds for row in rows if (m := found.measures[row]) is not None]
        table.append(
            {
                "label": label,
                "clips": len(rows),
                "share": 100 * len(rows) / largest,
                "seconds": "-" if framed(found) else _time(sum(lengths)),
                "groups": len({found.manifest[row].group for row in rows} - {""}),
                "parts": [
                    sum(found.parts[row] == part for row in rows) for part in found.part_names
                ],
            }
        )
    return table


def _banner(found: Survey) -> list[str]:
    """What makes scores on this data dishonest."""
    told, kind = [], found.part_kind
    across = found.groups_across
    if across:
        verb = "groups stand" if len(across) > 1 else "group stands"
        told.append(f"{len(across):,} {verb} in more than one {kind}.")
    if found.pairs:
        clips = len({row for pair in found.pairs for row in (pair.one, pair.two)})
        told.append(
            f"{len(found.pairs):,} pairs of clips in different {kind}s show one scene "
            f"({clips:,} of {len(found.manifest):,} clips)."
        )
    if found.health.copies_across:
        told.append(
            f"{len(found.health.copies_across):,} videos stand in more than one split under "
            "several names."
        )
    return told


def _distributions(found: Survey) -> dict[str, list[Any]]:
    """A histogram of everything that differs between clips, and what is the same for all."""
    known = [m for m in found.measures if m is not None]
    counts = [entry["clips"] for entry in class_table(found) if entry["label"]]
    ways: list[tuple[str, str, Sequence[float]]] = [
        ("Length", "seconds", [round(m.seconds, 3) for m in known]),
        ("Frame rate", "frames a second", [round(m.rate, 2) for m in known]),
        ("Width", "px", [m.width for m in known]),
        ("Height", "px", [m.height for m in known]),
        ("Brightness", "0 black, 1 white", [m.brightness for m in known]),
        ("Contrast", "deviation of grey", [m.contrast for m in known]),
        ("Motion", "mean change of grey", [m.motion for m in known]),
        ("Clips of a group", "clips", found.group_sizes()),
        ("Clips of a class", "clips", counts),
    ]
    plots, alike = [], []
    for title, unit, values in ways:
        if len(set(values)) > 1:
            plots.append(markup(histogram(values, title=title, unit=unit)))
        elif values:
            alike.append(f"{title.lower()} {values[0]:g}{'' if unit == 'clips' else f' {unit}'}")
    return {"plots": plots, "alike": alike}


def _galleries(found: Survey) -> list[dict[str, Any]]:
    """Some clips of every class, of different groups where there are several."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(found.manifest):
        if found.info(sample) is not None:
            for label in found.strata(row):
                members[label].append(row)
    members.pop("", None)
    each = max(1, min(_STRIPS_OF_CLASS, _MOST_STRIPS // max(1, len(members))))
    galleries = []
    for label in sorted(members)[:_MOST_STRIPS]:
        rows = _spread_over_groups(found, members[label], each)
        galleries.append({"label": label, "clips": [_clip(found, row, side=160) for row in rows]})
    return galleries


def _spread_over_groups(found: Survey, rows: Sequence[int], count: int) -> list[int]:
    """Rows at random, no group twice before each had its turn; the same ones every time."""
    order = np.random.default_rng(0).permutation(len(rows))
    turns: dict[str, int] = defaultdict(int)
    ranked = []
    for place, index in enumerate(order):
        row = rows[int(index)]
        group = found.manifest[row].group or str(found.manifest.path(found.manifest[row]))
        ranked.append((turns[group], place, row))
        turns[group] += 1
    return [row for _, _, row in sorted(ranked)[:count]]


def _clip(found: Survey, row: int, *, side: int = 200) -> dict[str, Any]:
    sample = found.manifest[row]
    picture: Strip | None = strip(found.manifest, sample, side=side)
    return {"row": row, "sample": sample, "name": _file(found, row), "picture": picture}


def _pairs(found: Survey, pairs: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "difference": pair.difference,
            "sides": [
                {"name": _file(found, row), "part": found.parts[row],
                 "group": found.manifest[row].group, "label": found.manifest[row].label}
                for row in (pair.one, pair.two)
            ],
        }
        for pair in pairs[:_MOST_PAIRS]
    ]  # fmt: skip


def _file(found: Survey, row: int) -> str:
    return PurePath(found.manifest[row].video).name


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
