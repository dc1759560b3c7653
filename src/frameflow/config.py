"""The recipe: one YAML file that says every choice of a run.

`load_recipe` reads a recipe by name (from `frameflow/recipes/`) or from a file, applies
``key.path=value`` overrides and checks everything: an unknown key is an error that names its
neighbours, never ignored.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from frameflow._overrides import apply_override
from frameflow._sections import (
    Augment,
    Calibrate,
    Distill,
    Evaluation,
    Fit,
    Head,
    Pool,
    Precision,
    Sampling,
    Share,
    Split,
    Strategy,
    Stream,
    StreamKind,
    Strict,
    Train,
    Unfreeze,
    Views,
)
from frameflow.errors import UsageError, listing, near_names

__all__ = [
    "Augment",
    "Calibrate",
    "Distill",
    "Evaluation",
    "Fit",
    "Head",
    "Pool",
    "Precision",
    "Recipe",
    "Sampling",
    "Split",
    "Strategy",
    "Stream",
    "StreamKind",
    "Train",
    "Unfreeze",
    "Views",
    "dump_recipe",
    "load_recipe",
    "recipe_names",
    "recipe_text",
]


class Recipe(Strict):
    """Every choice of a run."""

    name: str = Field("custom", description="names the run")
    description: str = Field("", description="what it is, in a line")
    sampling: Sampling = Sampling()
    streams: tuple[Stream, ...] = Field((Stream(),), min_length=1)
    views: Views = Views()
    head: Head = Head()
    multilabel: bool = Field(False, description="several labels a clip, joined by |; sigmoid")
    augment: Augment = Augment()
    train: Train = Train()
    split: Split = Split()
    calibration: Calibrate = Calibrate()
    evaluation: Evaluation = Evaluation()
    max_bad: Share = Field(0.1, description="the share of unreadable videos at which to stop")

    @property
    def way(self) -> Literal["frozen", "cut", "end-to-end"]:
        """How the backbones are used.

        ``frozen``: their features are stored. ``cut``: the activations of a layer are stored, and
        what follows it learns. ``end-to-end``: they learn from videos.
        """
        if not self.train.learn:
            return "frozen"
        return "cut" if any(stream.cut for stream in self.streams) else "end-to-end"

    @model_validator(mode="after")
    def _splits_leave_training(self) -> "Recipe":
        if self.split.val + self.split.test >= 1:
            raise ValueError(
                f"split.val ({self.split.val}) + split.test ({self.split.test}) must be < 1"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "Recipe":
        if self.train.solver != "epochs" and self.train.learn:
            raise ValueError(f"train.solver {self.train.solver} is for frozen backbones")
        if self.train.solver != "epochs" and self.train.distill.asked:
            raise ValueError(
                f"train.solver {self.train.solver} learns from labels alone: "
                "a teacher (train.distill) needs train.solver: epochs"
            )
        if any(stream.cut for stream in self.streams) and not self.train.learn:
            raise ValueError(
                "a stream has a cut, but nothing learns: name the parts in train.learn, "
                "for instance [{parts: ['*']}]"
            )
        if self.way != "end-to-end" and self.augment != Augment():
            raise ValueError(
                f"augment needs backbones that learn from videos; here they are {self.way}: "
                "set train.learn, or store several views (views.train, views.flip)"
            )
        own = [stream.sampling for stream in self.streams if stream.sampling is not None]
        if own and (self.head.name != "ensemble" or len(own) < len(self.streams)):
            raise ValueError(
                "a stream's own sampling is for the members of an ensemble, then of all streams: "
                "set sampling"
            )
        if own:
            return self  # each member was checked with its sampling
        paces = [stream.pace for stream in self.streams if stream.pace > 1]
        if paces and self.sampling.strategy not in ("dense", "first"):
            raise ValueError("pace needs sampling.strategy dense or first")
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
        apply_override(values, override)
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
