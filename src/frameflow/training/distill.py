"""Learning from what another model says, beside the labels.

Soft targets say how alike the classes are, which labels do not (Hinton, Vinyals and Dean,
"Distilling the knowledge in a neural network", 2015, https://arxiv.org/abs/1503.02531). Matching
features asks that what the teacher's last layer reads can be found in what the student's reads
(Romero et al., "FitNets: hints for thin deep nets", 2015, https://arxiv.org/abs/1412.6550).

What a teacher says of a clip is one row, ``taught``: K soft targets at the temperature of the
recipe, NaN where it says nothing, and after them F features.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from frameflow.config import Distill, Recipe
from frameflow.errors import UsageError
from frameflow.models.recognizer import Recognizer
from frameflow.training.losses import Loss

_LEAST = 1e-6  # a probability below says no more than that the class is out of question


def tempered(probabilities: np.ndarray, temperature: float, *, multilabel: bool) -> np.ndarray:
    """Probabilities as they would be if their logits were divided by the temperature.

    Args:
        probabilities: ``(N, K)``.
        temperature: above 0; 1 changes nothing but probabilities next to 0.
        multilabel: each label has a probability of its own, else they add up to 1.

    Returns:
        ``(N, K)`` float32.

    Example:
        >>> tempered(np.array([[0.8, 0.2]]), 2.0, multilabel=False).round(3).tolist()
        [[0.667, 0.333]]
    """
    shares = np.clip(probabilities.astype(np.float64), _LEAST, None)
    if multilabel:
        shares = np.clip(shares, None, 1 - _LEAST)
        logits = np.log(shares) - np.log1p(-shares)
        return (1 / (1 + np.exp(-logits / temperature))).astype(np.float32)
    scaled = np.power(shares, 1 / temperature)
    return (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)


class Distilled:
    """The loss of labels and of what a teacher says.

    ``(1 - w) L + w T^2 KL(teacher at T || student at T)``; the square keeps the gradients of both
    parts in proportion whatever the temperature. A clip (of several labels: a label) of which the
    teacher says nothing counts by its labels alone. With features, their squared distance is added.

    Args:
        loss: L, of logits and labels.
        settings: weight w, temperature T, and weight of the features.
        classes: K.
        multilabel: the same for the sigmoid of each label.
    """

    def __init__(self, loss: Loss, settings: Distill, classes: int, *, multilabel: bool) -> None:
        self.loss, self.settings = loss, settings
        self.classes, self.multilabel = classes, multilabel

    def __call__(self, logits: Tensor, truth: Tensor) -> Tensor:
        """The loss of labels alone."""
        return self.loss(logits, truth)

    def of(self, outputs: Tensor, truth: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the logits among the outputs.

        Args:
            outputs: ``(B, K)`` logits, ``(B, S, K)`` of S streams that learn on their own, or
                ``(B, K + F)`` of `Hinted`.
            truth: ``(B,)`` classes or ``(B, K)`` shares.
            taught: ``(B, K + F)``.
        """
        k, share = self.classes, self.settings.share
        logits, hints = outputs[..., :k], outputs[..., k:]
        cost = self.loss(logits, truth)
        if share:
            cost = (1 - share) * cost + share * self._soft(logits, truth, taught[:, :k])
        if hints.shape[-1]:
            given = ~taught[:, k:].isnan().any(dim=1)
            if given.any():
                apart = functional.mse_loss(hints[given], taught[given, k:])
                cost = cost + self.settings.features * given.float().mean() * apart
        return cost, logits

    def _soft(self, logits: Tensor, truth: Tensor, soft: Tensor) -> Tensor:
        if logits.ndim == 3:
            parts = [self._soft(stream, truth, soft) for stream in logits.unbind(dim=1)]
            return torch.stack(parts).mean()
        known = ~soft.isnan()
        given = known.any(dim=1)
        without = (~given).float().mean()
        cost = logits.new_zeros(())
        if given.any():
            cost = cost + (1 - without) * self._apart(logits[given], soft[given], known[given])
        if not given.all():
            cost = cost + without * self.loss(logits[~given], truth[~given])
        return cost

    def _apart(self, logits: Tensor, soft: Tensor, known: Tensor) -> Tensor:
        heat = self.settings.temperature
        if not self.multilabel:
            logs = (logits / heat).log_softmax(dim=1)
            terms = torch.special.xlogy(soft, soft) - soft * logs
            return heat**2 * terms.sum(dim=1).mean()
        soft, own = soft[known], logits[known] / heat
        entropy = torch.special.entr(soft) + torch.special.entr(1 - soft)
        crossed = functional.binary_cross_entropy_with_logits(own, soft, reduction="none")
        return heat**2 * (crossed - entropy).mean()


