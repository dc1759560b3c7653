"""Work shared by threads, for as many items as there may be."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 256


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, name: str
) -> Iterator[Result]:
    """What ``work`` gives for each item, in order; a few hundred are in hand at a time.

    Handing over millions of items at once takes more than a kilobyte for each, and threads that
    live on keep what decoding leaves behind: gigabytes in the end. So each few hundred items have
    threads of their own.

    Args:
        work: called in threads.
        items: taken as they are needed.
        workers: how many threads.
        name: of the threads.

    Example:
        >>> list(in_threads(abs, [-1, 2, -3], workers=2, name="example"))
        [1, 2, 3]
    """
    rest = iter(items)
    while part := list(islice(rest, _AT_ONCE)):
        with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
            yield from pool.map(work, part)
