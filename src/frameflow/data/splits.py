"""Splits and folds that no group straddles, and the check that none does."""

import logging
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from frameflow._places import shown
from frameflow.data._units import Units, place_key, video_key
from frameflow.data.manifest import SPLITS, Manifest, Sample
from frameflow.errors import LeakError, UsageError, listing

log = logging.getLogger(__name__)

# What it costs to leave a label out of a split, beside squared shares (at most 1 per label): a
# label without training samples cannot be learnt, one without test samples not be judged.
_NEED = {"train": 100.0, "val": 5.0, "test": 10.0}


@dataclass(frozen=True, slots=True)
class Leak:
    """A group, or a video without one, that stands in more than one split."""

    group: str
    splits: Mapping[str, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.splits.items())
        return f"{self.group}: {counts}"


def check_leaks(manifest: Manifest) -> list[Leak]:
    """The groups that stand in more than one split, those with most samples first.

    Several samples of one video belong together even without a group: such a video is reported
    by its path.
    """
    return _straddling(manifest, lambda sample: sample.split)


def refuse_leaks(
    manifest: Manifest, *, allow: bool = False, folder: str | os.PathLike[str] | None = None
) -> bool:
    """Raise if a group stands in more than one split.

    Args:
        manifest: with splits.
        allow: warn instead of raising.
        folder: of class folders, where the splits are its own and no manifest was named: the
            command that mends it then makes one.

    Returns:
        Whether the split leaks (and was allowed to).

    Raises:
        LeakError: the split leaks; the message has the counts and the command that mends it.
    """
    leaks = check_leaks(manifest)
    if not leaks:
        return False
    samples = sum(sum(leak.splits.values()) for leak in leaks)
    found = (
        f"LEAKY SPLIT: {len(leaks):,} group{'s stand' if len(leaks) > 1 else ' stands'} in more "
        f"than one split, with {samples:,} of {len(manifest):,} samples "
        f"({'; '.join(map(str, leaks[:3]))}{'; ...' if len(leaks) > 3 else ''})."
    )
    if allow:
        log.warning("%s Scores on it are too high, and every report will say so.", found)
        return True
    raise LeakError(
        f"{found}\nMend it with `{_mending_command(manifest, folder)}`, "
        "or go on with --allow-leak: every report will then say LEAKY SPLIT."
    )


def _mending_command(manifest: Manifest, folder: str | os.PathLike[str] | None) -> str:
    if folder is not None:
        scan = f"frameflow data scan {shlex.quote(os.fspath(folder))} -o manifest.csv"
        steps = ("groups manifest.csv", "split manifest.csv")
        return " && ".join([scan, *(f"frameflow data {step}" for step in steps)])
    name = shlex.quote(shown(manifest.source)) if manifest.source else "MANIFEST"
    folds = {sample.fold for sample in manifest} - {None}
    option = f" --folds {len(folds)}" if _follows_folds(manifest) else ""
    return f"frameflow data split {name}{option} -o {name}"


def _follows_folds(manifest: Manifest) -> bool:
    """Whether the splits are those of a fold, so that only other folds mend them."""
    folds: dict[str, set[int | None]] = defaultdict(set)
    for sample in manifest:
        folds["train" if sample.split == "val" else sample.split].add(sample.fold)
    folds.pop("", None)
    known = [fold for part in folds.values() for fold in part]
    return len(folds) > 1 and None not in known and len(known) == len(set(known))


def _straddling(manifest: Manifest, part: Callable[[Sample], str]) -> list[Leak]:
    by_group: dict[str, Counter[str]] = defaultdict(Counter)
    by_video: dict[str, Counter[str]] = defaultdict(Counter)
    told: dict[str, set[str]] = defaultdict(set)
    for sample in manifest:
        if part(sample):
            if sample.group:
                by_group[sample.group][part(sample)] += 1
            video = video_key(manifest, sample)
            by_video[video][part(sample)] += 1
            told[video].add(sample.group)
    leaks = [Leak(group, _ordered(counts)) for group, counts in by_group.items() if len(counts) > 1]
    leaking = {leak.group for leak in leaks}
    leaks += [
        Leak(video, _ordered(counts))
        for video, counts in by_video.items()
        if len(counts) > 1 and not told[video] & leaking
    ]
    return sorted(leaks, key=lambda leak: (-sum(leak.splits.values()), leak.group))


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    names = [*SPLITS, *sorted(set(counts) - set(SPLITS))]
    return {name: counts[name] for name in names if name in counts}


