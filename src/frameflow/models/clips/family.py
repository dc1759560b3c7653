"""What all families of video models have in common, and what each says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.weights import Weights

Triple = tuple[float, float, float]
Options = dict[str, Any]

KINETICS_MEAN: Triple = (0.43216, 0.394666, 0.37645)
KINETICS_STD: Triple = (0.22803, 0.22145, 0.216989)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Variant:
    """One video model.

    Attributes:
        name: what recipes call it.
        size: side of the frames it was published with, px.
        frames: frames of the clips it was published with.
        mean, std: normalisation of the pixels.
        sides: the side of a frame must be a multiple of this.
        steps: the number of frames must be a multiple of this.
        pools: what its features can be.
        published: where its weights are: a Hugging Face repository or torchvision's name of them;
            None where there are none.
        parts: what it is made of, for its family.
    """

    name: str
    size: int
    frames: int
    mean: Triple
    std: Triple
    sides: int = 1
    steps: int = 1
    pools: tuple[str, ...] = ("own", "tokens")
    published: str | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)

    def check(self, *, size: int, frames: int, pool: str) -> None:
        """Refuse clips and pools that the model cannot have.

        Raises:
            UsageError: with what it can have.
        """
        if pool not in self.pools:
            raise UsageError(f"pool ({pool!r}) of {self.name} must be {' or '.join(self.pools)}.")
        for what, value, unit in (
            ("frames of a clip (sampling.frames)", frames, self.steps),
            ("side of the frames (streams.N.size)", size, self.sides),
        ):
            if value < 1 or value % unit:
                allowed = f"a multiple of {unit}" if unit > 1 else "> 0"
                raise UsageError(
                    f"{self.name}: {what} ({value}) must be {allowed}; "
                    f"it was published with {self.frames} frames of {self.size} px."
                )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network and where its weights are from."""

    model: nn.Module
    weights: Weights
    options: Options = field(default_factory=dict)


class Family(ABC):
    """Models of one origin: how they are made, run and filled with weights."""

    variants: ClassVar[Mapping[str, Variant]]

    @abstractmethod
    def create(self, variant: Variant, *, size: int, frames: int, options: Options) -> nn.Module:
        """The network without its classifier, of random values."""

    @abstractmethod
    def features(self, model: nn.Module, clips: Tensor, *, tokens: bool) -> Tensor:
        """``(B, T, 3, H, W)`` clips to ``(B, S, dim)``: one vector, or one for each place."""

    @abstractmethod
    def blocks(self, model: nn.Module) -> list[str]:
        """Names of the parts of the network from the input to the output."""

    @abstractmethod
    def load(
        self, variant: Variant, weights: str | Path, *, size: int, frames: int, model: nn.Module
    ) -> Loaded:
        """The network with published weights, or those of a file.

        Args:
            variant: which model.
            weights: ``auto``, ``hub``, or where the weights are.
            size: side of the frames in px.
            frames: of a clip.
            model: what `create` gave; it may be filled.

        Raises:
            UsageError: the weights cannot be had or are not those of this model.
        """


def seeded(
    family: Family, variant: Variant, *, size: int, frames: int, options: Options
) -> nn.Module:
    """The network with random values that are the same every time, in evaluation mode.

    The global random state is left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return family.create(variant, size=size, frames=frames, options=options).eval()


def shape_of(
    family: Family, variant: Variant, *, size: int, frames: int, tokens: bool, options: Options
) -> tuple[int, int]:
    """(S, dim) of its features, found without computing: nothing is held in memory.

    Raises:
        UsageError: the model cannot take such clips.
    """
    try:
        with torch.device("meta"), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model = family.create(variant, size=size, frames=frames, options=options).eval()
            clips = torch.zeros(1, frames, 3, size, size)
            _, steps, dim = family.features(model, clips, tokens=tokens).shape
    except (ValueError, AssertionError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise UsageError(
            f"{variant.name} cannot take clips of {frames} frames of {size} px: {said}. "
            f"It was published with {variant.frames} frames of {variant.size} px."
        ) from None
    return int(steps), int(dim)


def grouped(names: Sequence[str], blocks: Sequence[str]) -> list[list[str]]:
    """The parameters in the order of the blocks that hold them.

    What belongs to no block (positions, class tokens) is of the first one.
    """
    groups: list[list[str]] = [[] for _ in blocks]
    for name in names:
        holders = [i for i, block in enumerate(blocks) if f"{name}.".startswith(f"{block}.")]
        groups[holders[0] if holders else 0].append(name)
    return [group for group in groups if group]
