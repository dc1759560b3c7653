"""Groups found from what clips show, for people who have none."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Container
from dataclasses import replace

from frameflow.audit.scenes import read_backgrounds, same_scene_pairs
from frameflow.data.manifest import Manifest
from frameflow.errors import VideoError
from frameflow.features.digests import content_digests

log = logging.getLogger(__name__)


def find_groups(manifest: Manifest, *, workers: int | None = None) -> Manifest:
    """Give every sample a group: clips that show one scene share it.

    Groups that were there before are kept whole, and joined where a clip of one shows the scene of
    another. Samples of one video share a group. A video that cannot be read gets a group of its
    own. A group is named after its first member: its old group, or ``scene-`` and some digits of
    that video's content, so that the scenes of two manifests do not share names by chance.

    Args:
        manifest: with groups or without.
        workers: how many videos are read at once.

    Returns:
        The manifest with a group for every sample.
    """
    backgrounds = read_backgrounds(manifest, workers=workers)
    pairs = same_scene_pairs(backgrounds)
    parent = list(range(len(manifest)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(one: int, two: int) -> None:
        low, high = sorted((root(one), root(two)))
        parent[high] = low

    seen: dict[tuple[str, str], int] = {}
    for index, sample in enumerate(manifest):
        tokens = [("video", str(manifest.path(sample)))]
        tokens += [("group", sample.group)] if sample.group else []
        for token in tokens:
            join(seen.setdefault(token, index), index)
    by_name = len({root(index) for index in range(len(manifest))})
    for pair in pairs:
        join(pair.one, pair.two)
    names = _names(manifest, [root(i) for i in range(len(manifest))], backgrounds.failed)
    found = len(set(names))
    if manifest.has_groups and found < by_name:
        log.info("Joined %d groups into %d, as their clips show one scene.", by_name, found)
    if found == 1 < len(manifest):
        log.warning(
            "All clips look like one scene (one fixed camera?), so nothing keeps them apart: "
            "write who or when into the group column, or score on footage of another day."
        )
    elif Counter(names).most_common(1)[0][1] > len(manifest) / 2:
        name, members = Counter(names).most_common(1)[0]
        log.warning(
            "%d of %d clips look like one scene (%s): splits cannot be balanced.",
            members,
            len(manifest),
            name,
        )
    return manifest.replace(
        replace(sample, group=name) for sample, name in zip(manifest, names, strict=True)
    )


def _names(manifest: Manifest, roots: list[int], failed: Container[int]) -> list[str]:
    """The old group of the first member, or a name from what its video holds."""
    paths = {i: manifest.path(manifest[i]) for i in sorted(set(roots)) if not manifest[i].group}
    digests = content_digests(paths.values())
    names = {}
    for index, path in paths.items():
        digest = digests[path]
        if index in failed or isinstance(digest, VideoError):
            # A group of its own, by its place: all empty files hold the same.
            digest = hashlib.sha256(os.fsencode(path)).hexdigest()
        names[index] = f"scene-{digest[:10]}"
    return [names.get(index) or manifest[index].group for index in roots]