def split_manifest(
    manifest: Manifest,
    *,
    val: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    multilabel: bool = False,
) -> Manifest:
    """Give every labelled sample a split, stratified by label and disjoint by group.

    Samples of one video stay together too. Without groups that is all that holds them together,
    and a warning says what it risks. Splits that were there before are replaced; unlabelled
    samples get none. The result does not depend on the order of the samples.

    Args:
        manifest: the samples.
        val: the share of the samples for validation.
        test: the share for the test.
        seed: another seed gives another split.
        multilabel: a label cell holds several; each of them is stratified.

    Raises:
        UsageError: a share is out of range, or there are fewer than two groups to part.

    Example:
        >>> clips = [Sample(f"{i}.mp4", "wave", group=f"g{i % 10}") for i in range(100)]
        >>> parts = split_manifest(Manifest(clips, root="."), val=0.1, test=0.2)
        >>> [len(parts.split(name)) for name in ("train", "val", "test")]
        [70, 10, 20]
    """
    _check_share("val", val)
    _check_share("test", test)
    if val + test >= 1:
        raise UsageError(f"val ({val}) + test ({test}) must be < 1, or nothing is left to train.")
    units = Units.of(manifest, multilabel=multilabel)
    units.warn_of_missing_groups()
    units.refuse_fewer_than(2, "parted into splits")
    shares = {"train": 1 - val - test, "val": val, "test": test}
    chosen = units.balance(
        [shares[name] for name in SPLITS], need=[_NEED[name] for name in SPLITS], seed=seed
    )
    parts = {index: SPLITS[part] for index, part in chosen.items()}
    _warn_of_labels_left_out(units, [name for name in SPLITS if shares[name] > 0])
    result = manifest.replace(
        replace(sample, split=parts.get(index, "")) for index, sample in enumerate(manifest)
    )
    _tell(result, units)
    return result


def cut_validation(
    manifest: Manifest, *, val: float, seed: int = 0, multilabel: bool = False
) -> Manifest:
    """Move a share of the training samples to ``val``: stratified by label, disjoint by group.

    Args:
        manifest: with a ``train`` split and no ``val``.
        val: the share of the training samples; 0 changes nothing.
        seed: another seed gives another cut.
        multilabel: see `split_manifest`.

    Raises:
        UsageError: the share is out of range, or ``val`` is there already.
    """
    _check_share("val", val)
    if any(sample.split == "val" for sample in manifest):
        raise UsageError("The manifest has a val split already: nothing to cut from train.")
    if val == 0:
        return manifest
    units = Units.of(manifest, lambda sample: sample.split == "train", multilabel=multilabel)
    units.refuse_fewer_than(2, "parted into train and val")
    chosen = units.balance([1 - val, val], need=[_NEED["train"], _NEED["val"]], seed=seed)
    _warn_of_labels_left_out(units, ["train", "val"])
    return manifest.replace(
        replace(sample, split="val") if chosen.get(index) == 1 else sample
        for index, sample in enumerate(manifest)
    )


def add_folds(
    manifest: Manifest, folds: int, *, seed: int = 0, multilabel: bool = False
) -> Manifest:
    """Number the labelled samples with the fold in which each is tested, 0 to ``folds`` - 1.

    The folds are of about equal size, stratified by label (each of them with ``multilabel``) and
    disjoint by group. Splits stay as they are.

    Raises:
        UsageError: fewer than two folds, or more folds than groups.
    """
    _check_folds(folds)
    units = Units.of(manifest, multilabel=multilabel)
    units.warn_of_missing_groups()
    units.refuse_fewer_than(folds, f"parted into {folds} folds")
    chosen = units.balance([1 / folds] * folds, need=[10.0] * folds, seed=seed)
    rare = [label for label, count in units.per_label().items() if count < folds]
    if rare:
        log.warning(
            "%s in fewer groups than there are folds, so some folds test without: %s.",
            _classes(rare),
            listing(rare),
        )
    return manifest.replace(
        replace(sample, fold=chosen.get(index)) for index, sample in enumerate(manifest)
    )


