"""Labels: choosing some, and several in one cell of a manifest."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from frameflow._places import shown
from frameflow.data._faults import Fault, ManifestError
from frameflow.data._sample import NONE, SEPARATOR, Sample
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError, listing, near_names

__all__ = ["NONE", "SEPARATOR", "check_label_sets", "join_labels", "label_matrix", "select_classes"]


def check_label_sets(manifest: Manifest) -> None:
    """Check every label cell as a multi-label recipe reads it.

    Raises:
        ManifestError: a label is empty or repeated, or ``none`` stands beside others.

    Example:
        >>> check_label_sets(Manifest([Sample("1.mp4", "run|wave"), Sample("2.mp4", "none")], "."))
    """
    faults = [
        Fault(sample.row or place, message)
        for place, sample in enumerate(manifest, start=1)
        if sample.label
        for message in _faults(sample.label)
    ]
    if faults:
        from_file = any(sample.row for sample in manifest)
        unit = "row" if from_file else "sample"
        raise ManifestError(shown(manifest.source or "The manifest"), faults, unit=unit)


def _faults(cell: str) -> Iterator[str]:
    names = [name.strip() for name in cell.split(SEPARATOR)]
    if "" in names:
        yield (
            f"the labels {cell!r} hold an empty one: join labels by single bars, "
            f"and write {NONE!r} where none applies"
        )
    repeated = sorted({repr(name) for name in names if name and names.count(name) > 1})
    if repeated:
        yield f"the labels {cell!r} hold {listing(repeated)} twice: delete one"
    if NONE in names and len(set(names)) > 1:
        yield f"the labels {cell!r} hold {NONE!r} beside others: it stands by itself"


def join_labels(names: Iterable[str]) -> str:
    """The cell of a sample with these labels; ``none`` where there are none.

    Example:
        >>> join_labels(["run", "wave"]), join_labels([])
        ('run|wave', 'none')
    """
    return SEPARATOR.join(names) or NONE


def label_matrix(samples: Sequence[Sample], labels: Sequence[str]) -> np.ndarray:
    """``(N, K)`` bool: which of the K labels each sample has.

    Raises:
        UsageError: a sample has a label that is none of ``labels``.

    Example:
        >>> label_matrix([Sample("1.mp4", "run|wave")], ["jump", "run", "wave"]).tolist()
        [[False, True, True]]
    """
    numbers = {label: number for number, label in enumerate(labels)}
    found = np.zeros((len(samples), len(labels)), dtype=bool)
    for row, sample in enumerate(samples):
        for name in sample.labels:
            if name not in numbers:
                raise UsageError(
                    f"{sample.video} is labelled {name!r}.{near_names(name, labels)} "
                    f"The labels are {listing(labels, most=8)}."
                )
            found[row, numbers[name]] = True
    return found


def select_classes(manifest: Manifest, spec: str, *, multilabel: bool = False) -> Manifest:
    """The samples of some labels.

    Args:
        manifest: the samples; unlabelled ones are left out.
        spec: a number, for the first so many labels by name, or labels joined by commas. A label
            that holds a comma stands in double quotes.
        multilabel: a label cell holds several. A sample stays with those of its labels that were
            asked for, and goes where it has none of them; one labelled ``none`` stays.

    Raises:
        UsageError: an unknown label (near names are given), or more labels than there are.

    Example:
        >>> clips = [Sample(f"{name}.mp4", name) for name in ("wave", "jump", "run")]
        >>> select_classes(Manifest(clips, root="."), "2").labels
        ['jump', 'run']
    """
    labels = manifest.label_names(multilabel=multilabel)
    wanted = _wanted_labels(spec, labels)
    for label in wanted:
        if label not in labels:
            raise UsageError(
                f"No sample is labelled {label!r}.{near_names(label, labels)} "
                f"Labels here: {listing([repr(label) for label in labels], most=10)}."
            )
    if not multilabel:
        return manifest.where(lambda sample: sample.label in wanted)
    return manifest.replace(
        sample if sample.strata(multilabel=True) == (NONE,) else replace(sample, label=cell)
        for sample in manifest
        if (cell := join_labels(name for name in sample.labels if name in wanted)) != NONE
        or sample.strata(multilabel=True) == (NONE,)
    )


def _wanted_labels(spec: str, labels: Sequence[str]) -> set[str]:
    if spec.strip() in labels:
        return {spec.strip()}
    if spec.strip().lstrip("-").isdecimal():
        count = int(spec)
        if not 0 < count <= len(labels):
            raise UsageError(f"classes ({count}) must be from 1 to {len(labels)}, as many as are.")
        return set(labels[:count])
    names = {name.strip() for name in next(csv.reader([spec], skipinitialspace=True), [])} - {""}
    if not names:
        raise UsageError(f"classes ({spec!r}) must be a number, or labels joined by commas.")
    return names
