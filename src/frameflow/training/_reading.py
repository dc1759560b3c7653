"""How videos are read for training: which clips, in which size, by how many threads."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace

import torch

from frameflow.config import Augment, Recipe
from frameflow.data.manifest import Sample
from frameflow.features.engines import cores
from frameflow.features.quarantine import Quarantine
from frameflow.progress import progress
from frameflow.training._keeping import Keeper
from frameflow.training._team import team
from frameflow.training.loader import AHEAD, in_order
from frameflow.video.clip import Clip, ClipRequest

RANDOM = ("segments", "dense")  # strategies with randomness of their own for training
_MOST_WORKERS = 16
_AHEAD_BYTES = 2 << 30  # of batches that wait in memory

Read = Callable[[str, Sample], list[list[Clip]] | str]


def sees_fresh_clips(recipe: Recipe) -> bool:
    """Whether every epoch of training sees clips of its own.

    Sampling that draws at random does so anew, unless ``views.train`` or ``train.cache: on`` asks
    for a number of clips to be kept. So what is learned follows from the recipe, and not from what
    keeping frames is measured to cost.
    """
    if recipe.sampling.strategy not in RANDOM or recipe.train.cache == "on":
        return False
    return recipe.train.cache == "off" or recipe.views.train == 1


def reading_workers(recipe: Recipe, sizes: Sequence[int]) -> int:
    """Threads to read batches in: at least one, so that draws do not depend on their number.

    Where a CPU trains, half of its cores read; a GPU leaves them all to reading.
    """
    wanted = recipe.train.workers
    if wanted is None:
        free = cores() if torch.cuda.is_available() else cores() // 2
        free //= team().size
        wanted = min(_MOST_WORKERS, max(2, free))
    clip = recipe.sampling.frames * 3 * sum(size**2 for size in sizes)
    fit = _AHEAD_BYTES // (clip * recipe.train.batch_size) - AHEAD
    return max(1, min(wanted, fit))


def wider(request: ClipRequest, augment: Augment) -> ClipRequest:
    """The request in a size of which a crop of mean area has as many pixels as are asked for."""
    if augment.crop is None:
        return request
    assert isinstance(request.size, int)
    return replace(request, size=round(request.size / ((1 + augment.crop) / 2) ** 0.5))


def read_all(
    jobs: Sequence[tuple[str, Sample]],
    read: Read,
    *,
    quarantine: Quarantine,
    keeper: Keeper | None,
    workers: int,
) -> None:
    """Read samples once: those that fail are set aside, the others go to the keeper.

    Args:
        jobs: key and sample.
        read: gives for each request its clips, or the reason why there are none.
        quarantine: of the manifest.
        keeper: where clips are kept, if anywhere.
        workers: threads.

    Raises:
        FrameFlowError: too many of them cannot be read, or the disk is full.
    """

    def timed(job: tuple[str, Sample]) -> tuple[list[list[Clip]] | str, float]:
        begun = time.perf_counter()
        return read(*job), time.perf_counter() - begun

    with (
        progress("Reading", total=len(jobs), unit="clips") as advance,
        keeper or nullcontext(),
        closing(in_order(timed, jobs, workers=workers)) as found,
    ):
        for (key, _), (clips, seconds) in found:
            if isinstance(clips, str):
                quarantine.add(key, clips)
                quarantine.check()
            elif keeper:
                keeper.add(key, clips, seconds)
            advance()
