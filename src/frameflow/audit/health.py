"""Is this data fit to train on? Every video is opened, labels are counted, leaks are looked for."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from frameflow._places import shown
from frameflow._threads import in_threads
from frameflow.audit._looks import Look, Opened, looks_on_cluster, open_video
from frameflow.audit.scenes import (
    Part,
    ScenePair,
    _checked_workers,
    crossing,
    gathered,
    parts_of,
    read_backgrounds,
    same_scene_pairs,
    warn_of_many,
)
from frameflow.cluster import Cluster
from frameflow.data.labels import check_label_sets
from frameflow.data.manifest import SPLITS, Manifest
from frameflow.data.splits import Leak, check_leaks
from frameflow.errors import VideoError
from frameflow.features.digests import Digest, content_digests
from frameflow.progress import progress
from frameflow.video.probe import VideoInfo

Table = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]

_MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """A sample whose video cannot be used, and why."""

    video: str
    row: int
    reason: str


@dataclass(frozen=True)
class HealthReport:
    """What `check` found.

    Attributes:
        manifest: what was checked.
        troubles: the samples whose video is unreadable or does not hold their span.
        leaks: groups that stand in more than one split.
        copies: samples whose videos are byte for byte the same, as lists of rows.
        scenes: pairs of clips in different splits that show one scene; None if not looked for.
        compared: how many clips were compared.
        multilabel: a label cell holds several, which are counted each.
        videos: what each readable video is, by its path.
    """

    manifest: Manifest
    troubles: list[Trouble]
    leaks: list[Leak]
    copies: list[list[int]] = field(default_factory=list)
    scenes: list[ScenePair] | None = None
    compared: int = 0
    multilabel: bool = False
    videos: Mapping[Path, VideoInfo] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.troubles or self.leaks or self.scenes or self.copies_across)

    @property
    def copies_across(self) -> list[list[int]]:
        """The copies that stand in more than one split."""
        splits = [sample.split for sample in self.manifest]
        return [c for c in self.copies if len({splits[i] for i in c} - {""}) > 1]

    @property
    def leaked(self) -> set[int]:
        """The test and validation samples whose scene stands in train too, by index."""
        found = set()
        for pair in self.scenes or ():
            one, two = self.manifest[pair.one].split, self.manifest[pair.two].split
            if "train" in (one, two):
                found.add(pair.one if two == "train" else pair.two)
        return found

    def tables(self) -> list[Table]:
        """Titled tables to print: counts, troubles, leaks."""
        tables = [self._counts()]
        if self.troubles:
            rows = [(t.row or "-", t.video, t.reason) for t in self.troubles]
            tables.append(("Cannot be used", ("row", "video", "reason"), rows))
        if self.leaks:
            header = ("group", *SPLITS)
            leaking = [(k.group, *(k.splits.get(s, 0) for s in SPLITS)) for k in self.leaks]
            tables.append(("Groups in more than one split", header, _first(leaking)))
        if self.scenes:
            columns = ("difference", "video", "split", "shows the scene of", "split")
            pairs = [self._pair(pair) for pair in self.scenes]
            tables.append(("One scene in two splits", columns, _first(pairs)))
        return tables

    def lines(self) -> list[str]:
        """The verdict, in sentences, each with the cure."""
        name = shlex.quote(shown(self.manifest.source or "MANIFEST"))
        split = f"frameflow data split {name}{' --multilabel' if self.multilabel else ''}"
        lines = []
        if self.troubles:
            lines.append(
                f"{len(self.troubles)} of {len(self.manifest)} samples cannot be used: mend or "
                "remove their videos. Training sets them aside and says so."
            )
        if self.leaks:
            lines.append(
                f"LEAK: {_standing(len(self.leaks), 'group')} in more than one split. Mend it "
                f"with `{split}`."
            )
        if self.copies_across:
            lines.append(
                f"LEAK: {_standing(len(self.copies_across), 'video')} in more than one split under "
                "several names (the bytes are the same). Remove the copies."
            )
        if self.scenes:
            judged = sum(s.split in ("val", "test") for s in self.manifest)
            lines.append(
                f"LEAK: {len(self.scenes)} pairs of clips in different splits show one scene; "
                f"{len(self.leaked)} of {judged} validation and test clips have their scene in "
                f"train. Mend it with `frameflow data groups {name}`, then "
                f"`{split}`."
            )
        if not lines:
            looked = f"{self.compared} clips compared by content, " if self.compared else ""
            lines.append(f"All is well: {len(self.manifest)} samples read, {looked}no leak found.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        scenes = [
            {"videos": [self.manifest[p.one].video, self.manifest[p.two].video],
             "splits": [self.manifest[p.one].split, self.manifest[p.two].split],
             "difference": round(p.difference, 3)}
            for p in self.scenes or ()
        ]  # fmt: skip
        return {
            "ok": self.ok,
            "samples": len(self.manifest),
            "counts": self.manifest.summary(multilabel=self.multilabel),
            "unusable": [
                {"video": t.video, "row": t.row, "reason": t.reason} for t in self.troubles
            ],
            "leaking_groups": [{"group": k.group, **k.splits} for k in self.leaks],
            "copies": [[self.manifest[i].video for i in copy] for copy in self.copies],
            "same_scene_across_splits": scenes if self.scenes is not None else None,
            "leaked_samples": len(self.leaked),
        }

    def _counts(self) -> Table:
        summary = self.manifest.summary(multilabel=self.multilabel)
        splits = list(next(iter(summary.values())))
        header = ("label", *(split or "no split" for split in splits), "groups")
        groups: dict[str, set[str]] = {}
        for sample in self.manifest:
            for label in sample.strata(multilabel=self.multilabel):
                groups.setdefault(label, set()).add(sample.group)
        rows = [
            (label or "(unlabelled)", *counts.values(), len(groups[label] - {""}) or None)
            for label, counts in summary.items()
        ]
        return ("Samples", header, rows)

    def _pair(self, pair: ScenePair) -> tuple[Any, ...]:
        one, two = self.manifest[pair.one], self.manifest[pair.two]
        return (f"{pair.difference:.1f}", one.video, one.split, two.video, two.split)


def check(
    manifest: Manifest,
    *,
    workers: int | None = None,
    content: bool = True,
    multilabel: bool = False,
    cluster: Cluster | None = None,
) -> HealthReport:
    """Open every video, and look for leaks by group, by copy and by content.

    Every video is probed and its first, middle and last frames are decoded.

    Args:
        manifest: what to check; videos may be missing.
        workers: how many videos are opened at once; the machine's cores by default.
        content: whether to look for clips of one scene in different splits.
        multilabel: a label cell holds several, joined by ``|``.
        cluster: whose workers open the videos; None: this process.

    Returns:
        What is wrong and why; `HealthReport.ok` if nothing.

    Raises:
        UsageError: ``workers`` is not positive.
        ManifestError: a label cell that multi-label cannot read.
    """
    if multilabel:
        check_label_sets(manifest)
    workers = _checked_workers(workers)
    compare = content and manifest.has_splits
    parts = parts_of(manifest)
    looks: dict[Path, Look] | None = None
    if cluster is None:
        opened = _opened(list(parts), workers)
    else:
        warn_of_many(len(manifest) if compare else 0)
        looks = looks_on_cluster(cluster, parts if compare else dict.fromkeys(parts, ()))
        opened = {path: look.opened for path, look in looks.items()}
    troubles = _troubles(manifest, opened)
    good_paths = [path for path, result in opened.items() if isinstance(result, VideoInfo)]
    digests = content_digests(good_paths) if looks is None else _digests(looks)
    copies = _copies(manifest, digests)
    scenes, compared = None, 0
    if compare:
        usable = set(good_paths)
        good = [i for i, sample in enumerate(manifest) if manifest.path(sample) in usable]
        part = manifest.replace(manifest[i] for i in good)
        if looks is None:
            found = read_backgrounds(part, workers=workers)
        else:
            found = gathered(part, _pictures(looks, parts))
        pairs = [ScenePair(good[p.one], good[p.two], p.difference) for p in same_scene_pairs(found)]
        scenes, compared = crossing(pairs, manifest), len(found.rows)
    leaks = check_leaks(manifest)
    videos = {path: info for path, info in opened.items() if isinstance(info, VideoInfo)}
    return HealthReport(manifest, troubles, leaks, copies, scenes, compared, multilabel, videos)


def _opened(paths: list[Path], workers: int) -> dict[Path, Opened]:
    opened: dict[Path, Opened] = {}
    with progress("Checking", total=len(paths), unit="videos") as advance:
        results = in_threads(open_video, paths, workers=workers, name="check")
        for path, result in zip(paths, results):
            opened[path] = result
            advance()
    return opened


def _digests(looks: Mapping[Path, Look]) -> dict[Path, Digest]:
    return {path: look.digest for path, look in looks.items() if look.digest is not None}


def _pictures(
    looks: Mapping[Path, Look], parts: Mapping[Path, Sequence[Part]]
) -> dict[tuple[Path, Part], np.ndarray | VideoError]:
    return {
        (path, part): picture
        for path, look in looks.items()
        for part, picture in zip(parts[path], look.backgrounds)
    }


def _troubles(manifest: Manifest, opened: Mapping[Path, Opened]) -> list[Trouble]:
    found = []
    for sample in manifest:
        result = opened[manifest.path(sample)]
        reason = ""
        if isinstance(result, VideoError):
            reason = result.reason
        elif result.truncated:
            reason = f"its end is missing: {result.frames} frames are left"
        elif sample.start is not None and sample.start >= result.duration:
            reason = f"start ({sample.start:g} s) is past its end ({result.duration:.2f} s)"
        elif sample.end is not None and sample.end > result.duration + 1.0:
            reason = f"end ({sample.end:g} s) is past its end ({result.duration:.2f} s)"
        if reason:
            found.append(Trouble(sample.video, sample.row, reason))
    return found


def _copies(manifest: Manifest, digests: Mapping[Path, Digest]) -> list[list[int]]:
    """Samples of different paths and the same bytes."""
    first_of: dict[Path, int] = {}
    for index, sample in enumerate(manifest):
        first_of.setdefault(manifest.path(sample), index)
    by_digest: dict[str, list[int]] = {}
    for path, digest in digests.items():
        if isinstance(digest, str):
            by_digest.setdefault(digest, []).append(first_of[path])
    return [sorted(rows) for rows in by_digest.values() if len(rows) > 1]


def _standing(count: int, what: str) -> str:
    return f"{count} {what}s stand" if count != 1 else f"1 {what} stands"


def _first(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    shown = list(rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        shown.append((f"and {len(rows) - _MOST_ROWS} more", *[""] * (len(rows[0]) - 1)))
    return shown
