"""Video models of Hugging Face's transformers, an extra."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from frameflow.models import _hub
from frameflow.models.clips import _files
from frameflow.models.clips._architectures import (
    KINDS,
    VARIANTS,
    config_of,
    finished,
    import_transformers,
)
from frameflow.models.clips._checkpoints import filled, folder_config, folder_state
from frameflow.models.clips.family import Family, Loaded, Options, Variant

_CURES = (
    "Download the repository elsewhere and name its folder (weights: FOLDER), or start from "
    "random values (weights: none)."
)


class TransformersFamily(Family):
    """VideoMAE, TimeSformer, ViViT and V-JEPA 2."""

    variants: ClassVar[Mapping[str, Variant]] = {variant.name: variant for variant in VARIANTS}

    def create(self, variant: Variant, *, size: int, frames: int, options: Options) -> nn.Module:
        kind = KINDS[variant.parts["kind"]]
        config = config_of(variant, size=size, frames=frames, options=options)
        transformers = import_transformers(variant.name)
        model = getattr(transformers, kind.model)(config, **dict(kind.arguments))
        return finished(model, config)

    def features(self, model: nn.Module, clips: Tensor, *, tokens: bool) -> Tensor:
        network: Any = model
        found: Tensor = network(clips).last_hidden_state
        if tokens:
            return found
        if network.config.model_type in ("timesformer", "vivit"):
            return found[:, :1]  # the class token, which their classifiers see
        means = found.mean(dim=1, keepdim=True)
        return network.fc_norm(means) if hasattr(network, "fc_norm") else means

    def blocks(self, model: nn.Module) -> list[str]:
        layers = re.compile(r"(encoder\.)?layers?\.\d+")
        names = [name for name, _ in model.named_modules() if layers.fullmatch(name)]
        last = [name for name in ("layernorm", "fc_norm") if getattr(model, name, None) is not None]
        return ["embeddings", *names, *last]

    def load(
        self, variant: Variant, weights: str | Path, *, size: int, frames: int, model: nn.Module
    ) -> Loaded:
        del model
        path, source = Path(weights), None
        if str(weights) in ("auto", "hub"):
            path, source = _hub.fetch_folder(variant.name, variant.published, instead=_CURES)
        elif not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(weights)):
            path, source = _hub.fetch_folder(variant.name, str(weights), instead=_CURES)
        if path.is_dir():
            given = folder_config(path, variant)
            state = folder_state(path, variant.name)
        else:
            given = {}
            state = _files.read(path, variant.name)
        source = source or f"{'folder' if path.is_dir() else 'file'} {path.name}"
        return filled(variant, path, source, given, state, size=size, frames=frames)
