"""What an exported file says of itself: labels, preprocessing, calibration and versions."""

import json
from typing import TYPE_CHECKING, Any

from frameflow.inference._calibrated import calibration_of, refusal_of
from frameflow.inference._facts import versions

if TYPE_CHECKING:
    import onnx

    from frameflow.models.recognizer import Recognizer

FORMAT = "1"


def input_names(recognizer: "Recognizer") -> list[str]:
    """``frames`` for one stream, otherwise the kinds, numbered where one comes twice."""
    kinds = [stream.kind for stream in recognizer.recipe.streams]
    if len(kinds) == 1:
        return ["frames"]
    return [
        kind if kinds.index(kind) == place else f"{kind}_{kinds[:place].count(kind) + 1}"
        for place, kind in enumerate(kinds)
    ]


def describe(recognizer: "Recognizer", *, steps: int | None, masked: bool) -> dict[str, Any]:
    """What a program needs to feed the files and to read what comes out, for JSON.

    Args:
        recognizer: what is exported.
        steps: T of the clips, or None where it is free.
        masked: whether the whole file takes a mask.
    """
    recipe = recognizer.recipe
    refusal = refusal_of(recognizer)
    calibration = calibration_of(recognizer)
    return {
        "format": FORMAT,
        "recipe": recipe.name,
        "labels": recognizer.labels,
        "multilabel": recipe.multilabel,
        "frames": recipe.sampling.frames,
        "fixed_frames": steps is not None,
        "mask": masked,
        "sampling": recipe.sampling.model_dump(mode="json"),
        "views": recipe.views.test,
        "inputs": [
            {
                "name": name,
                "kind": stream.kind,
                "gap": stream.gap,
                "gain": stream.gain,
                "pace": stream.pace,
                "fit": stream.fit,
                "crops": stream.crops if stream.fit == "crops" else 1,
                "follow": stream.follow if stream.fit == "follow" else None,
                "size": backbone.preprocess.size,
                "mean": list(backbone.preprocess.mean),
                "std": list(backbone.preprocess.std),
                "interpolation": backbone.preprocess.interpolation,
                "backbone": backbone.name,
                "dim": backbone.dim,
            }
            for name, stream, backbone in zip(
                input_names(recognizer), recipe.streams, recognizer.backbones()
            )
        ],
        "head": recognizer.head.name,
        "calibration": {
            "method": calibration.method,
            "scale": list(calibration.scale),
            "bias": list(calibration.bias),
        },
        "refusal": None if refusal is None else refusal.to_dict(),
        "versions": versions(),
    }


def as_strings(described: dict[str, Any], part: str, precision: str) -> dict[str, str]:
    """For a file's metadata: each value as JSON, but for what is text already."""
    values = described | {"part": part, "precision": precision}
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }


def stamp(model: "onnx.ModelProto", strings: dict[str, str]) -> "onnx.ModelProto":
    """Write metadata into an ONNX model."""
    import onnx

    model.producer_name = "frameflow"
    del model.metadata_props[:]  # a quantiser leaves its own
    onnx.helper.set_model_props(model, strings)
    return model
