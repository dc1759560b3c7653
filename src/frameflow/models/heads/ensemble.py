"""Heads of several trained recognizers, whose probabilities are averaged."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import Head, logsumexp, options_of

_SUM = 1e-6  # weights add up to 1 but for this


class EnsembleHead(Head):
    """The weighted mean of what the heads of several recognizers say, each of its own streams.

    The logits are the logarithm of the mean (in multi-label its log odds), so their softmax (or
    sigmoid) is that mean. It is put together of trained heads, never trained.

    Args:
        dim: D, the length of a frame's features, those of all streams one after the other.
        frames: S, features of a clip: of the member with the most.
        classes: K.
        dims: the length of each stream's features.
        members: for each member its ``name``; ``head`` and ``arguments`` for `build_head`; the
            places of its ``streams``; for each of the K labels the place among its own
            ``labels``; ``steps``, how many features its clips have.
        weights: of the members, at least 0, together 1.
        independent: several labels may hold at once, so probabilities are those of a sigmoid.
        apart: the members choose frames differently. Each stream's features then begin at the
            first step, and are not a number where there is none or it does not count.

    Raises:
        UsageError: there is no member, or weights and members do not fit together.
    """

    name: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "Hansen and Salamon, Neural network ensembles, TPAMI 1990"
    log_weights: Tensor

    def __init__(
        self,
        *,
        dim: int,
        frames: int,
        classes: int,
        dims: Sequence[int] = (),
        members: Sequence[Mapping[str, Any]] = (),
        weights: Sequence[float] = (),
        independent: bool = False,
        apart: bool = False,
    ) -> None:
        super().__init__(dim=dim, frames=frames, classes=classes, standardise=False)
        self._check_members(members, weights)
        self.independent, self.apart = independent, apart
        self.members = [dict(member) for member in members]
        self.heads = nn.ModuleList(_built(member) for member in members)
        free = not apart and all(head.any_length for head in self._each())
        self.any_length = free  # type: ignore[misc]
        begins = [sum(dims[:i]) for i in range(len(dims))]
        self._places = [
            [(begins[i], begins[i] + dims[i]) for i in member["streams"]] for member in members
        ]
        shares = torch.tensor([float(weight) for weight in weights], dtype=torch.float64)
        self.register_buffer("log_weights", (shares / shares.sum()).log().float())
        for number, member in enumerate(members):
            order = torch.tensor(member["labels"], dtype=torch.int64)
            self.register_buffer(f"order_{number}", order, persistent=False)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        self._check(features, mask)
        said = torch.stack(
            [self._said(number, features, mask) for number in range(len(self.heads))]
        )  # (M, B, K)
        weights = self.log_weights.view(-1, 1, 1).to(said.dtype)
        if not self.independent:
            return logsumexp(weights + said.log_softmax(dim=-1), 0)
        sigmoid = nn.functional.logsigmoid
        yes, no = (logsumexp(weights + sigmoid(sign * said), 0) for sign in (1.0, -1.0))
        return yes - no

    def member_logits(self, number: int, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, K)`` logits of one member alone; the arguments are those of `forward`."""
        self._check(features, mask)
        return self._said(number, features, mask)

    @property
    def weights(self) -> list[float]:
        """Of the members."""
        return [float(weight) for weight in self.log_weights.double().exp()]

    @property
    def told(self) -> dict[str, Any]:
        shares = zip(self.members, self.weights)
        return {"members": ", ".join(f"{m['name']} {weight:.2f}" for m, weight in shares)}

    def _said(self, number: int, features: Tensor, mask: Tensor) -> Tensor:
        parts = [features[..., begin:end] for begin, end in self._places[number]]
        own = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        if self.apart:
            own = own[:, : self.members[number]["steps"]]
            # What is no number is hidden by the head.
            mask = mask[:, : own.shape[1]] & ~own.isnan().any(dim=-1)
        logits = self.heads[number](own, mask)
        return logits[:, cast(Tensor, getattr(self, f"order_{number}"))]

    def _each(self) -> list[Head]:
        return [cast(Head, head) for head in self.heads]

    @classmethod
    def known_options(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        shared = options_of(Head)
        known = super().known_options(arguments)
        return {name: value for name, value in known.items() if name not in shared}

    @classmethod
    def _check_members(cls, members: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> None:
        if not members or not all(isinstance(member, Mapping) for member in members):
            raise UsageError(
                "An ensemble is not trained: `frameflow ensemble RUN RUN -o OUT` puts trained "
                "runs together. Take another head.name."
            )
        cls._weights("weights", list(weights), count=len(members))
        if abs(sum(weights) - 1) > _SUM:
            raise UsageError(f"weights ({list(weights)}) of the {cls.name} head must add up to 1.")


def _built(member: Mapping[str, Any]) -> Head:
    from frameflow.models.heads import build_head

    return build_head(member["head"], **member["arguments"]).eval()
