"""What a model says around each frame of a video, for clients."""

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from frameflow.errors import UsageError
from frameflow.serving.background import in_background
from frameflow.serving.faults import invalid
from frameflow.serving.limits import Refused
from frameflow.serving.service import in_pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frameflow.inference.per_frame import FrameRow
    from frameflow.inference.predictor import Predictor
    from frameflow.serving.forms import PredictFields
    from frameflow.serving.models import Served
    from frameflow.serving.service import Service
    from frameflow.serving.sources import Source

MOST_FRAMES = 5000  # of a video: a client waits for all of them


def check_frames(asked: "PredictFields") -> None:
    """Refuse fields that say nothing without ``per_frame``.

    Raises:
        Refused: 422.
    """
    if asked.per_frame:
        return
    for name in ("rolling", "window"):
        if getattr(asked, name) is not None:
            raise invalid(f"The field {name} is for frames.", "Send per_frame=true too.")


async def frames_of(
    service: "Service", model: "Served", source: "Source", asked: "PredictFields"
) -> dict[str, Any]:
    """A row a frame, as ``frameflow predict --per-frame`` writes them.

    Raises:
        Refused: 413 where there are too many frames; 422 where the length of the training clips
            is not known, or each frame would have to be read anew.
    """
    gone = threading.Event()
    try:
        return await in_pool(service.framing, lambda: _said(service, model, source, asked, gone))
    except asyncio.CancelledError:
        gone.set()
        raise


def _said(
    service: "Service",
    model: "Served",
    source: "Source",
    asked: "PredictFields",
    gone: threading.Event,
) -> dict[str, Any]:
    """Decode in a process of the reader's, compute here; predictions of others go first."""
    from frameflow.inference.per_frame import iter_frame_rows

    if asked.window is None and model.clip_seconds is None:
        raise invalid(
            "The length of the clips that this model learnt from is not known.",
            "Send the field window, in seconds.",
        )
    info, times = service.reader.times(source.path, cancelled=gone.is_set)
    if len(times) > MOST_FRAMES:
        raise Refused(
            413, "too_long", f"per_frame takes at most {MOST_FRAMES:,} frames, not {len(times):,}.",
            "Ask /v1/timeline, or cut the video.",
        )  # fmt: skip
    predictor = in_background(model.predictor, service.batcher.idle)
    try:
        rows = iter_frame_rows(
            predictor,
            source.path,
            rolling=asked.rolling or 1,
            window=asked.window,
            info=info,
            times=times,
            read=lambda request: service.reader.shots(source.path, request, cancelled=gone.is_set),
        )
        with contextlib.closing(rows):  # type: ignore[type-var]
            return _as_columns(predictor, source.name, rows)
    except UsageError as error:
        raise Refused(
            422, "not_per_frame", str(error), "`frameflow predict --per-frame` takes it."
        ) from None


def _as_columns(predictor: "Predictor", video: str, rows: "Iterable[FrameRow]") -> dict[str, Any]:
    found: dict[str, Any] = {
        "labels": list(predictor.labels),
        "seconds": [], "probabilities": [], "predictions": [], "abstained": [],
    }  # fmt: skip
    for row in rows:
        said = predictor.from_probabilities(video, row.probabilities, topk=1)
        found["seconds"].append(round(row.seconds, 3))
        found["probabilities"].append([round(float(p), 6) for p in row.probabilities])
        found["predictions"].append(list(said.present) if said.multilabel else said.label)
        found["abstained"].append(said.abstained)
    return found
