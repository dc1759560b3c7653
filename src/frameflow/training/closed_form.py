"""Linear classifiers without epochs: on a handful of clips there is nothing to descend.

Each finds the weights of a head whose learnt part is one linear layer over a fixed summary of the
clip (the heads that ``summarise``), in a second:

- ``nearest-mean``: the class whose mean is nearest, as prototypes in Snell, Swersky and Zemel,
  "Prototypical networks for few-shot learning", NeurIPS 2017, https://arxiv.org/abs/1703.05175.
- ``ridge``: least squares on the classes, as in Bertinetto et al., "Meta-learning with
  differentiable closed-form solvers", ICLR 2019, https://arxiv.org/abs/1805.08136.
- ``logistic``: penalised logistic regression, the linear probe of Chen et al., "A closer look at
  few-shot classification", ICLR 2019, https://arxiv.org/abs/1904.04232.

There are fewer clips than numbers in a summary, so all is computed in the space that the clips
span: products of clips with clips.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from frameflow.config import Train
from frameflow.errors import UsageError
from frameflow.training._random import reproducible
from frameflow.training.examples import FeatureExamples
from frameflow.training.history import Epoch, Fitted, write_history
from frameflow.training.losses import Loss
from frameflow.training.summaries import Decider, summarised

_SCALES = np.geomspace(0.05, 500, 200)  # by which scores become logits
_LEAST = 1e-12


def solve_head(
    head: nn.Module,
    training: FeatureExamples,
    validation: FeatureExamples | None,
    settings: Train,
    *,
    loss: Loss,
    folder: Path | None = None,
) -> Fitted:
    """Find the linear layer of a head; every view of a clip counts as a sample.

    Args:
        head: prepared, one that summarises.
        training: what is learned.
        validation: is scored; nothing is chosen on it.
        settings: ``solver`` and ``penalty``.
        loss: is reported for the training samples, as of epochs.
        folder: for ``history.csv``.

    Raises:
        UsageError: the head learns more than a linear layer, or the solver cannot learn what the
            samples say.
    """
    begun = time.perf_counter()
    classifier = getattr(head, "classifier", None)
    if not getattr(head, "summarises", False) or not isinstance(classifier, nn.Linear):
        raise UsageError(
            f"train.solver: {settings.solver} finds one linear layer, and the "
            f"{getattr(head, 'name', 'chosen')} head learns more: take head.name mean, max or "
            f"statistics, or train.solver: epochs."
        )
    made = summarised(head, training, validation)
    if made is None:
        raise UsageError(
            f"The samples are too many for train.solver: {settings.solver}: take epochs."
        )
    rows, targets = _rows(made[0])
    with reproducible(settings.seed), threadpool_limits(1):  # small products wait for each other
        weights, bias = _solve(settings, rows, targets, head)
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(weights))
        classifier.bias.copy_(torch.from_numpy(bias))
    head.eval()
    row = _figures(head, made, loss)
    row.seconds = time.perf_counter() - begun
    fitted = Fitted([row], best_epoch=1, best_loss=row.val_loss, ends=[1])
    if folder is not None:
        write_history(folder / "history.csv", fitted.history)
    return fitted


def _rows(examples: FeatureExamples) -> tuple[np.ndarray, np.ndarray]:
    """``(n, S)`` summaries of all views and their targets, in double precision."""
    places = np.arange(len(examples))
    parts = [
        examples.features.batch(examples.rows[places], view)[0][:, 0]
        for view in range(examples.count)
    ]
    targets = np.concatenate([np.asarray(examples.targets)] * examples.count)
    return np.concatenate(parts).astype(np.float64), targets


def _solve(
    settings: Train, rows: np.ndarray, targets: np.ndarray, head: Any
) -> tuple[np.ndarray, np.ndarray]:
    several = targets.ndim == 2
    centre = rows.mean(axis=0)
    given = rows - centre
    match settings.solver:
        case "nearest-mean":
            if several:
                raise UsageError(
                    "train.solver: nearest-mean is for one label a clip: take ridge or logistic."
                )
            weights, bias = nearest_mean(given, targets, head.classes)
        case "ridge":
            weights, bias = ridge(given, targets, head.classes, settings.penalty)
        case _:
            weights, bias = logistic(given, targets, head.classes, settings.penalty)
    bias = bias - weights @ centre
    return weights.astype(np.float32), bias.astype(np.float32)


def nearest_mean(
    rows: np.ndarray, targets: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits that fall with the squared distance to each class's mean.

    Args:
        rows: ``(n, S)`` of mean 0.
        targets: ``(n,)`` classes.
        classes: K; one without a sample is never the nearest.

    Returns:
        ``(K, S)`` weights and ``(K,)`` biases.
    """
    counts = np.bincount(targets, minlength=classes)
    one_hot = np.eye(classes)[targets]
    means = one_hot.T @ rows / np.maximum(counts, 1)[:, None]
    # Each clip against the means that it is not part of says how far the distances reach.
    apart = np.square(means).sum(axis=1) - 2 * rows @ means.T + np.square(rows).sum(1)[:, None]
    own = counts[targets]
    apart[np.arange(len(rows)), targets] *= np.square(own / np.maximum(own - 1, 1))
    apart[:, counts == 0] = np.inf
    typical = float(np.median(apart[np.isfinite(apart)])) or 1.0
    known = own > 1
    scale = _scale(-apart[known] / typical, targets[known]) / typical
    bias = np.where(counts > 0, -scale * np.square(means).sum(axis=1), -1e4)
    return 2 * scale * means, bias


