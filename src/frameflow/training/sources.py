"""From what the user names (a folder, a manifest) to samples with groups and splits."""

import logging
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from frameflow._places import path_of, shown, url_of
from frameflow.config import Recipe
from frameflow.data.labels import SEPARATOR, check_label_sets, select_classes
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.scan import scan_folder
from frameflow.data.splits import cut_validation, split_manifest, use_fold
from frameflow.errors import UsageError, listing

log = logging.getLogger(__name__)

Source = str | os.PathLike[str] | Manifest


def read_source(
    source: Source,
    *,
    classes: str | Sequence[str] | int | None = None,
    multilabel: bool = False,
) -> Manifest:
    """The labelled samples of a folder of class folders, a manifest file or a manifest.

    Args:
        source: what the user named.
        classes: only these: a number (the first so many by name), or labels.
        multilabel: a label cell holds several, joined by ``|``.

    Raises:
        UsageError: nothing is there, or it is neither; unknown classes.
        ManifestError: a label cell that multi-label cannot read.
    """
    if isinstance(source, Manifest):
        manifest = source
    elif url_of(path := path_of(source)):
        manifest = _elsewhere(path, multilabel=multilabel)
    elif path.is_dir():
        manifest = scan_folder(path).manifest
    elif not path.exists():
        raise UsageError(
            f"{source} does not exist: name a folder of class folders or a manifest (.csv)."
        )
    else:
        # Videos that are missing are set aside with the unreadable ones, by extraction.
        manifest = _read(path, multilabel=multilabel)
    if multilabel:
        check_label_sets(manifest)
    if classes is not None:
        manifest = select_classes(manifest, _spec(classes), multilabel=multilabel)
        labels = manifest.label_names(multilabel=multilabel)
        log.info("Took %d classes: %s.", len(labels), listing(labels, most=10))
    return manifest


def _read(path: Path, *, multilabel: bool) -> Manifest:
    manifest = Manifest.read(path, check_files=False)
    labels = manifest.label_names(multilabel=multilabel)
    log.info("Read %d samples of %d classes.", len(manifest), len(labels))
    return manifest


def _elsewhere(path: Path, *, multilabel: bool) -> Manifest:
    """A manifest at a URL; folders of class folders are scanned on this machine only."""
    if path.suffix.lower() not in (".csv", ".parquet", ".pq"):
        raise UsageError(
            f"{shown(path)} is no manifest: it must end in .csv or .parquet. Folders at a URL are "
            f"not scanned: write a manifest that names their videos."
        )
    return _read(path, multilabel=multilabel)


def name_of(source: Source) -> str:
    """A short name for runs on this source: a file that is just called manifest says nothing."""
    if isinstance(source, Manifest):
        path = source.source or source.root
    else:
        path = path_of(source)
    path = Path(shown(path)) if url_of(path) else path.resolve()
    if path.is_dir():
        return path.name
    return path.parent.name if path.stem == "manifest" else path.stem


def with_groups(manifest: Manifest, *, always: bool = False) -> Manifest:
    """Groups found from names and content, where there are none or ``always``."""
    if manifest.has_groups and not always:
        return manifest
    from frameflow.audit.groups import find_groups

    log.info("Looking for clips of the same scene, which must not be split.")
    found = find_groups(manifest)
    groups = Counter(sample.group for sample in found)
    log.info("Found %d groups in %d samples.", len(groups), len(found))
    return found


def warn_of_shared_scenes(manifest: Manifest) -> int:
    """Say where clips in different splits show one scene, for a manifest that gives no groups.

    Returns:
        How many pairs of clips do.
    """
    from frameflow.audit.scenes import crossing, read_backgrounds, same_scene_pairs

    log.info("The manifest gives no groups: comparing its clips by content.")
    pairs = crossing(same_scene_pairs(read_backgrounds(manifest)), manifest)
    if pairs:
        clips = len({index for pair in pairs for index in (pair.one, pair.two)})
        name = shlex.quote(shown(manifest.source)) if manifest.source else "MANIFEST"
        log.warning(
            "%d clips show a scene that stands in another split too, so the score will be too "
            "high. `frameflow data check %s` lists them; `frameflow data groups %s`, then "
            "`frameflow data split %s` mends it.",
            clips,
            *[name] * 3,
        )
    return len(pairs)