class Hinted(nn.Module):
    """A module that in training also says what its head's last layer reads, projected.

    Args:
        module: what is trained.
        head: within it, with a linear layer ``classifier``.
        width: F, the teacher's features; a projection is learnt where the head's are not as many.
    """

    def __init__(self, module: nn.Module, head: nn.Module, width: int) -> None:
        super().__init__()
        self.module = module
        last = _last_layer(head)
        self._last = [last]  # in a list: it is the module's, not a second one
        own = last.in_features
        self.projection = nn.Identity() if own == width else nn.Linear(own, width)

    def forward(self, inputs: Any, mask: Tensor) -> Tensor:
        if not self.training:
            return self.module(inputs, mask)
        logits, read = reading(self._last[0], lambda: self.module(inputs, mask))
        return torch.cat([logits.float(), self.projection(read).float()], dim=1)


def reading(layer: nn.Module, call: Any) -> tuple[Tensor, Tensor]:
    """What a call gives, and what a layer within it was given."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        return call(), seen[-1]
    finally:
        hook.remove()


def _last_layer(head: nn.Module) -> nn.Linear:
    layer = getattr(head, "classifier", None)
    if not isinstance(layer, nn.Linear) or getattr(head, "name", "") == "average":
        raise UsageError(
            f"train.distill.features: the {getattr(head, 'name', 'chosen')} head has no one vector "
            f"a clip before its classes; leave it at 0, or take another head."
        )
    return layer


def last_layer(head: nn.Module, recipe: Recipe) -> nn.Linear:
    """The layer whose inputs are matched.

    Raises:
        UsageError: the head has none, nothing of the student learns before it, or the student is
            compiled.
    """
    if recipe.train.compile:
        raise UsageError("train.distill.features needs train.compile: false.")
    if recipe.way == "frozen" and getattr(head, "summarises", False):
        raise UsageError(
            f"train.distill.features: nothing learns before the last layer of a frozen recipe with "
            f"the {recipe.head.name} head; leave it at 0, or let the backbone learn."
        )
    return _last_layer(head)


@torch.inference_mode()
def features_read(recognizer: Recognizer, features: Any) -> np.ndarray:
    """``(N, P)`` float32: what the last layer reads of each sample, the mean over its views."""
    layer, samples = _last_layer(recognizer.head), len(features.samples)
    found = np.zeros((samples, layer.in_features), dtype=np.float32)
    for start in range(0, samples, 64):
        rows = np.arange(start, min(start + 64, samples))
        for view in range(len(features.views)):
            given, mask = (torch.from_numpy(part) for part in features.batch(rows, view))
            _, read = reading(layer, lambda: recognizer.logits(given, mask))  # noqa: B023
            found[rows] += read.numpy()
    return found / len(features.views)


def compressed(features: np.ndarray, most: int = 128) -> np.ndarray:
    """The directions in which features differ most, ``(N, F)``, of mean square 1 over all.

    A linear head may read a hundred thousand numbers; so many could not be asked of a small
    student, and N clips span no more than N directions.
    """
    centred = features.astype(np.float64) - features.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(values)[::-1][: min(most, len(features))]
    order = order[values[order] > 1e-9 * max(values.max(), 1e-30)]
    found = vectors[:, order] * np.sqrt(values[order])
    return (found / max(np.sqrt(np.square(found).mean()), 1e-12)).astype(np.float32)
