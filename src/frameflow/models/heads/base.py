"""What all heads share: checked options, hidden frames, standardised features."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError, near_names

Batches = Iterable[tuple[Tensor, Tensor]]


class Standardise(nn.Module):
    """Zero mean and unit deviation in each dimension, by statistics fitted once.

    The buffers are those of the identity until `fit` is called.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit to ``(n, dim)`` batches in one pass."""
        moments = Moments()
        for batch in batches:
            moments.add(batch)
        self.set(moments)

    @torch.no_grad()
    def set(self, moments: "Moments") -> None:
        """Take the mean and deviation of what was added to ``moments``, where anything was.

        Dimensions that hardly vary beside the others are not blown up: their noise would drown
        them out.
        """
        if moments.count == 0:
            return
        deviation = moments.deviation
        floor = 0.01 * deviation.mean()
        self.mean.copy_(moments.mean)
        self.scale.copy_(torch.where(deviation > 0, 1 / deviation.clamp(min=floor), 1.0))


class StandardiseBlocks(Standardise):
    """Blocks of dimensions brought to zero mean and to given sizes, each with one scale.

    Within a block dimensions keep their sizes relative to each other, so the many that hardly
    vary stay quiet. The mean squared length of a whole row becomes the sum of ``weights``.

    Args:
        blocks: ``(dim,)`` int64, the number of each dimension's block.
        weights: of each block, its mean squared length.
    """

    blocks: Tensor
    weights: Tensor

    def __init__(self, blocks: Tensor, weights: Tensor) -> None:
        super().__init__(len(blocks))
        self.register_buffer("blocks", blocks, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    @torch.no_grad()
    def set(self, moments: "Moments") -> None:
        if moments.count == 0:
            return
        variance = moments.deviation.square()
        total = torch.zeros(len(self.weights), dtype=variance.dtype, device=variance.device)
        total.index_add_(0, self.blocks, variance)
        scale = torch.where(total > 0, (self.weights / total.clamp(min=1e-30)).sqrt(), 0.0)
        self.mean.copy_(moments.mean)
        self.scale.copy_(scale[self.blocks])


class Moments:
    """Mean and deviation of rows that come in batches, in double precision.

    Means and squares are merged as in Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979.

    Attributes:
        count: how many rows there were.
        mean: ``(dim,)``.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0)
        self._squares = torch.zeros(0)

    @property
    def deviation(self) -> Tensor:
        """``(dim,)``, of the population."""
        return (self._squares / self.count).sqrt()

    @torch.no_grad()
    def add(self, batch: Tensor) -> None:
        """Take in ``(n, dim)`` rows."""
        rows = batch.shape[0]
        if rows == 0:
            return
        variance, center = torch.var_mean(batch.float(), dim=0, correction=0)
        variance, center = variance.double(), center.double()
        if self.count == 0:
            self.mean, self._squares = torch.zeros_like(center), torch.zeros_like(center)
        shift = center - self.mean
        total = self.count + rows
        self.mean += shift * (rows / total)
        self._squares += variance * rows + shift.square() * (self.count * rows / total)
        self.count = total


