"""A head for each stream, whose probabilities are averaged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads.base import (
    Batches,
    Head,
    Moments,
    construct,
    hide,
    logsumexp,
    options_of,
)

_STEPS = 2000


class LateFusionHead(Head):
    """Each stream decides on its own, then the weighted mean of their probabilities is taken.

    In training mode the logits are ``(B, S, K)``, one row for each of the S streams, each of
    which learns as if it were alone. In evaluation mode they are ``(B, K)``, the logarithm of
    the weighted mean of the streams' probabilities, so their softmax is that mean.

    Args:
        of: the head that each stream gets; further options are that head's.
        weights: ``equal``, or ``validation`` for those that `fit_weights` finds.
        independent: several labels may hold at once, so probabilities are those of a sigmoid.
        dims: the length of each stream's features, which lie end to end in D; one where None.
        **options: ``dim``, ``frames``, ``classes``, and the options of ``of``.

    Attributes:
        weights: ``(S,)``, at least 0, together 1; saved with the head.
    """

    name: ClassVar[str] = "late-fusion"
    paper: ClassVar[str] = "Simonyan and Zisserman, Two-stream convolutional networks, NeurIPS 2014"
    weights: Tensor

    def __init__(
        self,
        *,
        of: str = "statistics",
        weights: str = "equal",
        independent: bool = False,
        dims: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        shape = {key: options.pop(key) for key in ("dim", "frames", "classes")}
        super().__init__(**shape, standardise=False)
        if weights not in ("equal", "validation"):
            raise UsageError(
                f"weights ({weights!r}) of the {self.name} head must be equal or validation."
            )
        self._flag("independent", independent)
        self.dims = [self.dim] if dims is None else [int(dim) for dim in dims]
        if sum(self.dims) != self.dim:
            raise UsageError(
                f"dims ({self.dims}) of the {self.name} head must add up to dim ({self.dim})."
            )
        self.weighted_by = weights
        self.independent = independent
        kind = _inner(of)
        if "independent" in kind.known_options({}):
            options["independent"] = independent
        self.heads = nn.ModuleList(
            construct(kind, shape | options | {"dim": dim}) for dim in self.dims
        )
        self.any_length = kind.any_length  # type: ignore[misc]
        self.register_buffer("weights", torch.full((len(self.dims),), 1 / len(self.dims)))

    @classmethod
    def known_options(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        defaults = options_of(cls)
        own = {key: defaults[key] for key in ("of", "weights", "independent", "dims")}
        return _inner(str(arguments.get("of", own["of"]))).known_options(arguments) | own

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, D)`` features and ``(B, T)`` mask to logits, see the class for their shape."""
        logits = self.per_stream(features, mask)
        return logits if self.training else self.fused(logits)

    def per_stream(self, features: Tensor, mask: Tensor) -> Tensor:
        """``(B, S, K)`` logits of the streams, in training and evaluation mode alike."""
        self._check(features, mask)
        parts = features.split(self.dims, dim=2)
        return torch.stack([head(part, mask) for head, part in zip(self._heads(), parts)], dim=1)

    def attention_weights(self, features: Tensor, mask: Tensor) -> Tensor | None:
        """The weighted mean of the streams' weights over time; None where they have none."""
        self._check(features, mask)
        parts = zip(self._heads(), features.split(self.dims, dim=2))
        found = [head.attention_weights(part, mask) for head, part in parts]
        known = [weights for weights in found if weights is not None]
        if len(known) < len(found):
            return None
        return torch.einsum("s,sbt->bt", self.weights.to(known[0].dtype), torch.stack(known))

    def fused(self, logits: Tensor) -> Tensor:
        """``(B, S, K)`` logits of the streams to ``(B, K)`` of their weighted mean probability."""
        weights = self.weights.to(logits.dtype).log().view(-1, 1)
        if not self.independent:
            return logsumexp(logits.log_softmax(dim=-1) + weights, dim=1)
        yes = logsumexp(nn.functional.logsigmoid(logits) + weights, dim=1)
        no = logsumexp(nn.functional.logsigmoid(-logits) + weights, dim=1)
        return yes - no

    @torch.no_grad()
    def fit_weights(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Find and keep the weights of least cross-entropy.

        The cross-entropy of a mean of probabilities is convex in the weights. Each step of
        expectation and maximisation (Dempster, Laird and Rubin 1977) brings it down.

        Args:
            logits: ``(S, N, K)``, the streams' logits of samples they did not learn from.
            targets: ``(N,)`` classes, or ``(N, K)`` shares of each class; labels that hold, 0 or
                1, where ``independent``.

        Returns:
            The weights, ``(S,)``.

        Raises:
            UsageError: shapes that do not belong together, or no samples.
        """
        streams, count, classes = len(self.dims), len(targets), self.classes
        if tuple(logits.shape) != (streams, count, classes) or count == 0:
            raise UsageError(
                f"The weights of {streams} streams need logits ({streams}, samples, {classes}) and "
                f"as many targets, not {tuple(logits.shape)} and {tuple(targets.shape)}."
            )
        shares = _shares(targets.to(logits.device), classes)
        given = logits.double()
        if self.independent:
            likelihood = nn.functional.logsigmoid(torch.stack([given, -given])).exp()
            shares = torch.stack([shares, 1 - shares])
            likelihood = likelihood.transpose(0, 1)
        else:
            likelihood = given.softmax(dim=-1)
        found = _mixture(likelihood.flatten(1), shares.flatten())
        self.weights.copy_(found)
        return self.weights.clone()

    def prepare(self, batches: Batches) -> None:
        """Fit the streams' standardisations to the training features, in one pass."""
        fitted = [(head, Moments()) for head in self._heads()]
        for features, mask in batches:
            for (head, moments), part in zip(fitted, features.split(self.dims, dim=2)):
                if head.standardise is not None:
                    moments.add(head.rows(hide(part, mask), mask))
        for head, moments in fitted:
            if head.standardise is not None:
                head.standardise.set(moments)

    def _heads(self) -> Iterator[Head]:
        return (cast(Head, head) for head in self.heads)


def _inner(name: str) -> type[Head]:
    from frameflow.models.heads import head_class

    kind = head_class(name)
    if kind is LateFusionHead:
        raise UsageError(f"of ({name!r}) of the {kind.name} head must be another head.")
    return kind


def _shares(targets: Tensor, classes: int) -> Tensor:
    """``(N,)`` classes or ``(N, K)`` shares to ``(N, K)`` in double precision."""
    if targets.ndim == 2:
        return targets.double()
    return nn.functional.one_hot(targets.long(), classes).double()


def _mixture(likelihood: Tensor, shares: Tensor) -> Tensor:
    """The weights ``(S,)`` that make ``(S, M)`` likelihoods of M events most likely together.

    Args:
        likelihood: of each event by each stream.
        shares: ``(M,)`` how often each event was seen.
    """
    seen = shares > 0
    likelihood = likelihood[:, seen].clamp(min=1e-300)
    shares = shares[seen] / shares[seen].sum()
    weights = likelihood.new_full((len(likelihood),), 1 / len(likelihood))
    for _ in range(_STEPS):
        joint = weights.unsqueeze(1) * likelihood
        changed = (joint / joint.sum(dim=0) * shares).sum(dim=1)
        done = (changed - weights).abs().max() < 1e-9
        weights = changed / changed.sum()
        if done:
            break
    return weights
