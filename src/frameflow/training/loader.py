"""Batches made ahead in threads: bounded, in order, and nothing left behind.

Threads, not processes: decoding and resizing leave Python's lock, so threads read as fast, share
the cache and the network's memory, start at once, and end with the loop.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

if TYPE_CHECKING:
    from frameflow.training.examples import Batch, Examples

Job = TypeVar("Job")
Made = TypeVar("Made")

AHEAD = 1  # finished batches that may wait, beyond one for each worker
_SEEDS = 2**63


def load(
    examples: "Examples",
    batches: Iterable[np.ndarray],
    rng: np.random.Generator | None,
    *,
    workers: int = 0,
    skip: int = 0,
    part: Callable[[int], slice] = slice,
) -> Generator[tuple[np.ndarray, "Batch"], None, None]:
    """The batches of one epoch, in order.

    What they hold depends on ``rng`` alone: with workers each batch has a seed of its own, drawn
    here in order before the first is made, so neither their number nor their speed matters, and
    the batches after ``skip`` are those that would have come without it.

    Args:
        examples: what makes a batch; ``batch`` is called from several threads at once.
        batches: (n,) rows each; a generator may draw from ``rng`` too, and does so first.
        rng: draws augmentation; None means none.
        workers: threads that make batches ahead, at most `AHEAD` more than there are of them.
            0 makes each one here when it is asked for, with ``rng`` itself.
        skip: so many batches from the start are not handed out. Workers do not make them;
            without workers they are made and dropped, since they draw from ``rng``.
        part: of so many samples of a batch, those that are made; the draws are those of the whole.

    Yields:
        The rows and the batch, or the part of it. What ``examples.batch`` raises is raised at its
        place, after all batches before it. However the loop over them ends (an exception, an
        interrupt, an early ``close``), no thread is left when it has.
    """
    if workers <= 0:
        return _here(examples, batches, rng, skip, part)
    rows = list(batches)
    seeds = [None] * len(rows) if rng is None else rng.integers(_SEEDS, size=len(rows)).tolist()
    return _ahead(examples, list(zip(rows, seeds))[skip:], workers, part)


def _made(
    examples: "Examples",
    rows: np.ndarray,
    rng: np.random.Generator | None,
    part: Callable[[int], slice],
) -> "Batch":
    wanted = part(len(rows))
    if len(rows[wanted]) == len(rows):
        return examples.batch(rows, rng)
    if rng is None:
        return examples.batch(rows[wanted], None)
    if (partial := getattr(examples, "part", None)) is not None:
        made: Batch = partial(rows, rng, wanted)
        return made
    return examples.batch(rows, rng).part(wanted)


def _ahead(
    examples: "Examples",
    jobs: list[tuple[np.ndarray, int | None]],
    workers: int,
    part: Callable[[int], slice],
) -> Generator[tuple[np.ndarray, "Batch"], None, None]:
    def make(job: tuple[np.ndarray, int | None]) -> "Batch":
        rows, seed = job
        rng = None if seed is None else np.random.default_rng(seed)
        return _made(examples, rows, rng, part)

    with closing(in_order(make, jobs, workers=workers)) as made:
        for (rows, _), batch in made:
            yield rows, batch


def _here(
    examples: "Examples",
    batches: Iterable[np.ndarray],
    rng: np.random.Generator | None,
    skip: int,
    part: Callable[[int], slice],
) -> Generator[tuple[np.ndarray, "Batch"], None, None]:
    for number, rows in enumerate(batches):
        if number < skip and rng is None:
            continue
        batch = _made(examples, rows, rng, part)
        if number >= skip:
            yield rows, batch


def in_order(
    make: Callable[[Job], Made], jobs: Iterable[Job], *, workers: int
) -> Generator[tuple[Job, Made], None, None]:
    """Each job and what ``make`` makes of it in a thread, in order; see `load` for its promises.

    Args:
        make: called from several threads at once.
        jobs: taken as they are needed.
        workers: threads.
    """
    waiting: deque[tuple[Job, Future[Made]]] = deque()
    # The pool waits for its threads when it is left, and what has not begun never does.
    with ThreadPoolExecutor(workers, "batch", _one_thread, (torch.get_num_threads(),)) as pool:
        try:
            for job in jobs:
                waiting.append((job, pool.submit(make, job)))
                if len(waiting) >= workers + AHEAD:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _first(waiting: deque[tuple[Job, Future[Made]]]) -> tuple[Job, Made]:
    job, made = waiting.popleft()
    return job, made.result()


def _one_thread(others: int) -> None:
    """A worker computes on one core: the network needs the rest, and there are more workers.

    PyTorch keeps the number for each thread that has one, and remembers the last for threads to
    come; those get what they would have got.
    """
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread takes the number at its first question, and keeps it
    restore = threading.Thread(target=torch.set_num_threads, args=(others,))
    restore.start()
    restore.join()
