"""What a split cannot divide: samples tied together by their group or their video."""

import logging
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from frameflow._places import shown, url_in
from frameflow.data._balance import balance
from frameflow.data._sample import NONE
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError

log = logging.getLogger(__name__)


class Units:
    """The labelled samples tied together by group or by video: what a split cannot divide."""

    def __init__(
        self, manifest: Manifest, members: list[list[int]], *, multilabel: bool = False
    ) -> None:
        self.manifest = manifest
        self.members = members
        self.multilabel = multilabel
        self.counts = [
            Counter(name for i in unit for name in manifest[i].strata(multilabel=multilabel))
            for unit in members
        ]

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        among: Callable[[Sample], bool] | None = None,
        *,
        multilabel: bool = False,
    ) -> "Units":
        """Join the labelled samples that share a group or a video, also by way of others."""
        parent: dict[tuple[str, str], tuple[str, str]] = {}

        def root(token: tuple[str, str]) -> tuple[str, str]:
            while parent.setdefault(token, token) != token:
                parent[token] = token = parent[parent[token]]
            return token

        indices = [
            i
            for i, sample in enumerate(manifest)
            if sample.label and (among is None or among(sample))
        ]
        videos = {i: ("video", video_key(manifest, manifest[i])) for i in indices}
        for i in indices:
            if manifest[i].group:
                parent[root(videos[i])] = root(("group", manifest[i].group))
        members: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i in indices:
            members[root(videos[i])].append(i)
        # Sorted by content, so that the order of the rows does not matter.
        ordered = sorted(
            members.values(), key=lambda unit: min(place_key(manifest[i]) for i in unit)
        )
        return cls(manifest, ordered, multilabel=multilabel)

    def balance(
        self, shares: Sequence[float], *, need: Sequence[float], seed: int
    ) -> dict[int, int]:
        """The part of each labelled sample, by its index."""
        sizes = list(map(len, self.members))
        parts = balance(self.counts, shares, need=need, seed=seed, sizes=sizes)
        return {index: part for unit, part in zip(self.members, parts) for index in unit}

    def per_label(self) -> dict[str, int]:
        """In how many units each label stands."""
        found = Counter(label for unit in self.counts for label in unit)
        if self.multilabel:
            del found[NONE]  # no class that a split could lack
        return dict(sorted(found.items()))

    def refuse_fewer_than(self, least: int, what: str) -> None:
        count = len(self.members)
        if count >= least:
            return
        samples = sum(map(len, self.members))
        if not samples:
            raise UsageError(f"No labelled sample can be {what}: write labels first.")
        raise UsageError(
            f"{samples} labelled samples in {count} group{'s' if count != 1 else ''} cannot be "
            f"{what} without a group in two of them: add recordings of other scenes."
        )

    def warn_of_missing_groups(self) -> None:
        indices = [index for unit in self.members for index in unit]
        without = sum(1 for index in indices if not self.manifest[index].group)
        if not without:
            return
        name = shlex.quote(shown(self.manifest.source or "MANIFEST"))
        risk = (
            "If several were cut from one recording, scores will be too high. "
            f"`frameflow data groups {name} -o {name}` finds groups from the pictures."
        )
        if without == len(indices):
            log.warning("There are no groups, so the split is by clip. %s", risk)
        else:
            log.warning("%d of %d clips have no group. %s", without, len(indices), risk)


def video_key(manifest: Manifest, sample: Sample) -> str:
    """One spelling for a video, whether its path is relative or absolute."""
    if manifest.url or url_in(sample.video):
        return shown(manifest.path(sample))
    video = os.path.normpath(sample.video)
    if os.path.isabs(video):  # noqa: PTH117
        path = Path(video)
        return (
            path.relative_to(manifest.root).as_posix()
            if path.is_relative_to(manifest.root)
            else video
        )
    return video


def place_key(sample: Sample) -> tuple[str, float, float, str, str]:
    region = "" if sample.region is None else repr(sample.region)
    return (sample.video, sample.start or 0.0, sample.end or 0.0, sample.frame or "", region)
