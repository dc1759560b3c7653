"""The fields of forms, checked."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from frameflow.serving.faults import invalid

Fields = TypeVar("Fields", bound=BaseModel)
_VIDEO = ("file", "video", "path")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str | None = None


class PredictFields(_Form):
    """Of a prediction, beside the video."""

    topk: int = Field(5, ge=1, le=1000)
    per_frame: bool = False
    rolling: int | None = Field(None, ge=1, le=10_000)
    window: float | None = Field(None, gt=0, le=3600, allow_inf_nan=False)


class TimelineFields(_Form):
    """Of a timeline, beside the video."""

    window: float | None = Field(None, gt=0, le=3600, allow_inf_nan=False)
    stride: float | None = Field(None, gt=0, le=3600, allow_inf_nan=False)
    grid: float | None = Field(None, gt=0, le=240, allow_inf_nan=False)
    smooth: float | None = Field(None, ge=0, le=3600)
    enter: float | None = Field(None, ge=0, le=1)
    leave: float | None = Field(None, ge=0, le=1)
    shortest: float | None = Field(None, ge=0, le=3600)
    gap: float | None = Field(None, ge=0, le=3600)


class ExplainFields(_Form):
    """Of an explanation, beside the video."""

    label: str | None = None


def parse(kind: type[Fields], given: Mapping[str, Any]) -> Fields:
    """The fields of a form but for its video; empty ones count as not given.

    Raises:
        Refused: 422, one is unknown or cannot be.
    """
    own = {name: value for name, value in given.items() if value != "" and name not in _VIDEO}
    try:
        return kind.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join((*_VIDEO, *kind.model_fields))
            raise invalid("The form has an unknown field.", f"Known: {known}.") from None
        raise invalid(f"The field {name} is wrong: {first['msg']}.") from None
