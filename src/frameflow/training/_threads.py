"""How many threads a training takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes in one thread for a while.

    The steps of a small head take a fraction of a millisecond: threads would wait for one another
    longer than they work, and ten times as long on a machine that does something else beside.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