class Head(nn.Module):
    """Temporal aggregation and classifier over the features of a clip.

    A subclass defines ``classify`` over features whose hidden frames are zero, and names its
    paper. Its constructor's keyword-only arguments are the options a recipe may set.

    Args:
        dim: D, the length of one frame's features.
        frames: T, the number of frames per clip it is trained on.
        classes: K, the number of labels.
        standardise: bring each dimension of the features to zero mean and unit deviation, by
            statistics of the training features that `prepare` fits.
        centre: subtract a clip's mean over its visible frames first, so that only what changes
            within the clip is left: the scene and the person are taken out.

    Attributes:
        name: what recipes call it.
        arguments: everything needed to build it again with `build_head`.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    any_length: ClassVar[bool] = True  # takes clips of another length than `frames`
    # What is learnt sees one fixed vector per clip, `summary`, which training computes once.
    summarises: ClassVar[bool] = False
    arguments: dict[str, Any]

    def __init__(
        self,
        *,
        dim: int,
        frames: int,
        classes: int,
        standardise: bool = True,
        centre: bool = False,
    ) -> None:
        super().__init__()
        for what, value in (("dim", dim), ("frames", frames), ("classes", classes)):
            self._whole(what, value)
        self._flag("standardise", standardise)
        self._flag("centre", centre)
        self.centre = centre
        self.dim, self.frames, self.classes = dim, frames, classes
        self.standardise = self.make_standardise() if standardise else None

    @property
    def told(self) -> dict[str, Any]:
        """The options it was built with, as reports show them."""
        shape = ("dim", "dims", "frames", "classes")
        return {name: value for name, value in self.arguments.items() if name not in shape}

    def make_standardise(self) -> Standardise:
        """The fitted standardisation: of frames here, of what is made of them in some heads."""
        return Standardise(self.dim)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Score the classes.

        Args:
            features: ``(B, T, D)`` float.
            mask: ``(B, T)`` bool, False for frames that are padding. What these hold changes
                nothing, not even where it is not a number.

        Returns:
            ``(B, K)`` logits. A clip without any visible frame counts as all zeros.

        Raises:
            UsageError: features or mask of another shape.
        """
        self._check(features, mask)
        features = self.centred(hide(features, mask), mask)
        mask = mask | ~mask.any(dim=1, keepdim=True)
        return self.classify(self.standardised(features, mask), mask)

    def centred(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, D)``, zero where hidden, less each clip's mean if ``centre``."""
        if not self.centre:
            return features
        mean = features.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return hide(features - mean.unsqueeze(1), mask)

    def standardised(self, features: Tensor, mask: Tensor) -> Tensor:
        if self.standardise is None:
            return features
        return hide(self.standardise(features), mask)

    def classify(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, D)`` features, zero where hidden, and a mask with a True per row, to logits."""
        return self.decide(self.summarise(features, mask))

    def attention_weights(self, features: Tensor, mask: Tensor) -> Tensor | None:
        """How much the head looks at each frame.

        Args:
            features: as `forward` takes them.
            mask: the same.

        Returns:
            ``(B, T)``, at least 0 and together 1 over a clip's visible frames, 0 in hidden ones;
            None where the head has no attention.
        """
        self._check(features, mask)
        seen = mask | ~mask.any(dim=1, keepdim=True)
        features = self.centred(hide(features, mask), mask)
        found = self.attend(self.standardised(features, seen), seen)
        return None if found is None else found.masked_fill(~mask, 0.0)

    def attend(self, features: Tensor, mask: Tensor) -> Tensor | None:  # noqa: ARG002
        """As ``classify``, but ``(B, T)`` weights over time; None where there are none."""
        return None

    def summary(self, features: Tensor, mask: Tensor) -> Tensor:
        """What a head that ``summarises`` makes of a clip without learning, ``(B, S)``.

        ``decide`` of it is the same as calling the head.
        """
        features = self.centred(hide(features, mask), mask)
        mask = mask | ~mask.any(dim=1, keepdim=True)
        return self.summarise(self.standardised(features, mask), mask)

    def summarise(self, features: Tensor, mask: Tensor) -> Tensor:
        """As ``classify``, up to where learning begins; ``(B, S)``."""
        raise NotImplementedError

    def decide(self, summary: Tensor) -> Tensor:
        """``(B, S)`` summaries to ``(B, K)`` logits: all that is learnt."""
        raise NotImplementedError

    def prepare(self, batches: Batches) -> None:
        """Fit the fixed standardisation to the training features, in one pass over batches.

        Args:
            batches: pairs of ``(B, T, D)`` features and ``(B, T)`` mask.
        """
        if self.standardise is not None:
            self.standardise.fit(self.rows(features, mask) for features, mask in batches)

    def rows(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(n, S)``: what the standardisation is fitted to."""
        return self.centred(hide(features, mask), mask)[mask]

    def _check(self, features: Tensor, mask: Tensor) -> None:
        if features.ndim != 3 or features.shape[2] != self.dim:
            raise UsageError(
                f"The {self.name} head takes features (batch, frames, {self.dim}), "
                f"not {tuple(features.shape)}."
            )
        if mask.shape != features.shape[:2] or mask.dtype != torch.bool:
            raise UsageError(
                f"The mask must be bool of shape {tuple(features.shape[:2])}, "
                f"not {mask.dtype} of shape {tuple(mask.shape)}."
            )
        if not self.any_length and features.shape[1] != self.frames:
            raise UsageError(
                f"The {self.name} head was made for clips of {self.frames} frames, "
                f"not {features.shape[1]}."
            )

    @classmethod
    def known_options(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG003
        """The options it knows with their defaults; ``arguments`` are those it is built with."""
        return options_of(cls)

    @classmethod
    def _whole(cls, what: str, value: object, *, least: int = 1, most: float = math.inf) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not least <= value <= most:  # type: ignore[operator]
            allowed = f"{least} to {most:g}" if most < math.inf else f"{least} or more"
            raise UsageError(
                f"{what} ({value!r}) of the {cls.name} head must be a whole number, {allowed}."
            )

    @classmethod
    def _share(cls, what: str, value: object) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < 1:  # type: ignore[operator]
            raise UsageError(
                f"{what} ({value!r}) of the {cls.name} head must be a number, 0 or more and < 1."
            )

    @classmethod
    def _weights(cls, what: str, value: object, *, count: int) -> None:
        numbers = isinstance(value, list | tuple) and all(
            isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n < math.inf
            for n in value
        )
        if not numbers or len(value) != count or not any(value):  # type: ignore[arg-type]
            raise UsageError(
                f"{what} ({value!r}) of the {cls.name} head must be {count} numbers, "
                f"0 or more and not all 0."
            )

    @classmethod
    def _flag(cls, what: str, value: object) -> None:
        if not isinstance(value, bool):
            raise UsageError(f"{what} ({value!r}) of the {cls.name} head must be true or false.")


def options_of(head: type[Head]) -> dict[str, Any]:
    """The options a recipe may set for a head, with their defaults."""
    own: dict[str, Any] = {}
    for kind in head.__mro__[: head.__mro__.index(Head) + 1]:
        for name, parameter in inspect.signature(kind).parameters.items():
            if (
                parameter.kind is parameter.KEYWORD_ONLY
                and parameter.default is not parameter.empty
            ):
                own.setdefault(name, parameter.default)
    return own


def construct(head: type[Head], arguments: dict[str, Any]) -> Head:
    """Build a head after checking that it knows every option."""
    known = head.known_options(arguments)
    for option in arguments:
        if option not in known and option not in {"dim", "frames", "classes"}:
            near = near_names(option, known) or f" It knows {', '.join(known)}."
            raise UsageError(f"The {head.name} head has no option {option!r}.{near}")
    built = head(**arguments)
    built.arguments = {**known, **arguments}
    return built


def hide(features: Tensor, mask: Tensor) -> Tensor:
    """Zero where the mask is False, whatever was there."""
    return features.masked_fill(~mask.unsqueeze(-1), 0.0)


def mean_over(features: Tensor, mask: Tensor) -> Tensor:
    """``(B, T, D)``, zero where hidden, to the mean of the visible frames, ``(B, D)``."""
    return features.sum(dim=1) / mask.sum(dim=1, keepdim=True)


def max_over(features: Tensor, mask: Tensor) -> Tensor:
    """``(B, T, D)`` to the largest value of the visible frames, ``(B, D)``."""
    lowest = torch.finfo(features.dtype).min
    return features.masked_fill(~mask.unsqueeze(-1), lowest).amax(dim=1)


def logsumexp(x: Tensor, dim: int) -> Tensor:
    """As PyTorch's; in an export in single steps, as OpenVINO 2026.4 sums over all axes."""
    if not torch.onnx.is_in_onnx_export():
        return x.logsumexp(dim=dim)
    top = x.amax(dim=dim, keepdim=True)
    return (x - top).exp().sum(dim=dim).log() + top.squeeze(dim)


def visible_first(features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Visible frames moved to the front in their order, and how many there are, ``(B,)``.

    ::

        frames   a - b c -        a b c - -
        mask     1 0 1 1 0   ->   count 3
    """
    position = torch.arange(mask.shape[1], device=mask.device)
    order = torch.where(mask, position, position + mask.shape[1]).argsort(dim=1)
    return take(features, order), mask.sum(dim=1)


def take(features: Tensor, order: Tensor) -> Tensor:
    """``out[b, t] = features[b, order[b, t]]``."""
    return features.gather(1, order.unsqueeze(-1).expand(-1, -1, features.shape[2]))


def zeroed(layer: nn.Linear) -> nn.Linear:
    """A linear classifier that starts undecided: every class equally likely."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
