"""The page, whether the server lives, its figures, and what it can do."""

from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from frameflow.serving.faults import missing
from frameflow.serving.limits import Refused
from frameflow.serving.metrics import CONTENT_TYPE
from frameflow.serving.schemas import errors

if TYPE_CHECKING:
    from frameflow.serving.service import Service

_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png",
    ".ico": "image/x-icon", ".json": "application/json", ".woff2": "font/woff2",
}  # fmt: skip


def static_files() -> dict[str, tuple[bytes, str]]:
    """The page's files and their types, read once: a request's name is looked up, never opened."""
    folder = Path(str(resources.files("frameflow.serving") / "static"))
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix in _TYPES]
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), _TYPES[path.suffix])
        for path in paths
    }


def router(service: "Service") -> APIRouter:
    """The routes that need no token, and ``/metrics``, which does where there is one."""
    routes = APIRouter()
    files = static_files()

    @routes.get("/", include_in_schema=False)
    def page() -> Response:
        return _file("index.html")

    @routes.get("/static/{name:path}", include_in_schema=False)
    def static(name: str) -> Response:
        return _file(name)

    def _file(name: str) -> Response:
        if name not in files:
            raise missing("not_found", "There is no such file.")
        content, kind = files[name]
        return Response(content, media_type=kind)

    @routes.get("/healthz", tags=["server"], summary="Whether the server lives")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get(
        "/readyz",
        tags=["server"],
        responses=errors(503),
        summary="Whether its models are loaded and warm",
    )
    def readyz() -> Response:
        """503 until then. A run whose folder has disappeared is named: it still predicts."""
        gone = [each.name for each in service.models if each.gone]
        if not service.reader.ready:
            raise Refused(503, "no_worker", "The processes that read videos do not start.")
        return JSONResponse({"status": "ready", "gone": gone})

    @routes.get(
        "/metrics",
        tags=["server"],
        responses=errors(401),
        response_class=PlainTextResponse,
        summary="Figures for Prometheus",
    )
    def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @routes.get("/docs", include_in_schema=False)
    def docs(request: Request) -> Response:
        return HTMLResponse(_docs_page(request.app.openapi()))

    @routes.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:
        """What browsers ask for beside every page; ours names its own."""
        return Response(status_code=204)

    @routes.get("/robots.txt", include_in_schema=False)
    def robots() -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    return routes


def _docs_page(schema: dict[str, dict[str, dict[str, dict[str, object]]]]) -> str:
    """All routes in one table; no script, nothing from elsewhere."""
    rows = []
    for path, methods in schema["paths"].items():
        for method, said in methods.items():
            statuses = said.get("responses", {})
            assert isinstance(statuses, dict)
            rows.append(
                f"<tr><td><code>{method.upper()} {escape(path)}</code></td>"
                f"<td>{escape(str(said.get('summary', '')))}</td>"
                f"<td>{', '.join(sorted(statuses))}</td></tr>"
            )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>FrameFlow API</title>'
        '</head><body><h1>FrameFlow API</h1><p>Types and examples: <a href="openapi.json">'
        "openapi.json</a></p><table><tr><th>Route</th><th>What it does</th><th>Answers</th></tr>"
        f"{''.join(rows)}</table></body></html>"
    )
