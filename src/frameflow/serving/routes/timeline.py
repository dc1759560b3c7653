"""Timelines of long videos, as jobs."""

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from frameflow.errors import UsageError
from frameflow.serving.background import in_background
from frameflow.serving.faults import invalid
from frameflow.serving.forms import TimelineFields, parse
from frameflow.serving.jobs import Found, Job, Stopped
from frameflow.serving.limits import Refused
from frameflow.serving.schemas import ASKED, SENT, VIDEO_FIELDS, JobState, errors, form
from frameflow.serving.service import in_pool, unless_gone
from frameflow.serving.sources import Source, source_of

if TYPE_CHECKING:
    from frameflow.inference.timeline.plan import WindowPlan
    from frameflow.inference.timeline.segments import SegmentRule
    from frameflow.serving.models import Served
    from frameflow.serving.service import Service
    from frameflow.video.probe import VideoInfo

_MOST_ROWS = 2000  # windows of a result; the downloads have them all
_MOST_WINDOWS = 200_000
_MOST_MOMENTS = 4096  # of one window: their features are held at once
_SECONDS = {"type": "number", "exclusiveMinimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_FIELDS = form(
    {
        **VIDEO_FIELDS,
        "window": {**_SECONDS, "description": "Seconds of a window."},
        "stride": {**_SECONDS, "description": "Seconds from one window's start to the next."},
        "grid": {**_SECONDS, "description": "Moments a second at which frames are looked at."},
        "smooth": {"type": "number", "description": "Seconds of smoothing."},
        "enter": {**_SHARE, "description": "Probability that a segment must reach."},
        "leave": {**_SHARE, "description": "Probability below which it ends."},
        "shortest": {"type": "number", "description": "Seconds of the shortest segment."},
        "gap": {"type": "number", "description": "Seconds of gaps that are closed."},
    }
)
FORMS = {
    "csv": "text/csv; charset=utf-8", "json": "application/json",
    "vtt": "text/vtt; charset=utf-8", "srt": "application/x-subrip; charset=utf-8",
    "eaf": "application/xml",
}  # fmt: skip


def router(service: "Service") -> APIRouter:
    """``/v1/timeline`` and ``/v1/jobs``."""
    routes = APIRouter(prefix="/v1", tags=["work"])

    @routes.post(
        "/timeline", status_code=202, response_model=JobState, response_model_exclude_unset=True,
        openapi_extra=_FIELDS, responses=errors(*SENT),
        summary="Begin the timeline of a long video; the answer names a job",
    )  # fmt: skip
    async def timeline(request: Request) -> Any:
        service.jobs.check_room()  # before anything is received
        held = contextlib.ExitStack()
        async with source_of(service, request, held=held) as (sent, source):
            asked = parse(TimelineFields, sent.fields)
            rule = _rule(asked)
            model = service.models.get(asked.model)
            info = source.info
            if info is None:
                probe = in_pool(service.reading, lambda: service.reader.probe(source.path))
                info = await unless_gone(request, probe)
            plan = _plan(model, info, asked)

            work = partial(_timeline, service, model, source, info, plan, rule)
            job = service.jobs.add(work, held.close)
        return job.to_dict()

    @routes.get(
        "/jobs/{job}", response_model=JobState, response_model_exclude_unset=True,
        responses=errors(*ASKED), summary="How far a job is, and what it found",
    )  # fmt: skip
    def state(job: str) -> Any:
        found = service.jobs.get(job)
        said = found.to_dict()
        if found.found is not None:
            said["result"] = result_of(found.found)
        return JSONResponse(said)

    @routes.delete(
        "/jobs/{job}", response_model=JobState, response_model_exclude_unset=True,
        responses=errors(*ASKED), summary="Cancel a job, whether it waits or runs",
    )  # fmt: skip
    def cancel(job: str) -> Any:
        return JSONResponse(service.jobs.cancel(job).to_dict())

    @routes.get(
        "/jobs/{job}/timeline.{form}", response_class=Response,
        responses=errors(401, 404, 409, 422),
        summary="The timeline as a file: csv, json, vtt, srt or eaf",
    )  # fmt: skip
    async def download(job: str, form: Literal["csv", "json", "vtt", "srt", "eaf"]) -> Response:
        from frameflow.inference.timeline.files import timeline_text

        found = service.jobs.get(job).found
        if found is None:
            raise Refused(409, "not_ready", "The timeline is not done.", "Ask for the job first.")
        text = await asyncio.to_thread(timeline_text, found.timeline, found.segments, form)
        name = f"{found.timeline.video.rsplit('.', 1)[0] or 'timeline'}.{form}"
        attached = f"attachment; filename=\"timeline.{form}\"; filename*=UTF-8''{quote(name, '')}"
        return Response(
            text.encode(), media_type=FORMS[form], headers={"Content-Disposition": attached}
        )

    return routes


