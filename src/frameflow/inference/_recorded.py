"""What a run recorded of its training and splits, as every evaluation repeats it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow.audit.summary import split_audit
from frameflow.data.manifest import Manifest
from frameflow.inference._facts import now

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer


def training_record(extra: Mapping[str, Any], run: Path) -> dict[str, Any] | None:
    """The record of the training and the size of the saved model; None for a run without one.

    Args:
        extra: what ``model.json`` keeps beside the model.
        run: the folder of the run.
    """
    record = extra.get("training")
    if not record:
        return None
    weights = run / "model.safetensors"
    return {**record, "model_bytes": weights.stat().st_size if weights.is_file() else None}


def audit_record(extra: Mapping[str, Any], own: Manifest, *, foreign: bool) -> dict[str, Any]:
    """What is known of groups and scenes across the splits.

    Args:
        extra: what ``model.json`` keeps beside the model.
        own: the run's manifest, with all its splits.
        foreign: another manifest is scored: that it shares neither clip nor group with the
            training was checked before, or allowed.
    """
    if not foreign and extra.get("audit"):
        return dict(extra["audit"])
    found = split_audit(own, groups="given" if own.has_groups else "none")
    if foreign:
        found["sentence"] = (
            "What is scored is another manifest. Its videos and groups were compared with those "
            "of the training by name, not by content."
        )
    return found


def stopwatch() -> Callable[[], dict[str, Any]]:
    """Start timing; the function it returns says ``start``, ``end`` and ``seconds``."""
    began, start = now(), time.perf_counter()
    return lambda: {
        "start": began,
        "end": now(),
        "seconds": round(time.perf_counter() - start, 3),
    }


def model_record(recognizer: "Recognizer") -> dict[str, Any]:
    """What the model is made of, with the options that a recipe leaves to their defaults.

    Returns:
        ``head`` and its ``options``; ``features``, the length of the vector of a frame or clip;
        ``sizes``, ``[height, width]`` in px of the frames each backbone sees; ``frames`` of a clip.
    """
    return {
        "head": recognizer.head.name,
        "options": recognizer.head.told,
        "features": recognizer.dim,
        "sizes": [[backbone.preprocess.size] * 2 for backbone in recognizer.backbones()],
        "frames": recognizer.frames,
    }
