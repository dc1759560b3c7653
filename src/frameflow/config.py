"""The recipe: one YAML file that says every choice of a run.

`load_recipe` reads a recipe by name (from `frameflow/recipes/`) or from a file, applies
``key.path=value`` overrides and checks everything: an unknown key is an error that names its
neighbours, never ignored.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from frameflow.errors import UsageError, listing, near_names

Strategy = Literal["uniform", "segments", "dense", "first"]
Fit = Literal["crop", "letterbox", "squash", "crops"]
StreamKind = Literal["rgb", "difference"]

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sampling(_Strict):
    """Which frames of a sample make a clip."""

    strategy: Strategy = Field("uniform", description="how the frames are chosen, see Sampling")
    frames: Positive = Field(16, description="T, frames of a clip")
    stride: Positive = Field(1, description="dense, first: frames from one to the next")
    spacing: float | None = Field(
        None, gt=0, description="dense, first: seconds from one frame to the next; replaces stride"
    )


class Stream(_Strict):
    """What one backbone looks at.

    ``difference`` shows the backbone the frame ``gap`` later minus this one, times ``gain``,
    around mid grey.
    """

    kind: StreamKind = Field("rgb", description="the frames, or the differences between them")
    backbone: str = Field("tf_efficientnet_lite0", description="an image model of timm")
    weights: str = Field("auto", description="auto, none, hub, or a .safetensors or .pth file")
    size: Positive | None = Field(None, description="side in px; the backbone's own where null")
    grid: Annotated[int, Field(ge=1, le=7)] = Field(
        1, description="1: the backbone's pooled features; g: its last stage over g x g parts"
    )
    fit: Fit = Field(
        "crop",
        description="centre square; whole frame with bars; whole frame distorted; several squares",
    )
    crops: Positive = Field(3, description="fit: crops: how many along the long side")
    gap: Positive = Field(1, description="difference: frames between the two")
    gain: float = Field(1.0, gt=0, description="difference: factor on the difference")


class Views(_Strict):
    """Several clips of one sample."""

    train: Positive = Field(1, description="clips stored per training sample, one drawn an epoch")
    test: Positive = Field(1, description="clips whose probabilities are averaged at test time")
    flip: bool = Field(False, description="store mirrored clips too, as training augmentation")


class Head(BaseModel):
    """Temporal aggregation and classifier. Further keys are the options of the named head."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field("statistics", description="see Heads")

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Train(_Strict):
    """How the head learns."""

    epochs: Positive = Field(60, description="the most there are")
    batch_size: Positive = Field(64, description="samples a step")
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="learning rate after warm-up")
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Literal["cosine", "constant"] = Field("cosine", description="of the rate")
    warmup_epochs: float = Field(3.0, ge=0, description="epochs in which the rate rises")
    label_smoothing: Share = Field(0.1, description="of the training targets")
    clip_grad: float | None = Field(None, gt=0, description="largest norm of the gradient")
    balance: Literal["none", "weights", "oversample"] = Field(
        "none", description="of unequal classes: weights in the loss, or rare ones drawn more often"
    )
    patience: Positive | None = Field(15, description="epochs without a better validation loss")
    seed: int = Field(0, description="of the weights, the order, dropout, and a split made here")


class Split(_Strict):
    """The shares that are cut where the manifest brings no split."""

    val: Share = Field(0.15, description="share of the samples for validation")
    test: Share = Field(0.2, description="share of the samples for the test")


class Evaluation(_Strict):
    """How a trained run is scored."""

    topk: Positive = Field(5, description="k of top-k")
    resamples: Positive = Field(2000, description="bootstrap draws over groups")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")


class Recipe(_Strict):
    """Every choice of a run."""

    name: str = Field("custom", description="names the run")
    description: str = Field("", description="what it is, in a line")
    sampling: Sampling = Sampling()
    streams: tuple[Stream, ...] = Field((Stream(),), min_length=1)
    views: Views = Views()
    head: Head = Head()
    train: Train = Train()
    split: Split = Split()
    evaluation: Evaluation = Evaluation()
    max_bad: Share = Field(0.1, description="the share of unreadable videos at which to stop")

    @model_validator(mode="after")
    def _splits_leave_training(self) -> "Recipe":
        if self.split.val + self.split.test >= 1:
            raise ValueError(
                f"split.val ({self.split.val}) + split.test ({self.split.test}) must be < 1"
            )
        return self


