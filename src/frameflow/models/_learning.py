"""Which parameters and modules of a network learn."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Norm = Literal["fixed", "learn"]


def matches(part: str, parameter: str) -> bool:
    """Whether a name or pattern names the parameter or a module that holds it."""
    pieces = parameter.split(".")
    names = (".".join(pieces[: count + 1]) for count in range(len(pieces)))
    return any(fnmatchcase(name, part) for name in names)


def set_mode(module: nn.Module, mode: bool, norm: Norm, *, parent_learns: bool) -> None:
    """A module is trained if it holds what learns, or holds nothing and its parent is trained."""
    own = list(module.parameters())
    learns = any(parameter.requires_grad for parameter in own) if own else parent_learns
    module.training = mode and learns and not (norm == "fixed" and isinstance(module, _BatchNorm))
    for child in module.children():
        set_mode(child, mode, norm, parent_learns=learns)


def groups_by_place(model: nn.Module) -> Iterator[list[str]]:
    """The parameters of each module that holds some itself, in the order of their making."""
    for name, module in model.named_modules():
        own = [f"{name}.{key}".lstrip(".") for key, _ in module.named_parameters(recurse=False)]
        if own:
            yield own