def random_clip_folds(
    manifest: Manifest, folds: int, seed: int = 0, *, multilabel: bool = False
) -> Manifest:
    """Folds over clips, stratified by label (the rarest with ``multilabel``), that ignore groups.

    What many published figures were measured on, and what the leak study shows the price of:
    clips of one recording stand on both sides. Not for training.

    Raises:
        UsageError: fewer than two folds, or more folds than labelled samples.
    """
    _check_folds(folds)
    strata = [sample.strata(multilabel=multilabel) for sample in manifest]
    frequency = Counter(name for names in strata for name in names)
    by_label: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(manifest)), key=lambda i: place_key(manifest[i])):
        if manifest[index].label:
            rarest = min(strata[index], key=lambda name: (frequency[name], name))
            by_label[rarest].append(index)
    total = sum(map(len, by_label.values()))
    if total < folds:
        raise UsageError(f"{total} labelled samples cannot be parted into {folds} folds.")
    random = Random(seed)
    chosen: dict[int, int] = {}
    for _, indices in sorted(by_label.items()):
        random.shuffle(indices)
        # Dealing goes on where the label before stopped, so that the folds are equally large.
        first = len(chosen)
        chosen.update((index, (first + place) % folds) for place, index in enumerate(indices))
    return manifest.replace(
        replace(sample, fold=chosen.get(index)) for index, sample in enumerate(manifest)
    )


def use_fold(
    manifest: Manifest,
    fold: int,
    *,
    val: float = 0.15,
    seed: int = 0,
    multilabel: bool = False,
) -> Manifest:
    """The splits of one fold: it is the test, validation is cut from the rest by group.

    Args:
        manifest: with a fold column. Samples without a fold get no split.
        fold: the fold to test on.
        val: the share of all samples for validation.
        seed: another seed gives another validation split.
        multilabel: see `split_manifest`.

    Raises:
        UsageError: there are no folds, or not this one.
    """
    _check_share("val", val)
    if not manifest.has_folds:
        raise UsageError(
            f"The manifest has no folds, so there is no fold {fold}. "
            "`frameflow data split MANIFEST --folds 5 -o MANIFEST` adds them."
        )
    folds = sorted({sample.fold for sample in manifest if sample.fold is not None})
    if fold not in folds:
        raise UsageError(f"There is no fold {fold}: the manifest has {listing(folds, most=20)}.")

    def assign(sample: Sample) -> Sample:
        if sample.fold is None or not sample.label:
            return replace(sample, split="")
        return replace(sample, split="test" if sample.fold == fold else "train")

    result = manifest.replace(map(assign, manifest))
    without = sum(1 for sample in manifest if sample.label and sample.fold is None)
    if without:
        log.warning("%d labelled samples have no fold and are left out.", without)
    training = len(result.split("train"))
    share = val * (training + len(result.split("test"))) / training if training else 0.0
    if share >= 1:
        raise UsageError(f"val ({val}) leaves nothing to train beside fold {fold}.")
    return cut_validation(result, val=share, seed=seed, multilabel=multilabel)


def _warn_of_labels_left_out(units: Units, splits: Sequence[str]) -> None:
    """Say which labels have too few groups to stand in every split."""
    per_label = units.per_label()
    alone = [label for label, count in per_label.items() if count == 1]
    if alone:
        others = " and ".join(name for name in splits if name != "train")
        log.warning(
            "%s in one group only, so in train and not in %s: %s.",
            _classes(alone),
            others,
            listing(alone),
        )
    few = [label for label, count in per_label.items() if 1 < count < len(splits)]
    if few:
        log.warning(
            "%s in too few groups to stand in each of %s: %s.",
            _classes(few),
            ", ".join(splits),
            listing(few),
        )


def _tell(manifest: Manifest, units: Units) -> None:
    counts = Counter(sample.split for sample in manifest if sample.split)
    total = sum(counts.values())
    shown = ", ".join(
        f"{counts[name]:,} {name} ({counts[name] / total:.0%})" for name in SPLITS if counts[name]
    )
    log.info("Split %s samples of %s groups: %s.", f"{total:,}", f"{len(units.members):,}", shown)


def _classes(labels: Sequence[str]) -> str:
    return f"{len(labels)} classes stand" if len(labels) > 1 else "1 class stands"


def _check_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        raise UsageError(f"{name} ({share}) must be a share from 0 to less than 1.")


def _check_folds(folds: int) -> None:
    if folds < 2:
        raise UsageError(f"folds ({folds}) must be at least 2.")
