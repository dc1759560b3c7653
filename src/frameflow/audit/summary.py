"""Does anything stand on both sides of a split: the answer that reports and cards carry."""

from typing import Any, Literal

from frameflow.data.manifest import Manifest
from frameflow.data.splits import check_leaks

Origin = Literal["given", "found", "none"]


def split_audit(
    manifest: Manifest, *, groups: Origin, scene_pairs: int | None = None
) -> dict[str, Any]:
    """What is known of groups and scenes across the splits of a manifest.

    Args:
        manifest: with splits.
        groups: ``given`` by the manifest, ``found`` by comparing the clips, or ``none``.
        scene_pairs: pairs of clips in different splits that show one scene, where the clips were
            compared without making groups of them.

    Returns:
        ``checked`` (whether the clips' content was compared), ``groups``, ``groups_across``,
        ``scene_pairs_across`` (None where it is not known) and a ``sentence`` that says so.

    Example:
        >>> from frameflow.data.manifest import Sample
        >>> clips = [Sample("1.mp4", "run", "train", "a"), Sample("2.mp4", "run", "test", "a")]
        >>> split_audit(Manifest(clips, "."), groups="given")["sentence"]
        "1 group stands in more than one split; the groups are the manifest's own."
    """
    across = len(check_leaks(manifest))
    if groups == "found" and not across:
        scene_pairs = 0  # clips of one scene are one group
    return {
        "checked": groups == "found" or scene_pairs is not None,
        "groups": groups,
        "groups_across": across,
        "scene_pairs_across": scene_pairs,
        "sentence": _sentence(groups, across, scene_pairs),
    }


def _sentence(groups: Origin, across: int, scene_pairs: int | None) -> str:
    if groups == "none":
        return _without_groups(across, scene_pairs)
    if groups == "found":
        return f"{_standing(across)}; the groups were found by comparing the clips."
    own = f"{_standing(across)}; the groups are the manifest's own."
    if across:
        return own
    return f"{own} The clips were not compared by content: `frameflow data check` does that."


def _standing(across: int) -> str:
    if not across:
        return "No group stands in two splits"
    return f"{across:,} group{'s stand' if across > 1 else ' stands'} in more than one split"


def _without_groups(across: int, scene_pairs: int | None) -> str:
    parts = ["The manifest gives no groups."]
    if across:
        parts.append(
            f"{across:,} video{'s stand' if across > 1 else ' stands'} in more than one split."
        )
    if scene_pairs is None:
        parts.append("Its clips were not compared by content: `frameflow data check` does that.")
    elif scene_pairs:
        pairs = f"{scene_pairs:,} pair{'s' if scene_pairs > 1 else ''}"
        parts.append(f"Compared by content, {pairs} of clips in different splits show one scene.")
    else:
        parts.append("Compared by content, no two clips in different splits show one scene.")
    return " ".join(parts)