def with_splits(manifest: Manifest, recipe: Recipe, *, fold: int | None) -> Manifest:
    """Splits: those of the fold, or the manifest's own with validation cut where it lacks, or new.

    Raises:
        UsageError: no such fold, no training samples, or too few groups to part.
    """
    shares, seed, several = recipe.split, recipe.train.seed, recipe.multilabel
    if fold is not None:
        manifest = fold_splits(manifest, fold, val=shares.val, seed=seed, multilabel=several)
        log.info("Fold %d is the test split: %s.", fold, _counts(manifest))
        return manifest.where(lambda sample: bool(sample.split))
    if not manifest.has_splits:
        if manifest.has_folds:
            log.warning("The folds of the manifest are not used: --fold K tests on fold K.")
        split = split_manifest(
            manifest, val=shares.val, test=shares.test, seed=seed, multilabel=several
        )
        return split.where(lambda sample: bool(sample.split))
    without = sum(not sample.split for sample in manifest)
    if without:
        log.warning("%d samples have no split and are left out.", without)
        manifest = manifest.where(lambda sample: bool(sample.split))
    if not len(manifest.split("train")):
        raise UsageError(
            f"The manifest has no training sample ({_counts(manifest)}): write `train` in its "
            f"split column, or leave the column out to have it split."
        )
    if not len(manifest.split("val")) and shares.val:
        manifest = _with_validation(manifest, shares.val, seed, multilabel=several)
    log.info("The manifest's own splits: %s.", _counts(manifest))
    return manifest


def fold_splits(
    manifest: Manifest, fold: int, *, val: float, seed: int, multilabel: bool = False
) -> Manifest:
    """`use_fold`, without validation where the training samples are too few to cut it from."""
    try:
        return use_fold(manifest, fold, val=val, seed=seed, multilabel=multilabel)
    except UsageError as error:
        found = use_fold(manifest, fold, val=0)  # raises again where the fold is at fault
        log.warning("No validation split can be cut from train: %s", error)
        return found


def check_classes(manifest: Manifest, *, multilabel: bool = False) -> None:
    """Say what the splits allow to be learned and judged.

    Raises:
        UsageError: there are fewer than two classes to tell apart; with ``multilabel``, no label
            that some training samples have and others have not.
    """
    training = refuse_one_class(manifest.split("train").samples, multilabel=multilabel)
    labels = manifest.label_names(multilabel=multilabel)
    missing = [label for label in labels if label not in training]
    if missing:
        log.warning(
            "No training sample is of %s: the model cannot name it, and its clips count as wrong.",
            listing([repr(label) for label in missing]),
        )
    joined = [] if multilabel else [label for label in labels if SEPARATOR in label]
    if joined:
        log.warning(
            "%s, each taken as one label: are they several? Then set multilabel: true.",
            f"Labels hold {SEPARATOR!r} ({listing([repr(label) for label in joined], most=3)})",
        )
    everywhere = len(manifest.split("train")) if multilabel else 0
    if constant := [label for label in labels if training[label] == everywhere > 0]:
        log.warning(
            "Every training sample is of %s: the model cannot learn where it does not apply.",
            listing([repr(label) for label in constant]),
        )
    single = [label for label, count in training.items() if count == 1]
    if single:
        log.warning(
            "Only one training clip is of %s: add more, or expect little.",
            listing([repr(label) for label in sorted(single)]),
        )
    if not len(manifest.split("test")):
        log.warning(
            "There is no test split, so validation is scored, which early stopping has seen: "
            "expect less on new videos."
        )


def refuse_one_class(samples: Sequence[Sample], *, multilabel: bool = False) -> Counter[str]:
    """How many samples have each label.

    Raises:
        UsageError: they do not differ in what there is to learn.
    """
    found = Counter(
        name for sample in samples for name in sample.label_names(multilabel=multilabel)
    )
    if multilabel:
        if all(count == len(samples) for count in found.values()):
            raise UsageError(
                "Training needs a label that some samples have and others have not; here "
                f"{f'all {len(samples)} have the same' if found else 'no sample has one'}. "
                "Add clips with other labels, or `none` where none applies."
            )
    elif len(found) < 2:
        only = f"all {found.total()} are {next(iter(found))!r}" if found else "none"
        raise UsageError(
            f"Training needs samples of at least two classes; {only}. Add clips of another class."
        )
    return found


def _with_validation(manifest: Manifest, share: float, seed: int, *, multilabel: bool) -> Manifest:
    """Validation from train, never from test; without, where train is one group."""
    try:
        return cut_validation(manifest, val=share, seed=seed, multilabel=multilabel)
    except UsageError as error:
        log.warning("No validation split can be cut from train: %s", error)
        return manifest


def _counts(manifest: Manifest) -> str:
    counts = Counter(sample.split or "no split" for sample in manifest)
    return ", ".join(f"{counts[name]} {name}" for name in ("train", "val", "test") if counts[name])


def _spec(classes: str | Sequence[str] | int) -> str:
    if isinstance(classes, str | int):
        return str(classes)
    return ",".join('"' + name.replace('"', '""') + '"' for name in classes)
