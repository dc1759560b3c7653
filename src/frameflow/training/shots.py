"""A few labelled clips of each class: what is left of a training split."""

import logging
from dataclasses import replace

import numpy as np

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, listing

log = logging.getLogger(__name__)


def take_shots(manifest: Manifest, shots: int, *, seed: int = 0) -> Manifest:
    """Keep so many training samples of each class, from as many groups as there are.

    Validation is left out as well: whoever has K labelled clips of a class has no others to
    choose by. The test split stays as it is.

    Args:
        manifest: with splits.
        shots: K, of each class.
        seed: of the draw; more shots of the same seed contain the fewer ones.

    Returns:
        The manifest with the training samples that were drawn, and the test samples.

    Raises:
        UsageError: ``shots`` is not positive, or a class has fewer samples.

    Example:
        >>> from frameflow.data.manifest import Sample
        >>> clips = [Sample(f"{i}.mp4", "ab"[i % 2], split="train") for i in range(8)]
        >>> len(take_shots(Manifest(clips, "."), 2))
        4
    """
    if shots < 1:
        raise UsageError(f"shots ({shots}) must be 1 or more.")
    training = [sample for sample in manifest if sample.split == "train"]
    chosen: set[int] = set()
    few = []
    for number, label in enumerate(sorted({sample.label for sample in training})):
        own = [sample for sample in training if sample.label == label]
        if len(own) < shots:
            few.append(f"{label} ({len(own)})")
        rng = np.random.default_rng([seed, number])
        chosen.update(id(sample) for sample in _spread(own, rng)[:shots])
    if few:
        raise UsageError(f"--shots {shots} are more than the training split has of {listing(few)}.")
    kept = [
        sample
        for sample in manifest
        if sample.split != "val" and (sample.split != "train" or id(sample) in chosen)
    ]
    log.info(
        "Took %d shots of each of %d classes; %d training and %d validation samples are left out.",
        shots,
        len({sample.label for sample in training}),
        len(training) - len(chosen),
        sum(sample.split == "val" for sample in manifest),
    )
    return manifest.replace(replace(sample) for sample in kept)


def _spread(samples: list[Sample], rng: np.random.Generator) -> list[Sample]:
    """In random order, but each group once before any comes again."""
    order = [samples[place] for place in rng.permutation(len(samples))]
    seen: dict[str, int] = {}
    rounds = []
    for sample in order:
        group = sample.group or str(id(sample))
        seen[group] = seen.get(group, -1) + 1
        rounds.append(seen[group])
    return [order[place] for place in np.argsort(rounds, kind="stable")]
