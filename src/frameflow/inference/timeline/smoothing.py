"""Smoothing over time: what windows say, evened out with what their neighbours say."""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from frameflow.errors import UsageError

Smoothing = Literal["gaussian", "mean", "median"]

_REACH = 3.0  # standard deviations after which a Gaussian's weights are next to nothing
_ROWS = 4096  # windows smoothed at once: bounds the memory of many classes and hours


def smooth(
    moments: NDArray[np.floating],
    values: NDArray[np.floating],
    seconds: float,
    *,
    kind: Smoothing = "gaussian",
) -> NDArray[np.float32]:
    """Centred smoothing of values at moments that need not be evenly apart.

    At the first and last moments only what is there counts, so nothing fades in or out. What adds
    up to 1 over the columns still does after ``mean`` and ``gaussian``.

    Args:
        moments: ``(N,)`` seconds in rising order, such as the centres of windows.
        values: ``(N, K)``.
        seconds: how much time is looked at: the whole width of ``mean`` and ``median``, and four
            standard deviations of ``gaussian``. 0 changes nothing.
        kind: the mean or the median of what lies within half of ``seconds``, or a mean with
            Gaussian weights.

    Returns:
        ``(N, K)`` float32.

    Raises:
        UsageError: ``seconds`` is negative or not finite, or the kind is unknown.

    Example:
        >>> smooth(np.arange(3.0), np.array([[0.0], [3.0], [0.0]]), 2, kind="mean").tolist()
        [[1.5], [1.0], [1.5]]
    """
    if not (seconds >= 0 and math.isfinite(seconds)):
        raise UsageError(f"The seconds of smoothing ({seconds:g}) must be 0 or more.")
    if kind not in get_args(Smoothing):
        raise UsageError(f"smoothing ({kind!r}) must be one of {', '.join(get_args(Smoothing))}.")
    at = np.asarray(moments, dtype=np.float64)
    given = np.asarray(values, dtype=np.float64)
    if seconds == 0 or len(at) < 2:
        return given.astype(np.float32)
    deviation = seconds / 4
    # The allowance is for moments that were computed as index times stride.
    reach = (_REACH * deviation if kind == "gaussian" else seconds / 2) + 1e-9
    out = np.empty(given.shape, np.float32)
    for begin in range(0, len(at), _ROWS):
        rows = slice(begin, min(begin + _ROWS, len(at)))
        first = int(np.searchsorted(at, at[rows][0] - reach))
        last = int(np.searchsorted(at, at[rows][-1] + reach, side="right"))
        near = slice(first, last)
        if kind == "median":
            out[rows] = _medians(at[rows], at[near], given[near], reach)
        else:
            sigma = deviation if kind == "gaussian" else math.inf
            out[rows] = _means(at[rows], at[near], given[near], reach, sigma)
    return out


def _means(
    at: NDArray[np.float64],
    near: NDArray[np.float64],
    values: NDArray[np.float64],
    reach: float,
    deviation: float,
) -> NDArray[np.float64]:
    """Weighted means: one sum for each distance in rows, in the memory of the values."""
    first = np.searchsorted(near, at - reach)
    last = np.searchsorted(near, at + reach, side="right")
    total = np.zeros((len(at), values.shape[1]))
    weights = np.zeros((len(at), 1))
    for step in range(int((last - first).max())):
        rows = np.flatnonzero(first + step < last)
        other = first[rows] + step
        away = (near[other] - at[rows]) / deviation
        weight = np.exp(-0.5 * away**2)[:, None]
        total[rows] += weight * values[other]
        weights[rows] += weight
    return total / weights


def _medians(
    at: NDArray[np.float64], near: NDArray[np.float64], values: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    first = np.searchsorted(near, at - reach)
    last = np.searchsorted(near, at + reach, side="right")
    return np.stack([np.median(values[a:b], axis=0) for a, b in zip(first, last)])
