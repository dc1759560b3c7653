"""Tensors under their names in a network."""

from collections.abc import Mapping

from torch import Tensor

State = dict[str, Tensor]


def in_order(given: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> State | None:
    """The given tensors under the target's names, or None where kind or shape differ anywhere."""
    if len(given) < len(target):
        return None
    state: State = {}
    for (theirs, value), (key, slot) in zip(given.items(), target.items()):
        if value.shape != slot.shape or theirs.rpartition(".")[2] != key.rpartition(".")[2]:
            return None
        state[key] = value
    return state
