"""What the models are: in short, in full, their cards and reports."""

import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from frameflow.serving.card import CARD_POLICY, REPORT_POLICY, card_page
from frameflow.serving.faults import refused_by
from frameflow.serving.limits import Refused
from frameflow.serving.models import Served
from frameflow.serving.schemas import ASKED, ModelList, errors

if TYPE_CHECKING:
    from frameflow.serving.service import Service

_CARD, _REPORT = "README.md", "report.html"


def router(service: "Service") -> APIRouter:
    """``/v1/models`` and ``/v1/model``."""
    routes = APIRouter(prefix="/v1", tags=["models"], responses=errors(*ASKED))

    @routes.get("/models", response_model=ModelList, summary="The models, limits and samples")
    def models() -> Any:
        found = service.models
        labels = {label for each in found for label in each.predictor.labels}
        limits = service.settings.limits
        return {
            "models": [_listed(each, each is found.default) for each in found],
            "limits": {"bytes": limits.bytes, "seconds": limits.seconds_of_video},
            "samples": service.samples.listed(labels),
            "auth": service.settings.token is not None,
        }

    @routes.get("/model", summary="All that is known of one model")
    def model(model: str | None = None) -> dict[str, Any]:
        found = service.models
        each = found.get(model)
        return _listed(each, each is found.default) | each.details()

    @routes.get("/model/card", summary="The model card", response_class=HTMLResponse)
    def card(request: Request, model: str | None = None, key: str = "") -> Response:
        """HTML without scripts. Opened by a token or by the key in ``/v1/models``."""
        return _page(request, model, key, _CARD)

    @routes.get("/model/report", summary="The report", response_class=HTMLResponse)
    def report(request: Request, model: str | None = None, key: str = "") -> Response:
        """The report of the run, in a sandbox. Opened as the card is."""
        return _page(request, model, key, _REPORT)

    def _page(request: Request, model: str | None, key: str, file: str) -> Response:
        # These are looked at in frames, where an error is a page too.
        _check_key(request, key)
        try:
            each = service.models.get(model)
            if file == _CARD:
                page, policy = card_page(each.text(file, "model card"), each.name), CARD_POLICY
            else:
                page, policy = each.text(file, "report"), REPORT_POLICY
        except Exception as error:
            raise refused_by(error) from error
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    def _check_key(request: Request, key: str) -> None:
        token = service.settings.token
        if token is None or hmac.compare_digest(key.encode(), service.key.encode()):
            return
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(shown.strip().encode(), token.encode())
        if kind.lower() != "bearer" or not same:
            raise Refused(
                401, "unauthorized", "A token is needed.",
                "Send it as `Authorization: Bearer TOKEN`, or take the address in /v1/models.",
            )  # fmt: skip

    def _listed(each: Served, default: bool) -> dict[str, Any]:
        query = urlencode({"model": each.name, "key": service.key})
        links = {
            name: f"v1/model/{name}?{query}" if (each.folder / file).is_file() else None
            for name, file in (("card", _CARD), ("report", _REPORT))
        }
        return {**each.summary(), "default": default, **links}

    return routes