def ridge(
    rows: np.ndarray, targets: np.ndarray, classes: int, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares on the classes with a penalty on the squared weights.

    The scores become logits by the one factor that explains best what each clip is said to be by
    the others: leaving one out costs nothing here.

    Args:
        rows: ``(n, S)`` of mean 0.
        targets: ``(n,)`` classes or ``(n, K)`` 0 and 1.
        classes: K.
        penalty: in mean squared lengths of a row.

    Returns:
        ``(K, S)`` weights and ``(K,)`` biases.
    """
    wanted = targets.astype(float) if targets.ndim == 2 else np.eye(classes)[targets]
    mean = wanted.mean(axis=0)
    products = rows @ rows.T
    weight = penalty * max(float(np.trace(products)) / len(rows), _LEAST)
    inverse = np.linalg.inv(products + weight * np.eye(len(rows)))
    dual = inverse @ (wanted - mean)
    left_out = wanted - dual / np.diag(inverse)[:, None]
    if targets.ndim == 2:
        scale = _scale_each(left_out - 0.5, targets)
        return scale * (dual.T @ rows), scale * (mean - 0.5)
    scale = _scale(left_out, targets)
    return scale * (dual.T @ rows), scale * mean


def logistic(
    rows: np.ndarray, targets: np.ndarray, classes: int, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Penalised logistic regression, multinomial or one for each label.

    Args:
        rows: ``(n, S)`` of mean 0.
        targets: ``(n,)`` classes or ``(n, K)`` 0 and 1.
        classes: K.
        penalty: on half the squared weights of rows of mean squared length 1, against the mean
            loss of a clip times their number.

    Returns:
        ``(K, S)`` weights and ``(K,)`` biases.
    """
    from sklearn.linear_model import LogisticRegression

    length = np.sqrt(max(float(np.square(rows).sum(axis=1).mean()), _LEAST))
    # Turned into the space that the rows span: the penalty does not see the difference.
    left, sizes, right = np.linalg.svd(rows / length, full_matrices=False)
    inside = left * sizes
    weights, bias = np.zeros((classes, inside.shape[1])), np.full(classes, -1e4)

    def fit(truth: np.ndarray) -> Any:
        return LogisticRegression(C=1 / penalty, max_iter=1000).fit(inside, truth)

    if targets.ndim == 2:
        for label in range(classes):
            share = float(targets[:, label].mean())
            if share in (0, 1):  # all or none: nothing to tell apart
                bias[label] = 1e4 if share else -1e4
                continue
            found = fit(targets[:, label] > 0)
            weights[label], bias[label] = found.coef_[0], found.intercept_[0]
    else:
        found = fit(targets)
        seen = found.classes_
        if len(seen) == 2:  # scikit-learn then gives the second's only
            weights[seen], bias[seen] = (
                np.stack([-found.coef_[0], found.coef_[0]]) / 2,
                np.array([-found.intercept_[0], found.intercept_[0]]) / 2,
            )
        else:
            weights[seen], bias[seen] = found.coef_, found.intercept_
    return weights @ right / length, bias


def _scale(scores: np.ndarray, targets: np.ndarray) -> float:
    """The factor that makes of scores the logits that explain the targets best."""
    if not len(scores):
        return 1.0
    best, least = 1.0, np.inf
    scores = np.where(np.isfinite(scores), scores, -1e9)
    for scale in _SCALES:
        logits = scale * scores
        logits = logits - logits.max(axis=1, keepdims=True)
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), targets]
        if loss.mean() < least:
            best, least = float(scale), float(loss.mean())
    return best


def _scale_each(scores: np.ndarray, targets: np.ndarray) -> float:
    """The same where each label has a probability of its own."""
    signed = scores * (2 * targets - 1)
    losses = [np.logaddexp(0, -scale * signed).mean() for scale in _SCALES]
    return float(_SCALES[int(np.argmin(losses))])


def _figures(
    head: nn.Module, made: tuple[FeatureExamples, FeatureExamples | None], loss: Loss
) -> Epoch:
    from frameflow.training.loop import predict, score

    training, validation = made
    logits = predict(Decider(head), training)
    row = Epoch(
        1,
        0.0,
        float(loss(logits, torch.from_numpy(training.targets))),
        score(logits, training.targets)[1],
    )
    if validation is not None and len(validation):
        found = score(predict(Decider(head), validation), validation.targets)
        row.val_loss, row.val_top1, row.val_top5 = found
    return row
