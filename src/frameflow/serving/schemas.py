"""What answers and errors look like, for OpenAPI: types with examples."""

from typing import Any

from pydantic import BaseModel, ConfigDict

_MEANING = {
    400: ("bad_request", "The form cannot be read."),
    401: ("unauthorized", "A token is needed."),
    403: ("cross_site", "Requests from other sites are not taken."),
    404: ("unknown_video", "There is no such video."),
    408: ("stalled", "Nothing came for too long."),
    409: ("not_ready", "The timeline is not done."),
    413: ("too_large", "The file is larger than 1 GB."),
    415: ("not_a_video", "This is not a video."),
    422: ("unreadable", "The video cannot be used."),
    429: ("busy", "32 requests are in hand, and that is all there is room for."),
    500: ("internal", "Something went wrong here; the server's log tells more under 1f2e3d4c."),
    503: ("starting", "The models are being loaded."),
    507: ("disk_full", "The server's disk is full."),
}
SENT = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 507)
ASKED = (401, 404, 422, 503)


class Fault(BaseModel):
    """What is wrong, for programs and for people."""

    code: str
    message: str
    cure: str | None = None


class Faults(BaseModel):
    """Every error has this form."""

    error: Fault


class Share(BaseModel):
    """A label and how likely it is."""

    label: str
    probability: float


class Score(BaseModel):
    """How good a model was found to be."""

    metric: str
    value: float
    low: float | None
    high: float | None
    note: str


class Model(BaseModel):
    """One model in short."""

    name: str
    labels: list[str]
    default: bool
    recipe: str
    frames: int
    multilabel: bool
    sets: bool
    coverage: float | None
    clip_seconds: float | None
    score: Score | None
    card: str | None
    report: str | None


class ModelList(BaseModel):
    """What the page needs to begin."""

    models: list[Model]
    limits: dict[str, float]
    samples: list[dict[str, str]]
    auth: bool


class Video(BaseModel):
    """A video that was sent, to be named by its id from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "q5nQyUQ0rMmVdOyGfDXbLA", "name": "serve.mp4", "seconds": 7.0,
                "frames": 175, "rate": 25.0, "width": 320, "height": 240, "codec": "h264",
                "playable": True,
            }
        }
    )  # fmt: skip
    id: str
    name: str
    seconds: float
    frames: int
    rate: float
    width: int
    height: int
    codec: str
    playable: bool


class Frames(BaseModel):
    """What a model says around each frame of a video, a row a frame."""

    labels: list[str]
    seconds: list[float]
    probabilities: list[list[float]]
    predictions: list[str | list[str]]
    abstained: list[bool]


class Answer(BaseModel):
    """What a model says of a video."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "first", "video": "serve.mp4", "label": "Serve", "probability": 0.91,
                "topk": [
                    {"label": "Serve", "probability": 0.91},
                    {"label": "Smash", "probability": 0.06},
                ],
                "set": ["Serve"], "abstained": False, "views": 1, "duration": 7.0,
                "timing": {"read": 0.031, "compute": 0.084, "total": 0.121},
            }
        }
    )  # fmt: skip
    model: str
    video: str
    label: str
    probability: float
    topk: list[Share]
    set: list[str] | None
    abstained: bool
    present: list[str] | None = None
    per_frame: Frames | None = None
    views: int
    duration: float
    timing: dict[str, float]


class JobState(BaseModel):
    """How far a job is, and what it found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "job": "wMTWYb3vFr6AYUXuqtM0yQ", "state": "done", "progress": 1.0,
                "result": {
                    "video": "match.mp4", "labels": ["Serve", "Smash"], "duration": 600.0,
                    "starts": [0.0, 0.5], "ends": [2.0, 2.5], "moments": [1.0, 1.5],
                    "probabilities": [[0.9, 0.1], [0.8, 0.2]], "abstained": [False, False],
                    "multilabel": False,
                    "segments": [
                        {"start": 0.0, "end": 2.5, "label": "Serve", "probability": 0.85,
                         "peak": 0.9}
                    ],
                    "plan": {"length": 2.0, "stride": 0.5, "grid": 8.0, "ending": False},
                },
            }
        }
    )  # fmt: skip
    job: str
    state: str
    progress: float
    error: Fault | None = None
    result: dict[str, Any] | None = None


class Evidence(BaseModel):
    """What speaks for a label in the middle clip of a video."""

    label: str
    probability: float
    predicted: str
    seconds: list[float]
    attention: list[float] | None
    streams: list[dict[str, Any]]
    frames: list[str]
    note: str | None = None


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these errors."""
    return {
        status: {
            "description": _MEANING[status][1],
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Faults"},
                    "example": {
                        "error": dict(zip(("code", "message"), _MEANING[status], strict=True))
                    },
                }
            },
        }
        for status in statuses
    }


def with_faults(schema: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI schema that also knows the form of errors, which `errors` refers to."""
    found = Faults.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["components"]["schemas"] |= {**found.pop("$defs"), "Faults": found}
    schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}, {}]  # needed where the server has one
    return schema


VIDEO_FIELDS = {
    "file": {"type": "string", "format": "binary", "description": "The video itself."},
    "video": {"type": "string", "description": "Or the id of one that was sent before."},
    "path": {"type": "string", "description": "Or a path, where the server takes paths."},
    "model": {"type": "string", "description": "The name of a model; default: the first."},
}


def form(fields: dict[str, Any], *, multipart: bool = True) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that takes a form."""
    kinds = ["multipart/form-data"] if multipart else []
    kinds += ["application/x-www-form-urlencoded"]
    schema = {"type": "object", "properties": fields}
    content = {kind: {"schema": schema} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}
