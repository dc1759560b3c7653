"""How many of the labels that `data explore` doubts first are wrong.

    python benchmarks/label_errors.py --data ../shared/data/tennis7/manifest.csv

Some labels are changed to another class at random, then likely errors are looked for; ten draws.
Once single clips are changed, once whole groups of two clips or more, until as many clips are. What
was wrong before counts as right, so the figures are if anything too low.
"""

import argparse
import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, load_recipe
from frameflow.audit.label_errors import find_label_errors
from frameflow.audit.vectors import clip_vectors


def flipped(
    manifest: Manifest, share: float, seed: int, *, groups: bool
) -> tuple[Manifest, set[int]]:
    """The manifest with some labels changed, and which."""
    rng = np.random.default_rng(seed)
    wanted, labels = round(share * len(manifest)), manifest.labels
    new: dict[int, str] = {}
    if groups:
        sizes = Counter(sample.group for sample in manifest)
        for group in rng.permutation(sorted(group for group in sizes if sizes[group] > 1)):
            rows = [row for row, sample in enumerate(manifest) if sample.group == group]
            if len(new) + len(rows) <= wanted + 2:
                step = int(rng.integers(1, len(labels)))
                new |= {row: _other(manifest[row].label, labels, step) for row in rows}
    else:
        for row in rng.choice(len(manifest), wanted, replace=False):
            step = int(rng.integers(1, len(labels)))
            new[int(row)] = _other(manifest[row].label, labels, step)
    samples = [replace(s, label=new.get(row, s.label)) for row, s in enumerate(manifest)]
    return manifest.replace(samples), set(new)


def _other(label: str, labels: list[str], step: int) -> str:
    return labels[(labels.index(label) + step) % len(labels)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data/tennis7/manifest.csv", type=Path)
    parser.add_argument("--recipe", default="few-clips")
    parser.add_argument("--share", default=0.05, type=float, help="of the labels, changed")
    parser.add_argument("--draws", default=10, type=int)
    parser.add_argument("--first", default=20, type=int, help="clips of the list looked at")
    parser.add_argument("--seed", default=1000, type=int, help="of the first draw")
    options = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    manifest = Manifest.read(options.data)
    vectors = clip_vectors(manifest, load_recipe(options.recipe))
    print(f"{processor()}, {os.cpu_count()} cores")
    print(f"{options.recipe}, {len(vectors)} clips, {options.draws} draws\n")

    rows = []
    for draw in range(options.draws):
        mangled, wrong = flipped(manifest, options.share, options.seed + draw, groups=False)
        found = find_label_errors(mangled, vectors)
        first = [suspect.row in wrong for suspect in found.clips[: options.first]]
        named = [s.said == manifest[s.row].label for s in found.clips[: options.first]]
        right = sum(hit and name for hit, name in zip(first, named)) / max(1, sum(first))
        rows.append((np.mean(first), sum(first) / len(wrong), right, found.likely))
        chance = len(wrong) / len(vectors)
    means, spreads = np.mean(rows, axis=0), np.std(rows, axis=0)
    print(f"{options.share:.0%} of the clips changed, one by one:")
    print(f"  precision in the first {options.first}: {means[0]:.3f} (deviation over draws "
          f"{spreads[0]:.3f}), by chance {chance:.3f}")  # fmt: skip
    print(f"  by draw: {' '.join(f'{row[0]:.2f}' for row in rows)}")
    print(f"  share of all changed clips among them: {means[1]:.3f}")
    print(f"  their true label is the one that is said: {means[2]:.3f}")
    print(f"  errors by the estimate of confident learning: {means[3]:.0f}\n")

    rows = []
    for draw in range(options.draws):
        mangled, wrong = flipped(manifest, options.share, options.seed + draw, groups=True)
        found = find_label_errors(mangled, vectors)
        hits = [scene.rows[0] in wrong for scene in found.scenes[:5]]
        sizes = Counter(sample.group for sample in manifest)
        groups = {manifest[row].group for row in wrong}
        lone = [suspect.row in wrong for suspect in found.clips[: options.first]]
        rows.append(
            (np.mean(hits), len(groups) / sum(n > 1 for n in sizes.values()), np.mean(lone))
        )
    means, spreads = np.mean(rows, axis=0), np.std(rows, axis=0)
    print(f"{options.share:.0%} of the clips changed, by whole groups:")
    print(f"  precision in the first 5 scenes: {means[0]:.3f} (deviation over draws "
          f"{spreads[0]:.3f}), by chance {means[1]:.3f}")  # fmt: skip
    print(f"  precision in the first {options.first} of the list of clips: {means[2]:.3f}")


if __name__ == "__main__":
    main()
