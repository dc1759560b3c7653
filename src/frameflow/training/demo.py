"""The whole story on generated clips: what a head that sees time can do, and one that cannot."""

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from frameflow.training.pipeline import train
from frameflow.training.run import Run

log = logging.getLogger(__name__)


def demo(out: str | os.PathLike[str] = "demo", *, clips: int = 100, seed: int = 0) -> str:
    """Make clips of little people, train two heads on the same features, and compare them.

    Five pairs of the actions are time reversals of one another. A head that averages over time
    cannot tell the two of a pair apart, whatever it learns; a head that reads the frames in
    order can.

    Args:
        out: where the clips and the runs go; clips that are there already are used again.
        clips: per action; every two of them show another person in another place.
        seed: of the clips, the split and the training.

    Returns:
        What came out, in a few lines to print.
    """
    from frameflow.video.synthetic import make_dataset, reversed_pairs

    folder = Path(out)
    log.info("Drawing %d clips of each action into %s.", clips, folder / "clips")
    manifest = make_dataset(folder / "clips", clips=clips, groups=max(clips // 2, 2), seed=seed)
    log.info("Training a head that reads the frames in order.")
    temporal = train(manifest, recipe="demo", seed=seed, out=_next(folder / "temporal"))
    log.info("Training a head that averages over time, on the same features.")
    mean = train(
        manifest,
        recipe="demo",
        overrides=["head={name: mean}"],
        seed=seed,
        out=_next(folder / "mean"),
    )
    pairs = reversed_pairs()
    lines = ["", f"{'head':<10}{'top-1':>8}{'which of a reversed pair':>28}"]
    for name, run in (("in order", temporal), ("mean", mean)):
        top1, within = run.metrics["top1"], within_pairs(run, pairs)
        lines.append(f"{name:<10}{top1:>8.3f}{within:>28.3f}   (chance 0.5)")
    metrics = temporal.metrics
    bounds = metrics["intervals"]["top1"]
    sure = f"; 95 % interval of the first {bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else ""
    clip = min((folder / "clips" / "wave").glob("*.mp4"))
    lines += [
        "",
        f"Scored on {metrics['samples']} clips whose people and places ({metrics['groups']}) "
        f"training never saw{sure}.",
        f"Report:  {temporal.report}",
        f"Next:    frameflow predict {temporal.path} {clip}",
    ]
    return "\n".join(lines)


def within_pairs(run: Run, pairs: Sequence[tuple[str, str]]) -> float:
    """How often the right one of a pair is given the higher probability, over the test clips.

    Args:
        run: an evaluated run.
        pairs: labels that reverse one another in time.
    """
    partner = {one: two for pair in pairs for one, two in (pair, pair[::-1])}
    right = count = 0
    with (run.path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label = row["label"]
            if label in partner:
                right += float(row[f"p:{label}"]) > float(row[f"p:{partner[label]}"])
                count += 1
    return right / count if count else float("nan")


def _next(folder: Path) -> Path:
    """``folder``, or the first of ``folder-2``, ``folder-3``, ... that is not there."""
    number = 1
    candidate = folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate
