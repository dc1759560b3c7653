"""The video models of transformers: their architectures, sizes and published weights."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from frameflow.errors import UsageError
from frameflow.models._torchvision_shim import allow_torchvision
from frameflow.models.clips.family import IMAGENET_MEAN, IMAGENET_STD, Options, Variant

_HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Kind:
    """One architecture of transformers.

    Attributes:
        config, model: names of its classes.
        prefix: of its tensors in a checkpoint with a classifier.
        size, frames: what its config calls the side of the frames and their number.
        others: what a checkpoint holds beside the encoder.
        arguments: of the model's class.
    """

    config: str
    model: str
    prefix: str
    size: str
    frames: str
    others: tuple[str, ...]
    arguments: tuple[tuple[str, Any], ...] = ()


KINDS = {
    # Tong et al. 2022, https://arxiv.org/abs/2203.12602
    "videomae": Kind(
        "VideoMAEConfig",
        "VideoMAEModel",
        "videomae.",
        "image_size",
        "num_frames",
        ("fc_norm.", "classifier.", "decoder.", "encoder_to_decoder.", "mask_token"),
    ),
    # Bertasius et al. 2021, https://arxiv.org/abs/2102.05095
    "timesformer": Kind(
        "TimesformerConfig",
        "TimesformerModel",
        "timesformer.",
        "image_size",
        "num_frames",
        ("classifier.",),
    ),
    # Arnab et al. 2021, https://arxiv.org/abs/2103.15691
    "vivit": Kind(
        "VivitConfig",
        "VivitModel",
        "vivit.",
        "image_size",
        "num_frames",
        ("classifier.", "pooler."),
        (("add_pooling_layer", False),),
    ),
    # Assran et al. 2025, https://arxiv.org/abs/2506.09985
    "vjepa2": Kind(
        "VJEPA2Config",
        "VJEPA2Model",
        "vjepa2.",
        "crop_size",
        "frames_per_clip",
        ("classifier.", "pooler.", "predictor."),
    ),
}


def _variant(name: str, kind: str, published: str | None, **choices: Any) -> Variant:
    parts = {"kind": kind, "config": choices.pop("config", {})}
    usual: dict[str, Any] = {
        "size": 224,
        "frames": 16,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "sides": 16,
        "steps": 1 if kind == "timesformer" else 2,
    }
    return Variant(name, published=published, parts=parts, **(usual | choices))


_MEAN_045: dict[str, Any] = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
_SMALL = {
    "hidden_size": 384,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
}
_TINY: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
_TINY_JEPA = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pred_hidden_size": 24,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1,
}
_TINY_CLIPS = {"size": 32, "frames": 4}

VARIANTS = (
    _variant("videomae-base", "videomae", "MCG-NJU/videomae-base-finetuned-kinetics"),
    _variant(
        "videomae-small", "videomae", "MCG-NJU/videomae-small-finetuned-kinetics", config=_SMALL
    ),
    _variant(
        "timesformer-base",
        "timesformer",
        "facebook/timesformer-base-finetuned-k400",
        frames=8,
        **_MEAN_045,
    ),
    _variant(
        "vivit-base", "vivit", "google/vivit-b-16x2-kinetics400", frames=32, mean=_HALF, std=_HALF
    ),
    _variant("vjepa2-vitl", "vjepa2", "facebook/vjepa2-vitl-fpc64-256", size=256, frames=64),
    _variant("test-videomae", "videomae", None, config=_TINY, **_TINY_CLIPS),
    _variant("test-timesformer", "timesformer", None, config=_TINY, **_TINY_CLIPS, **_MEAN_045),
    _variant("test-vivit", "vivit", None, config=_TINY, mean=_HALF, std=_HALF, **_TINY_CLIPS),
    _variant("test-vjepa2", "vjepa2", None, config=_TINY_JEPA, **_TINY_CLIPS),
)


def import_transformers(name: str) -> Any:
    """transformers.

    Raises:
        UsageError: it is not installed.
    """
    allow_torchvision()
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise UsageError(
            f"{name} needs transformers: pip install 'frameflow-video[transformers]'"
        ) from None
    return transformers


def config_of(variant: Variant, *, size: int, frames: int, options: Options) -> Any:
    """The config of a model for frames of this size and clips of this length."""
    kind = KINDS[variant.parts["kind"]]
    sides = {kind.size: size, kind.frames: frames}
    return getattr(import_transformers(variant.name), kind.config)(
        **variant.parts["config"], **options, **sides
    )


def finished(model: Any, config: Any) -> nn.Module:
    """The encoder as the published classifiers see it.

    VideoMAE's takes the mean of the tokens through a normalisation of its own. V-JEPA 2's
    predictor serves its training alone.
    """
    if config.model_type == "videomae" and config.use_mean_pooling:
        model.fc_norm = nn.LayerNorm(config.hidden_size)
    return model.encoder if config.model_type == "vjepa2" else model
