"""What a classifier says of clips it has not seen, from one vector per clip."""

import warnings
from collections.abc import Sequence

import numpy as np

# Inverse strength of the penalty on rows of mean squared length 1; measured on inner folds.
_STRENGTH = 30.0
_ITERATIONS = 200


def learn_and_say(
    values: np.ndarray, targets: np.ndarray, others: np.ndarray, classes: int
) -> np.ndarray:
    """Fit a multinomial logistic regression and give its probabilities for other rows.

    Args:
        values: ``(n, R)``, all vectors scaled alike (see `scaled`).
        targets: ``(n,)`` class numbers.
        others: ``(m, R)``.
        classes: K; classes without a row get probability 0.

    Returns:
        ``(m, K)``.
    """
    found = np.zeros((len(others), classes))
    seen = np.unique(targets)
    if len(seen) == 1:
        found[:, seen[0]] = 1.0
        return found
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values, targets)
    found[:, model.classes_] = model.predict_proba(others)
    return found


def held_out(
    values: np.ndarray, targets: np.ndarray, folds: Sequence[int] | np.ndarray, classes: int
) -> np.ndarray:
    """``(n, K)`` probabilities of each row by a classifier of the rows of the other folds."""
    folds = np.asarray(folds)
    found = np.zeros((len(values), classes))
    for fold in np.unique(folds):
        out = folds == fold
        found[out] = learn_and_say(values[~out], targets[~out], values[out], classes)
    return found


def scaled(values: np.ndarray) -> np.ndarray:
    """Vectors of mean squared length 1, so that one penalty serves any recipe."""
    size = (
        float(np.sqrt(np.square(values, dtype=np.float64).sum(axis=1).mean())) if len(values) else 0
    )
    return values / size if size > 0 else values
