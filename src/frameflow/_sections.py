"""The sections of a recipe, which `frameflow.config` puts together and offers.

Each is a small table of keys; a description is what the documentation says of the key.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Strategy = Literal["uniform", "segments", "dense", "first"]
Fit = Literal["crop", "letterbox", "squash", "crops", "follow"]
StreamKind = Literal["rgb", "difference", "flow", "stack"]
Pool = Literal["own", "max", "tokens"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """An unknown key is an error; a value is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sampling(Strict):
    """Which frames of a sample make a clip."""

    strategy: Strategy = Field("uniform", description="how the frames are chosen, see Sampling")
    frames: Positive = Field(16, description="T, frames of a clip")
    stride: Positive = Field(1, description="dense, first: frames from one to the next")
    spacing: float | None = Field(
        None, gt=0, description="dense, first: seconds from one frame to the next; replaces stride"
    )


class Stream(Strict):
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
    sampling: Sampling | None = Field(
        None, description="frames of its own, in an ensemble whose members choose them differently"
    )


class Views(Strict):
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


class Unfreeze(Strict):
    """Parts of the backbones that learn, from when and at what rate."""

    parts: tuple[str, ...] = Field(
        ("*",), min_length=1, description="names of modules (layer4, blocks.6) or patterns (*)"
    )
    epoch: Count = Field(0, description="the first in which they learn, counted from 0")
    lr: float = Field(0.1, gt=0, description="times train.lr")


class Augment(Strict):
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


class Distill(Strict):
    """What is learnt from another run beside the labels."""

    teacher: str | None = Field(
        None,
        description="the folder of a run (or of its `teacher` folder, which holds what it said)",
    )
    weight: float | None = Field(
        None, ge=0, le=1, description="of its soft targets, the labels have the rest; null: 0.5"
    )
    temperature: float = Field(2.0, gt=0, description="by which both sides' logits are divided")
    features: float = Field(
        0.0, ge=0, description="weight of what its last layer reads, to be found in the own's"
    )
    views: Positive | None = Field(
        None, description="clips its soft targets are the mean of; its own views.test where null"
    )
    folds: Count = Field(
        5,
        description="frozen teachers: refits by group that speak of clips it learnt from; 0: none",
    )

    @property
    def asked(self) -> bool:
        """Whether the recipe wants a teacher."""
        return self.teacher is not None or self.weight is not None or self.features > 0

    @property
    def share(self) -> float:
        """The weight of the soft targets."""
        return 0.5 if self.weight is None else self.weight


class Train(Strict):
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
    distill: Distill = Distill()
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


class Split(Strict):
    """The shares that are cut where the manifest brings no split."""

    val: Share = Field(0.15, description="share of the samples for validation")
    test: Share = Field(0.2, description="share of the samples for the test")


class Calibrate(Strict):
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


class Evaluation(Strict):
    """How a trained run is scored."""

    topk: Positive = Field(5, description="k of top-k")
    resamples: Positive = Field(2000, description="bootstrap draws over groups")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals")
