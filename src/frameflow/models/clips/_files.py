"""Weights of video models from files."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from frameflow.errors import UsageError, listing, near_names
from frameflow.models import weights as _weights
from frameflow.models._states import State
from frameflow.models.clips.family import Loaded
from frameflow.models.weights import Weights, digest


def read(path: Path, name: str) -> State:
    """The tensors of a ``.safetensors``, ``.pth``, ``.pt`` or ``.bin`` file.

    Raises:
        UsageError: it is no file, or holds something else.
    """
    if not path.is_file():
        near = near_names(str(path), ["auto", "hub", "none"])
        raise UsageError(
            f"The weights {str(path)!r} of {name} are no file.{near} "
            f"Allowed: auto, hub, none, or a .safetensors, .pth or .pt file."
        )
    return _weights.own_names(_weights.read_state(path))


def fill(
    model: nn.Module,
    given: Mapping[str, Tensor],
    *,
    name: str,
    path: Path,
    others: tuple[str, ...],
    source: str | None = None,
) -> Loaded:
    """Fill a network with tensors of its own names.

    Args:
        model: of the shapes wanted.
        given: by name; what begins with one of ``others`` is of no account.
        name: of the model, for messages.
        path: of the file, for messages.
        others: what is left out: the classifier.
        source: in words; by the path where None.

    Raises:
        UsageError: names or shapes are not those of the network.
    """
    slots = model.state_dict()
    missing = [key for key in slots if key not in given]
    extra = [key for key in given if key not in slots and not key.startswith(others)]
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(slot.shape)}"
        for key, slot in slots.items()
        if key in given and given[key].shape != slot.shape
    ]
    refuse_faults(name, path, missing=missing, extra=extra, shapes=shapes)
    model.load_state_dict({key: given[key].to(slot.dtype) for key, slot in slots.items()})
    return Loaded(model, described(model, source or f"file {path.name}"))


def refuse_faults(
    name: str, path: Path, *, missing: list[str], extra: list[str], shapes: list[str]
) -> None:
    """Stop where tensors are missing, are too many, or have another shape.

    Raises:
        UsageError: with the first of each.
    """
    found = (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
    faults = [
        f"{len(keys)} tensors {what} ({listing(keys, most=3)})" for what, keys in found if keys
    ]
    if faults:
        raise UsageError(
            f"{path} does not hold the weights of {name}: {'; '.join(faults)}. "
            f"Name the backbone that the file was made with."
        )


def described(model: nn.Module, source: str) -> Weights:
    """The weights a network has now, in words and by digest."""
    return Weights(source, digest(model.state_dict()))
