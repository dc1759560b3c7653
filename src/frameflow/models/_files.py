"""The two files of a saved recognizer: ``model.safetensors`` and ``model.json``."""

import json
import os
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from pydantic import ValidationError
from torch import Tensor

from frameflow.config import Recipe
from frameflow.errors import UsageError
from frameflow.models.backbones import Backbone, restore_backbone
from frameflow.models.heads import build_head
from frameflow.models.weights import digest

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer

FORMAT = 2
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def save(recognizer: "Recognizer", folder: Path) -> None:
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    unique, places = _shared(recognizer.backbones())
    tensors = _prefixed("head", recognizer.head)
    described = []
    for place, backbone in enumerate(unique):
        tensors |= _prefixed(f"backbones.{place}", backbone.model)
        described.append(backbone.describe())
    head = recognizer.head
    content = {
        "format_version": FORMAT,
        "labels": recognizer.labels,
        "streams": places,
        "backbones": described,
        "head": {"name": head.name, "arguments": head.arguments},
        "tensors_digest": digest(tensors),
        "recipe": recognizer.recipe.model_dump(mode="json"),
        "versions": versions(),
        "extra": recognizer.extra,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # The description goes last: while it is the old one, its digest tells that they do not match.
    _write(folder / WEIGHTS, to_bytes(tensors))
    _write(folder / DESCRIPTION, text.encode())


def load(folder: Path, build: Callable[..., "Recognizer"]) -> "Recognizer":
    path = folder / DESCRIPTION
    content = _read_description(path)
    try:
        recipe = Recipe.model_validate(content["recipe"])
        labels = [str(label) for label in content["labels"]]
        unique = [restore_backbone(described) for described in content["backbones"]]
        streams = [unique[place] for place in content["streams"]]
        with torch.random.fork_rng(devices=[]):  # the values drawn here are overwritten
            head = build_head(content["head"]["name"], **content["head"]["arguments"])
        recognizer = build(recipe, labels, streams, head, extra=content.get("extra"))
        expected = content["tensors_digest"]
    except (KeyError, TypeError, ValueError, IndexError, UsageError) as error:
        raise _damaged(path, _reason(error)) from None
    tensors = _read_tensors(folder / WEIGHTS)
    parts = [("head", cast(torch.nn.Module, head))]
    parts += [(f"backbones.{place}", backbone.model) for place, backbone in enumerate(unique)]
    _fill(folder / WEIGHTS, parts, tensors)
    if digest(tensors) != expected:
        raise _damaged(folder / WEIGHTS, f"its values are not those that {DESCRIPTION} describes")
    recognizer.folder = folder
    return recognizer.eval()


def versions() -> dict[str, str]:
    """Versions of what computes the scores."""
    found = {"python": platform.python_version()}
    for shown, distribution in (
        ("frameflow", "frameflow-video"),
        ("torch", "torch"),
        ("timm", "timm"),
    ):
        try:
            found[shown] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[shown] = "unknown"
    return found


def _shared(backbones: list[Backbone]) -> tuple[list[Backbone], list[int]]:
    """The different backbones, and for each stream the place of its own among them."""
    unique: list[Backbone] = []
    places = []
    for backbone in backbones:
        known = [place for place, other in enumerate(unique) if other is backbone]
        if not known:
            unique.append(backbone)
        places.append(known[0] if known else len(unique) - 1)
    return unique, places


def _prefixed(prefix: str, module: torch.nn.Module) -> dict[str, Tensor]:
    """The module's tensors in float32 on the CPU, none sharing memory with another."""
    tensors = {}
    for key, value in module.state_dict().items():
        kept = value.detach().cpu()
        kept = kept.float() if kept.is_floating_point() else kept
        tensors[f"{prefix}.{key}"] = kept.clone(memory_format=torch.contiguous_format)
    return tensors


def _fill(
    path: Path, parts: list[tuple[str, torch.nn.Module]], tensors: Mapping[str, Tensor]
) -> None:
    for prefix, module in parts:
        own = {
            key.removeprefix(f"{prefix}."): value
            for key, value in tensors.items()
            if key.startswith(f"{prefix}.")
        }
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise _damaged(path, _reason(error)) from None


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path.parent} holds no trained model: {path.name} is missing. Name a run folder, "
            f"as `frameflow train` writes it."
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise _damaged(path, "it is not JSON") from None
    if not isinstance(content, dict) or "format_version" not in content:
        raise _damaged(path, "it does not describe a recognizer")
    if content["format_version"] != FORMAT:
        raise UsageError(
            f"{path} has format {content['format_version']!r}, this version of FrameFlow reads "
            f"{FORMAT}. Install the version that wrote it: {content.get('versions')}."
        )
    return content


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UsageError(f"{path} is missing. Copy the whole run folder, or train again.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except SafetensorError as error:
        raise _damaged(path, _reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error.args[0]!r}"
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"recipe.{'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
    return " ".join(str(error).split())[:200].rstrip(".")


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is damaged: {why}. Copy the run folder again, or train again.")


def _write(path: Path, content: bytes) -> None:
    """Write beside the target, then rename: the file is the old one or the new one, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