def recipe_names() -> list[str]:
    """The names of the recipes that come with the package, sorted."""
    folder = resources.files("frameflow.recipes")
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """The YAML of a recipe that comes with the package.

    Raises:
        UsageError: no recipe has this name.
    """
    names = recipe_names()
    if name not in names:
        raise UsageError(
            f"No recipe is named {name!r}.{near_names(name, names)} "
            f"`frameflow recipes` lists them; a file needs its ending .yaml."
        )
    return (resources.files("frameflow.recipes") / f"{name}.yaml").read_text(encoding="utf-8")


def load_recipe(source: str | Path | Recipe = "default", overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and check a recipe.

    Args:
        source: a name, a path ending in ``.yaml`` or ``.yml``, or a recipe.
        overrides: ``"train.lr=0.001"`` and the like; the value is read as YAML. Another
            ``head.name`` drops the options of the recipe's head.

    Raises:
        UsageError: unknown name, unreadable file, unknown key or value out of range.

    Example:
        >>> load_recipe("default", ["train.epochs=3"]).train.epochs
        3
    """
    if isinstance(source, Recipe):
        values: Any = source.model_dump(mode="json")
        origin = f"recipe {source.name!r}"
    else:
        text, origin = _read(source)
        try:
            values = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise UsageError(
                f"{origin} is not valid YAML: {' '.join(str(error).split())}"
            ) from None
        if not isinstance(values, dict):
            raise UsageError(
                f"{origin} must hold `key: value` lines, not a {type(values).__name__}."
            )
    recipe = _checked(values, origin)
    if not overrides:
        return recipe
    values = recipe.model_dump(mode="json")  # complete, so that every key has a place to override
    # A head's name first: it clears the options of the head before.
    for override in sorted(overrides, key=lambda text: not text.startswith("head.name=")):
        _apply(values, override)
    return _checked(values, origin)


def dump_recipe(recipe: Recipe) -> str:
    """The complete recipe as YAML: a run can be repeated from it alone."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _checked(values: dict[str, Any], origin: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error, origin)) from None


def _read(source: str | Path) -> tuple[str, str]:
    if Path(source).suffix not in {".yaml", ".yml"}:
        return recipe_text(str(source)), f"recipe {str(source)!r}"
    try:
        return Path(source).read_text(encoding="utf-8"), str(source)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The recipe {source} cannot be read: {error}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {override!r} must read key=value, for instance train.lr=0.001.")
    *parents, last = key.strip().split(".")
    node: Any = values
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = yaml.safe_load(text)
        elif parents == ["head"] and last == "name":
            # The options are those of the head that goes; the new one starts from its own.
            if node.get("name") != text.strip():
                node.clear()
            node["name"] = text.strip()
        else:
            node[last] = _scalar(text)
    except (IndexError, ValueError, TypeError, AttributeError):
        raise UsageError(f"--set {override!r}: the recipe has no place {key.strip()!r}.") from None


def _scalar(text: str) -> Any:
    """YAML reads ``1e-3`` as a string; people mean the number."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(error: ValidationError, origin: str) -> str:
    faults = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            allowed = _fields_at(fault["loc"][:-1])
            hint = (
                near_names(str(fault["loc"][-1]), allowed) or f" Known here: {', '.join(allowed)}."
            )
            faults.append(f"unknown key {where!r}.{hint}")
        else:
            said = fault["msg"].removeprefix("Value error, ")
            given = "" if isinstance(fault["input"], dict) else f" ({fault['input']!r})"
            faults.append(f"{where}{given}: {said}" if where else said)
    return f"{origin}: {listing(faults, most=4)}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Recipe
    for part in location:
        if isinstance(part, int):
            continue
        model = model.model_fields[part].annotation
        if getattr(model, "__args__", None):
            model = model.__args__[0]
    return list(model.model_fields)
