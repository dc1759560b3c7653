"""Labels that were written into another table go back to the manifest."""

import os
from dataclasses import replace

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing


def fill_labels(manifest: Manifest, filled: Manifest) -> tuple[Manifest, int]:
    """Give unlabelled samples the labels that another manifest has for them.

    Samples are the same where their video (wherever the tables lie), span, frame and region are.
    Rows of ``filled`` that are still without a label are passed over.

    Args:
        manifest: some of its samples have no label.
        filled: what ``frameflow data next`` wrote, with labels.

    Returns:
        The manifest with the labels, and how many were filled in.

    Raises:
        UsageError: a labelled row of ``filled`` is of no sample of the manifest, or a sample has
            another label already, or gets two.

    Example:
        >>> table = Manifest([Sample("a.mp4"), Sample("b.mp4", "run")], ".")
        >>> done, count = fill_labels(table, Manifest([Sample("a.mp4", "walk")], "."))
        >>> done.labels, count
        (['run', 'walk'], 1)
    """
    given: dict[tuple[object, ...], Sample] = {}
    faults = []
    for sample in filled:
        if not sample.label:
            continue
        known = given.setdefault(_key(filled, sample), sample)
        if known.label != sample.label:
            faults.append(f"{sample.video} is {known.label!r} and {sample.label!r}")
    found, count = [], 0
    seen = set()
    for sample in manifest:
        key = _key(manifest, sample)
        seen.add(key)
        label = given[key].label if key in given else ""
        if label and sample.label and sample.label != label:
            faults.append(f"{sample.video} is {sample.label!r} already, not {label!r}")
        if label and not sample.label:
            sample, count = replace(sample, label=label), count + 1
        found.append(sample)
    faults += [f"{s.video} is not in the manifest" for key, s in given.items() if key not in seen]
    if faults:
        raise UsageError(
            f"{len(faults)} of {len(given)} labels do not fit: {listing(faults, most=5)}. Nothing "
            f"was written: mend these rows or remove them."
        )
    return manifest.replace(found), count


def _key(manifest: Manifest, sample: Sample) -> tuple[object, ...]:
    where = os.path.realpath(manifest.path(sample))
    return (where, sample.start, sample.end, sample.frame, sample.region)
