"""Predictions: read in the decoding processes, computed together with those of other clients."""

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from frameflow.serving.batching import timed
from frameflow.serving.forms import PredictFields, parse
from frameflow.serving.frames import MOST_FRAMES, check_frames, frames_of
from frameflow.serving.schemas import SENT, VIDEO_FIELDS, Answer, errors, form
from frameflow.serving.service import in_pool, unless_gone
from frameflow.serving.sources import Source, source_of

if TYPE_CHECKING:
    from frameflow.inference.predictor import Prediction
    from frameflow.serving.models import Served
    from frameflow.serving.service import Service
    from frameflow.video.clip import Clip

_FIELDS = form(
    {
        **VIDEO_FIELDS,
        "topk": {"type": "integer", "minimum": 1, "default": 5},
        "per_frame": {
            "type": "boolean", "default": False,
            "description": f"Also around each frame, of at most {MOST_FRAMES:,} frames.",
        },
        "rolling": {
            "type": "integer", "minimum": 1,
            "description": "With per_frame: the mean over so many frames.",
        },
        "window": {
            "type": "number", "exclusiveMinimum": 0,
            "description": "With per_frame: seconds around a frame that are looked at.",
        },
    }
)  # fmt: skip


def router(service: "Service") -> APIRouter:
    """``/v1/predict``."""
    routes = APIRouter(prefix="/v1", tags=["work"])

    @routes.post(
        "/predict", response_model=Answer, response_model_exclude_unset=True,
        openapi_extra=_FIELDS, responses=errors(*SENT), summary="Say what happens in a video",
    )  # fmt: skip
    async def predict(request: Request) -> Any:
        begun = time.perf_counter()
        async with source_of(service, request) as (sent, source):
            asked = parse(PredictFields, sent.fields)
            check_frames(asked)
            model = service.models.get(asked.model)
            read = time.perf_counter()
            answer = await unless_gone(request, _answer(service, model, source, asked.topk))
            frames: dict[str, Any] = {}
            if asked.per_frame:
                about = frames_of(service, model, source, asked)
                frames["per_frame"] = await unless_gone(request, about)
        prediction, duration, reading = answer
        return {
            **said(model, source, prediction),
            **frames,
            "views": prediction.views,
            "duration": round(duration, 3),
            "timing": {
                "read": reading,
                "compute": round(timed(read) - reading, 4),
                "total": timed(begun),
            },
        }

    return routes


async def _answer(
    service: "Service", model: "Served", source: Source, topk: int
) -> "tuple[Prediction, float, float]":
    """The prediction, the video's seconds, and the seconds that reading took."""
    gone = threading.Event()

    def read() -> "tuple[float, list[list[Clip]]]":
        info, clips = service.reader.read_with_info(
            source.path, model.predictor.encoder.requests, cancelled=gone.is_set
        )
        return info.duration, clips

    begun = time.perf_counter()
    try:
        duration, clips = await in_pool(service.reading, read)
    except asyncio.CancelledError:
        gone.set()  # the client hung up: its process is free for the next
        raise
    reading = timed(begun)
    service.metrics.read.observe(reading)
    begun = time.perf_counter()
    waiting = service.batcher.submit(model.predictor, source.name, clips, topk)
    prediction = await asyncio.wrap_future(waiting)
    service.metrics.compute.observe(timed(begun))
    return prediction, duration, reading


def said(model: "Served", source: Source, prediction: "Prediction") -> dict[str, Any]:
    """A prediction as clients get it."""
    found = {
        "model": model.name,
        "video": source.name,
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "topk": [{"label": name, "probability": round(p, 6)} for name, p in prediction.topk],
        "set": None if prediction.set is None else list(prediction.set),
        "abstained": prediction.abstained,
    }
    return found | ({"present": prediction.present} if prediction.multilabel else {})
