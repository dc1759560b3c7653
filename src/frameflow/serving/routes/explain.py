"""What speaks for a label in a video: small pictures with a map drawn over them."""

import asyncio
import base64
import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter, Request

from frameflow.errors import UsageError
from frameflow.serving.faults import invalid
from frameflow.serving.forms import ExplainFields, parse
from frameflow.serving.limits import Refused
from frameflow.serving.schemas import SENT, VIDEO_FIELDS, Evidence, errors, form
from frameflow.serving.service import in_pool, unless_gone
from frameflow.serving.sources import Source, source_of

if TYPE_CHECKING:
    from frameflow.inference.explanation import Explanation
    from frameflow.serving.models import Served
    from frameflow.serving.service import Service

_PICTURES, _QUALITY = 24, 82
_FIELDS = form(
    {**VIDEO_FIELDS, "label": {"type": "string", "description": "Default: the likeliest."}}
)


def router(service: "Service") -> APIRouter:
    """``/v1/explain``."""
    routes = APIRouter(prefix="/v1", tags=["work"])

    @routes.post(
        "/explain", response_model=Evidence, response_model_exclude_unset=True,
        openapi_extra=_FIELDS, responses=errors(*SENT),
        summary="Show where and when a video speaks for a label",
    )  # fmt: skip
    async def explain(request: Request) -> Any:
        async with source_of(service, request) as (sent, source):
            asked = parse(ExplainFields, sent.fields)
            model = service.models.get(asked.model)
            if asked.label is not None and asked.label not in model.predictor.labels:
                raise invalid("The model has no such label.", "/v1/models lists those it has.")
            return await unless_gone(request, _explain(service, model, source, asked.label))

    return routes


async def _explain(
    service: "Service", model: "Served", source: Source, label: str | None
) -> dict[str, Any]:
    gone = threading.Event()

    def work() -> dict[str, Any]:
        info = source.info or service.reader.probe(source.path, cancelled=gone.is_set)
        try:
            found = model.explainer.explain(
                source.path,
                label=label,
                info=info,
                read=lambda requests: service.reader.read(
                    source.path, requests, cancelled=gone.is_set
                ),
            )
        except UsageError as error:  # a backbone that cannot be traced to places
            raise Refused(422, "not_explained", str(error)) from None
        return _said(found)

    try:
        return await in_pool(service.explaining, work)
    except asyncio.CancelledError:
        gone.set()
        raise


def _said(found: "Explanation") -> dict[str, Any]:
    chosen = np.unique(np.linspace(0, len(found.frames) - 1, _PICTURES).round().astype(int))
    pictures = found.overlay(attention=False)[chosen]
    said: dict[str, Any] = {
        "label": found.label,
        "probability": round(found.probability, 6),
        "predicted": found.predicted,
        "seconds": np.round(found.seconds[chosen], 3).tolist(),
        "attention": None if found.attention is None else found.attention[chosen].round(4).tolist(),
        "streams": [{"name": name, "share": round(share, 4)} for name, share in found.streams],
        "frames": [_data_uri(picture) for picture in pictures],
    }
    if found.label != found.predicted:
        said["note"] = f"In this clip alone the model says {found.predicted}."
    return said


def _data_uri(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
