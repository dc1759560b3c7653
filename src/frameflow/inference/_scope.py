"""What is scored: which samples, of which manifest, and into which folder the figures go."""

import json
import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from frameflow._places import shown
from frameflow.data.labels import check_label_sets
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError, listing, near_names

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True)
class Scope:
    """The samples to score.

    Attributes:
        manifest: with the labelled samples of the split only.
        name: the manifest as the user named it, or ``manifest.csv`` for the run's own.
        split: ``train``, ``val``, ``test`` or ``all``.
        foreign: whether the manifest is another than the run's own.
        unlabelled: samples of the split that are left out because they have no label.
    """

    manifest: Manifest
    name: str
    split: str
    foreign: bool
    unlabelled: int


def scope(
    folder: Path,
    manifest: str | os.PathLike[str] | Manifest | None,
    *,
    split: str,
    labels: list[str],
    multilabel: bool = False,
) -> Scope:
    """Read the manifest and choose the samples.

    Raises:
        UsageError: unknown split, nothing in it, or labels that the model does not know.
        ManifestError: a label cell that multi-label cannot read.
    """
    if split not in SPLITS:
        raise UsageError(
            f"split ({split!r}) must be one of {', '.join(SPLITS)}.{near_names(split, SPLITS)}"
        )
    own = folder / "manifest.csv"
    foreign = manifest is not None
    if manifest is None:
        source, name = Manifest.read(own, check_files=False), "manifest.csv"
    elif isinstance(manifest, Manifest):
        source, name = manifest, "in memory"
    else:
        # A missing file is set aside with its reason, like any other unreadable one.
        source, name = Manifest.read(manifest, check_files=False), shown(manifest)
        foreign = Path(manifest).resolve() != own.resolve()
    if foreign and split == "test" and not source.has_splits:
        log.info("The manifest has no splits, so all its %d samples are scored.", len(source))
        split = "all"
    chosen = source if split == "all" else source.split(split)
    if not len(chosen):
        there = Counter(sample.split or "no split" for sample in source)
        held = ", ".join(f"{count} in {part}" for part, count in sorted(there.items()))
        raise UsageError(f"No sample of {name} is in the {split} split (it has {held or 'none'}).")
    labelled = chosen.where(lambda sample: bool(sample.label))
    if multilabel:
        check_label_sets(labelled)
    _check_labels(labelled, labels, name, split, multilabel=multilabel)
    left = len(chosen) - len(labelled)
    if left:
        log.warning("%d samples have no label and are not scored; `predict` is for them.", left)
    return Scope(labelled, name, split, foreign, left)


def _check_labels(
    labelled: Manifest, labels: list[str], name: str, split: str, *, multilabel: bool
) -> None:
    if not len(labelled):
        raise UsageError(
            f"No sample of {name} ({split} split) has a label, so there is nothing to score. "
            f"Fill its label column, or use `frameflow predict`."
        )
    known = set(labels)
    unknown = Counter(
        label
        for sample in labelled
        for label in sample.label_names(multilabel=multilabel)
        if label not in known
    )
    if unknown:
        named = [f"{label!r} ({count} samples)" for label, count in sorted(unknown.items())]
        hint = near_names(min(unknown), labels)
        raise UsageError(
            f"The model does not know {len(unknown)} of the labels of {name}: {listing(named)}."
            f"{hint} It knows {listing(labels, most=8)}. Rename the labels or leave the rows out."
        )


def folder_for(run: Path, scope: Scope, *, views: int, usual_views: int) -> Path:
    """Where the figures go: the run itself for its own test split as the recipe views it.

    Anything else has a folder of its own below ``evaluations``, so that the first figures stay.
    Another manifest of the same name gets a number; the same one again, its old folder.
    """
    if not scope.foreign and scope.split == "test" and views == usual_views:
        return run
    parts = [Path(scope.name).stem if scope.foreign else "", scope.split]
    if scope.foreign and scope.split == "all":
        parts = parts[:1]
    if views != usual_views:
        parts.append(f"views{views}")
    base = "-".join(part.replace(" ", "-") for part in parts if part)
    into, number = run / "evaluations" / base, 1
    while _another(into, scope.name):
        number += 1
        into = into.with_name(f"{base}-{number}")
    return into


def _another(folder: Path, manifest: str) -> bool:
    """Whether the folder holds the figures of another manifest."""
    try:
        held = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(held.get("manifest") != manifest)
