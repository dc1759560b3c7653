"""Videos that are sent once and then named by an id."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from frameflow.serving.faults import invalid
from frameflow.serving.limits import Refused
from frameflow.serving.previews import content_type, is_playable
from frameflow.serving.schemas import ASKED, SENT, Video, errors, form
from frameflow.serving.service import in_pool, unless_gone

if TYPE_CHECKING:
    from frameflow.serving.service import Service
    from frameflow.serving.uploads import Upload

_FILE = form({"file": {"type": "string", "format": "binary"}})
_PLAYED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": {}}},
    206: {"content": {"video/mp4": {}}},
}


def router(service: "Service") -> APIRouter:
    """``/v1/videos`` and ``/v1/samples``."""
    routes = APIRouter(prefix="/v1", tags=["videos"])

    @routes.post(
        "/videos", status_code=201, response_model=Video, openapi_extra=_FILE,
        responses=errors(*SENT), summary="Send a video once, to name it by its id",
    )  # fmt: skip
    async def send(request: Request) -> Any:
        received = await service.uploads.receive(request)
        if received.upload is None:
            raise invalid("No video was sent: the form has no part named file with a file in it.")
        return await _keep(request, received.upload)

    @routes.post(
        "/samples/{sample}", status_code=201, response_model=Video,
        responses=errors(*ASKED, 429, 507), summary="Take one of the samples, as if it were sent",
    )  # fmt: skip
    async def take(request: Request, sample: str) -> Any:
        found = service.samples.get(sample)
        copy = service.uploads.copy_in
        return await _keep(
            request, await in_pool(service.reading, lambda: copy(found.path, found.path.name))
        )

    @routes.delete(
        "/videos/{video}", status_code=204, responses=errors(*ASKED), summary="Delete a video"
    )
    def delete(video: str) -> Response:
        service.uploads.delete(video)
        return Response(status_code=204)

    @routes.get(
        "/videos/{video}/file", response_class=FileResponse,
        responses={**_PLAYED, **errors(404, 422)},
        summary="The video as it was sent, whole or a range of it",
    )  # fmt: skip
    def file(video: str) -> Response:
        with service.uploads.using(video) as upload:
            return FileResponse(
                upload.path,
                media_type=_kind(upload.path),
                # never shown as a page of ours, whatever it is
                headers={"Content-Security-Policy": "sandbox; default-src 'none'"},
            )

    @routes.get(
        "/videos/{video}/preview", response_class=FileResponse,
        responses={
            **_PLAYED, 202: {"description": "It is being made."}, **errors(404, 413, 422, 429),
        },
        summary="A small MP4 (H.264) of the video, made when it is first asked for",
    )  # fmt: skip
    def preview(video: str) -> Response:
        with service.uploads.using(video) as upload:
            found = service.previews.of(upload)
            if found.ready:
                return FileResponse(upload.preview, media_type="video/mp4")
            progress = round(found.progress, 4)
            return JSONResponse(
                {"state": "running", "progress": progress}, 202, {"Retry-After": "1"}
            )

    async def _keep(request: Request, upload: "Upload") -> dict[str, Any]:
        """Look at it, and keep it only if it is a video and somebody still waits for the id."""
        try:
            probed = in_pool(service.reading, lambda: service.reader.probe(upload.path))
            upload.info = await unless_gone(request, probed)
            service.uploads.keep(upload)
        except BaseException:
            service.uploads.discard(upload)
            raise
        info = upload.info
        return {
            "id": upload.id,
            "name": upload.name,
            "seconds": round(info.duration, 3),
            "frames": info.frames,
            "rate": round(info.rate, 3),
            "width": info.width,
            "height": info.height,
            "codec": info.codec,
            "playable": is_playable(_kind(upload.path), info.codec, info.pixel_format),
        }

    return routes


def _kind(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return content_type(file.read(64))
    except FileNotFoundError:
        raise Refused(404, "unknown_video", "The video is no longer there.") from None
