"""Checkpoints of transformers: a folder or a file becomes a network, whatever its positions."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from frameflow.errors import UsageError
from frameflow.models._states import State
from frameflow.models.clips import _files
from frameflow.models.clips._architectures import (
    KINDS,
    Kind,
    config_of,
    finished,
    import_transformers,
)
from frameflow.models.clips.family import Loaded, Options, Variant
from frameflow.models.weights import read_state

_TENSOR_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
# What decides the shapes of the tensors; a folder's config must agree with the model's name.
_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "mlp_ratio",
    "patch_size",
    "tubelet_size",
)
# What else decides the outputs; where a folder's config departs, it is kept with the model.
_OPTIONS = (
    "attention_type",
    "hidden_act",
    "layer_norm_eps",
    "qkv_bias",
    "qv_bias",
    "use_mean_pooling",
)


def folder_config(folder: Path, variant: Variant) -> dict[str, Any]:
    """The config of a folder that holds this model."""
    path = folder / "config.json"
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} holds no model of transformers: {path.name} cannot be read ({error}). "
            f"Name a folder as save_pretrained writes it."
        ) from None
    kind = given.get("model_type") if isinstance(given, dict) else None
    if kind != variant.parts["kind"]:
        raise UsageError(
            f"{folder} holds a model of type {kind!r}, but {variant.name} is of type "
            f"{variant.parts['kind']!r}. Name the backbone that the folder was made with."
        )
    own = config_of(variant, size=variant.size, frames=variant.frames, options={}).to_dict()
    other = [key for key in _SIZES if key in given and key in own and given[key] != own[key]]
    if other:
        said = ", ".join(f"{key} {given[key]} instead of {own[key]}" for key in other)
        raise UsageError(f"{folder} holds another size of model than {variant.name}: {said}.")
    return given


def folder_state(folder: Path, name: str) -> State:
    """All tensors of a folder, which may lie in several files."""
    found = [folder / file for file in _TENSOR_FILES if (folder / file).is_file()]
    if not found:
        raise UsageError(
            f"{folder} holds no weights of {name}: {' or '.join(_TENSOR_FILES)} is missing."
        )
    if found[0].suffix != ".json":
        return read_state(found[0])
    state: State = {}
    index = json.loads(found[0].read_text(encoding="utf-8"))
    for shard in sorted(set(index["weight_map"].values())):
        state |= read_state(folder / shard)
    return state


def filled(
    variant: Variant,
    path: Path,
    source: str,
    given: Mapping[str, Any],
    state: State,
    *,
    size: int,
    frames: int,
) -> Loaded:
    """The model with a checkpoint's tensors, whatever version of transformers named them."""
    kind = KINDS[variant.parts["kind"]]
    own = {key.removeprefix(kind.prefix): value for key, value in state.items()}
    options = _departures(variant, given)
    if variant.parts["kind"] == "videomae":
        # Checkpoints from before fine-tuning normalise each token instead of their mean.
        options.pop("use_mean_pooling", None)
        if "layernorm.weight" in own:
            options["use_mean_pooling"] = False
    config = config_of(variant, size=size, frames=frames, options=options)
    transformers = import_transformers(variant.name)
    places = _Positions(kind, variant, given)
    own = {key: places.resized(key, value, config) for key, value in own.items()}
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        model, report = getattr(transformers, kind.model).from_pretrained(
            None,
            config=config,
            state_dict=own,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, with the others
            **dict(kind.arguments),
        )
    _files.refuse_faults(
        variant.name,
        path,
        missing=[key for key in sorted(report["missing_keys"]) if not key.startswith(kind.others)],
        extra=[key for key in sorted(report["unexpected_keys"]) if not key.startswith(kind.others)],
        shapes=[str(fault[0]) for fault in sorted(report["mismatched_keys"])],
    )
    encoder: Any = finished(model.float(), config)
    norm = {key.removeprefix("fc_norm."): v for key, v in own.items() if key.startswith("fc_norm.")}
    if norm and hasattr(encoder, "fc_norm"):
        encoder.fc_norm.load_state_dict(norm)
    return Loaded(encoder, _files.described(encoder, source), options)


def _departures(variant: Variant, given: Mapping[str, Any]) -> Options:
    """What of a folder's config changes the outputs, beside the sizes."""
    own = config_of(variant, size=variant.size, frames=variant.frames, options={}).to_dict()
    return {
        key: given[key]
        for key in _OPTIONS
        if key in given and key in own and given[key] != own[key]
    }


@dataclass(frozen=True, slots=True)
class _Positions:
    """Learnt positions of a checkpoint, interpolated to clips of another size or length."""

    kind: Kind
    variant: Variant
    given: Mapping[str, Any]

    def resized(self, key: str, table: Tensor, config: Any) -> Tensor:
        """A table of positions for the config; other tensors as they are."""
        model = self.variant.parts["kind"]
        if key == "embeddings.time_embeddings":
            rows = table.float().transpose(1, 2)
            return F.interpolate(rows, size=config.num_frames, mode="linear").transpose(1, 2)
        if key != "embeddings.position_embeddings" or model not in ("timesformer", "vivit"):
            return table
        tubelet = getattr(config, "tubelet_size", (1, 16, 16))
        patch = tubelet[1] if model == "vivit" else config.patch_size
        size = self.given.get(self.kind.size, self.variant.size)
        frames = self.given.get(self.kind.frames, self.variant.frames)
        old, new = size // patch, config.image_size // patch
        times = (frames // tubelet[0], config.num_frames // tubelet[0])
        if model == "timesformer":  # which keeps its positions in time apart
            times = (1, 1)
        token, places = table[:, :1], table[:, 1:]
        if places.shape[1] != times[0] * old * old or (times[0], old) == (times[1], new):
            return table
        grid = places.float().transpose(1, 2).unflatten(2, (times[0], old, old))
        grid = F.interpolate(grid, size=(times[1], new, new), mode="trilinear")
        return torch.cat([token, grid.flatten(2).transpose(1, 2)], dim=1)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without its bars and its report: what is wrong is told as an error."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(50)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
