"""Everything random in a training: seeded, saved, restored, and given back to the caller."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed Python, numpy and torch while the block runs, and put the caller's states back after.

    On a GPU the deterministic algorithms are chosen too; on a CPU torch's sums have a fixed order
    as long as the number of threads stays.
    """
    before = get_states()
    cuda = torch.cuda.is_available()
    flags = (
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if cuda:
        # cuBLAS reads this when it is first used; without it recurrent heads vary in the last bit.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        if cuda:
            torch.backends.cudnn.benchmark = flags[0]
            torch.use_deterministic_algorithms(flags[1], warn_only=flags[2])
        set_states(*before)


def get_states() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The states of Python's, numpy's and torch's generators: what fits JSON, and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    states = {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
    }
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda.{device}"] = state
    return states, tensors


def set_states(states: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `get_states`; takes what JSON made of tuples."""
    version, keys, cached = states["python"]
    random.setstate((version, tuple(keys), cached))
    name, numpy_keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, np.array(numpy_keys, dtype=np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(tensors["torch"])
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            if f"cuda.{device}" in tensors:
                torch.cuda.set_rng_state(tensors[f"cuda.{device}"], device)
