"""Does what is scored share anything with what was trained on?"""

import logging
from collections import Counter

from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import check_leaks
from frameflow.errors import LeakError, listing

log = logging.getLogger(__name__)


def leaks_from_training(
    own: Manifest, scored: Manifest, *, foreign: bool, split: str, allow: bool
) -> bool:
    """Whether the score leaks: a group, or a clip, stands in the training and in what is scored.

    A run's own manifest was judged when the run was trained, so it is reported, never refused.

    Raises:
        LeakError: another manifest leaks and ``allow`` is False.
    """
    if not foreign:
        return split != "train" and bool(check_leaks(own))
    trained = own.where(lambda sample: sample.split in {"train", "val"})
    clips = {clip_of(own, sample) for sample in trained}
    shared_clips = [s for s in scored if clip_of(scored, s) in clips]
    groups = {sample.group for sample in trained if sample.group}
    shared_groups = Counter(s.group for s in scored if s.group in groups)
    if not shared_clips and not shared_groups:
        return False
    faults = []
    if shared_clips:
        named = listing([sample.video for sample in shared_clips], most=3)
        faults.append(f"{len(shared_clips)} clips that the run was trained on ({named})")
    if shared_groups:
        named = listing(sorted(shared_groups), most=3)
        faults.append(
            f"{len(shared_groups)} groups of its training, with {shared_groups.total()} clips "
            f"({named})"
        )
    message = f"The manifest holds {' and '.join(faults)}, so the score would not be honest."
    if not allow:
        raise LeakError(
            f"{message} Leave these out, or go on with --allow-leak and a report that says so."
        )
    log.warning("%s Every report says LEAKY SPLIT.", message)
    return True


def clip_of(manifest: Manifest, sample: Sample) -> tuple[object, ...]:
    """What a sample shows, whatever manifest it stands in: its file, span or frame."""
    where = manifest.path(sample)
    return (str(where.resolve()), sample.start, sample.end, sample.frame)
