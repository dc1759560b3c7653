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
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from frameflow._overrides import apply_override
from frameflow.errors import UsageError, listing, near_names

Strategy = Literal["uniform", "segments", "dense", "first"]
Fit = Literal["crop", "letterbox", "squash", "crops", "follow"]
StreamKind = Literal["rgb", "difference", "flow", "stack"]
Pool = Literal["own", "max", "tokens"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


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
    around mid grey. ``stack`` shows this frame, the one ``gap`` later and the one twice ``gap``
    later, each in grey, as red, green and blue. ``flow`` shows the optical flow to the frame
    ``gap`` later with the camera's own motion removed: right and down as red and green around mid
    grey, ``gain`` times 8 levels a pixel, and its speed as blue.
    """

    kind: StreamKind = Field("rgb", description="the frames, or how they change")
    backbone: str = Field(
        "tf_efficientnet_lite0",
        description="an image model of timm, or a video model",
    )
    weights: str = Field("auto", description="auto, none, hub, or a .safetensors or .pth file")
    size: Positive | None = Field(None, description="side in px; the backbone's own where null")
    grid: Annotated[int, Field(ge=1, le=7)] = Field(
        1, description="1: the backbone's pooled features; g: its last stage over g x g parts"
    )
    pool: Pool = Field(
        "own",
        description="the backbone's own pooling; the maximum over its last stage; "
        "every place of it (video models: the tokens that an attentive probe reads)",
    )
    shift: Count = Field(
        0, description="temporal shift: one of so many channels moves a frame each way (TSM: 8)"
    )
    cut: str | None = Field(
        None, description="the layer whose activations are stored; what follows it can learn"
    )
    fit: Fit = Field(
        "crop",
        description="centre square; whole frame with bars; whole frame distorted; several squares; "
        "a square that follows what moves",
    )
    crops: Positive = Field(3, description="fit: crops: how many along the long side")
    follow: float = Field(
        0.8, gt=0, le=1, description="fit: follow: side of the square, share of the short side"
    )
    pace: Positive = Field(1, description="dense, first: times the stride, for a slower look")
    gap: Positive = Field(1, description="difference, stack, flow: frames from one to the next")
    gain: float = Field(1.0, gt=0, description="difference, flow: factor")


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


class Unfreeze(_Strict):
    """Parts of the backbones that learn, from when and at what rate."""

    parts: tuple[str, ...] = Field(
        ("*",), min_length=1, description="names of modules (layer4, blocks.6) or patterns (*)"
    )
    epoch: Count = Field(0, description="the first in which they learn, counted from 0")
    lr: float = Field(0.1, gt=0, description="times train.lr")


class Augment(_Strict):
    """Changes to training clips, one draw for all frames of a clip."""

    crop: float | None = Field(
        None, gt=0, le=1, description="random resized crop: the least share of the area it keeps"
    )
    flip: bool = Field(False, description="mirror half of the clips, see mirror")
    mirror: tuple[tuple[str, str], ...] = Field(
        (), description="pairs of labels that a mirror turns into each other"
    )
    colour: float = Field(0.0, ge=0, le=1, description="strength of brightness, contrast, hue")
    randaugment: Count = Field(0, description="RandAugment: operations per clip")
    magnitude: float = Field(9.0, ge=0, le=10, description="RandAugment: their strength")
    erase: Probability = Field(0.0, description="of a random rectangle erased in all frames")
    low_light: Probability = Field(0.0, description="of a darkened, noisy clip")
    blur: Probability = Field(0.0, description="of motion blur")
    mixup: float = Field(0.0, ge=0, description="alpha of mixup between clips")
    cutmix: float = Field(0.0, ge=0, description="alpha of cutmix between clips")


class Train(_Strict):
    """How the recognizer learns."""

    solver: Literal["epochs", "nearest-mean", "ridge", "logistic"] = Field(
        "epochs", description="or a linear classifier of stored features found at once"
    )
    penalty: float = Field(0.1, gt=0, description="solver: ridge, logistic: of large weights")
    epochs: Positive = Field(60, description="the most there are")
    batch_size: Positive = Field(64, description="samples a step")
    accumulate: Positive = Field(1, description="steps whose gradients are added before an update")
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="learning rate after warm-up")
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Literal["cosine", "constant", "plateau"] = Field(
        "cosine", description="of the rate; plateau: a tenth after plateau epochs without progress"
    )
    plateau: Positive = Field(3, description="schedule: plateau: epochs waited")
    warmup_epochs: float = Field(3.0, ge=0, description="epochs in which the rate rises")
    rounds: tuple[float, ...] = Field(
        (1.0,),
        min_length=1,
        description="factors on lr, one round of epochs each, from the best of the one before",
    )
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    focal: float = Field(2.0, ge=0, description="loss: focal: gamma")
    label_smoothing: Share = Field(0.1, description="of the training targets")
    clip_grad: float | None = Field(None, gt=0, description="largest norm of the gradient")
    balance: Literal["none", "weights", "effective", "oversample"] = Field(
        "none", description="of unequal classes: weighed by (effective) number, or drawn oftener"
    )
    learn: tuple[Unfreeze, ...] = Field((), description="parts of the backbones that learn")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor on the rate for each layer further from the output"
    )
    norm: Literal["fixed", "learn"] = Field(
        "fixed", description="batch-norm statistics of the backbones"
    )
    precision: Precision = Field(
        "auto",
        description="of learning backbones; auto: bfloat16 where the processor computes it",
    )
    compile: bool = Field(False, description="torch.compile: pays on GPUs and long trainings")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the moving average of the weights that is kept"
    )
    patience: Positive | None = Field(15, description="epochs without a better validation loss")
    cache: Literal["auto", "on", "off"] = Field(
        "auto", description="decoded frames kept on disk, where backbones learn from videos"
    )
    workers: Count | None = Field(None, description="threads that read videos; by cores where null")
    seed: int = Field(0, description="of the weights, the order, dropout, and a split made here")

    @field_validator("cache", mode="before")
    @classmethod
    def _yaml_reads_on_and_off_as_booleans(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class Split(_Strict):
    """The shares that are cut where the manifest brings no split."""

    val: Share = Field(0.15, description="share of the samples for validation")
    test: Share = Field(0.2, description="share of the samples for the test")


class Calibrate(_Strict):
    """How probabilities are calibrated, and when the model had better not answer."""

    method: Literal["auto", "none", "temperature", "vector"] = Field(
        "auto", description="one temperature, a scale and bias a class, or what held-out clips ask"
    )
    folds: Count = Field(
        5, description="inner folds by group, where a frozen recipe has no validation; 0: then none"
    )
    alpha: float = Field(0.1, gt=0, lt=1, description="error rate of the prediction sets")
    answered: float = Field(0.95, gt=0, lt=1, description="share of known clips to answer")
    abstain_error: float | None = Field(
        None, gt=0, lt=1, description="instead: the share of errors among the answered"
    )


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