def _rule(asked: TimelineFields) -> "SegmentRule":
    from frameflow.inference.timeline.segments import SegmentRule

    given = {name: getattr(asked, name) for name in ("smooth", "enter", "leave", "shortest", "gap")}
    try:
        return SegmentRule(**{name: value for name, value in given.items() if value is not None})
    except UsageError as error:
        raise invalid(str(error)) from None


def _plan(model: "Served", info: "VideoInfo", asked: TimelineFields) -> "WindowPlan":
    """The windows asked for, within what a server can hold.

    Raises:
        Refused: 422, they are too many, too long or unknown.
    """
    from frameflow.inference.timeline.plan import plan_windows, regular_windows

    if asked.window is None and model.clip_seconds is None:
        raise invalid(
            "The length of the clips that this model learnt from is not known.",
            "Send the field window, in seconds.",
        )
    try:
        plan = plan_windows(
            model.predictor.recognizer,
            info.rate,
            window=asked.window,
            stride=asked.stride,
            grid=asked.grid,
        )
    except UsageError as error:
        raise invalid(str(error)) from None
    if plan.grid > info.rate * 1.001:
        raise invalid(f"grid ({plan.grid:g}) must be at most the video's rate, {info.rate:g}.")
    if plan.length * plan.grid > _MOST_MOMENTS:
        raise invalid(
            f"A window of {plan.length:g} seconds has more than {_MOST_MOMENTS} moments.",
            "Make window or grid smaller.",
        )
    if regular_windows(plan, info.duration) > _MOST_WINDOWS:
        raise invalid(f"There would be more than {_MOST_WINDOWS:,} windows.", "Make stride larger.")
    return plan


def _timeline(
    service: "Service",
    model: "Served",
    source: Source,
    info: "VideoInfo",
    plan: "WindowPlan",
    rule: "SegmentRule",
    job: Job,
) -> Found:
    """Decode in a process of the reader's, compute here."""
    from frameflow.inference.timeline.compute import Cancelled, timeline
    from frameflow.inference.timeline.segments import find_segments
    from frameflow.inference.timeline.shots import ShotRequest

    request = ShotRequest(tuple(model.predictor.encoder.requests), plan.grid)
    shots = service.reader.shots(source.path, request, cancelled=job.cancelled)
    try:
        with contextlib.closing(shots):
            found = timeline(
                in_background(model.predictor, service.batcher.idle),
                source.name,
                window=plan.length,
                stride=plan.stride,
                grid=plan.grid,
                shots=shots,
                info=info,
                progress=job.report,
                cancelled=job.cancelled,
            )
    except Cancelled:
        raise Stopped from None
    return Found(found, find_segments(found, rule))


def result_of(found: Found) -> dict[str, Any]:
    """A timeline as the page draws it: at most 2,000 windows, the others left out evenly."""
    line = found.timeline
    count = len(line.starts)
    rows = np.arange(count)
    if count > _MOST_ROWS:
        rows = np.unique(np.linspace(0, count - 1, _MOST_ROWS).round().astype(int))
    plan = line.plan
    said: dict[str, Any] = {
        "video": line.video,
        "labels": list(line.labels),
        "duration": round(line.duration, 3),
        "starts": np.round(line.starts[rows], 3).tolist(),
        "ends": np.round(line.ends[rows], 3).tolist(),
        "moments": np.round(line.moments[rows], 3).tolist(),
        "probabilities": [[round(float(p), 4) for p in row] for row in line.probabilities[rows]],
        "abstained": line.abstained[rows].tolist(),
        "multilabel": line.multilabel,
        "segments": [
            {
                "start": round(each.start, 3),
                "end": round(each.end, 3),
                "label": each.label,
                "probability": round(each.probability, 4),
                "peak": round(each.peak, 4),
            }
            for each in found.segments
        ],
        "plan": {
            "length": plan.length, "stride": plan.stride, "grid": plan.grid, "ending": plan.ending,
        },
    }  # fmt: skip
    return said | ({"thinned": True, "windows": count} if len(rows) < count else {})
