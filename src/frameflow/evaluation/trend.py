"""What a share depends on, where clips of one group succeed and fail together.

A binomial interval or a test that takes every clip for independent is too sure of itself. Here the
unit is the group.
"""

from dataclasses import dataclass

import numpy as np

_DRAWS = 4999
_CHUNK = 1 << 22  # draws x samples held at once
FEW_GROUPS = 6  # sign flips of fewer groups cannot give a p below 0.03


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether the share of right answers rises or falls with a measure.

    Attributes:
        correlation: Spearman's, of the measure and being right: its sign is the direction.
        p: of no trend, two-sided; None where there are too few groups, or nothing varies.
        groups: how many there are.
    """

    correlation: float
    p: float | None
    groups: int


def wilson(
    right: float, samples: float, *, effective: float | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of a share that stays inside 0 to 1 and has a width even at 0 and 1.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22, 1927.

    Args:
        right: how many of the samples have the property.
        samples: how many there are, > 0.
        effective: how many independent ones they are worth; ``samples`` where None.
        confidence: of the interval.

    Example:
        >>> [round(bound, 3) for bound in wilson(8, 10)]
        [0.49, 0.943]
    """
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, n = right / samples, effective or samples
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, min(share, middle - half))), float(min(1.0, max(share, middle + half)))


def effective_samples(right: np.ndarray, groups: np.ndarray) -> float:
    """How many independent clips the samples are worth for the share of right answers.

    The samples divided by the design effect: the variance between group totals over that of
    independent clips (E. L. Korn and B. I. Graubard, "Confidence Intervals for Proportions with
    Small Expected Number of Positive Counts", Survey Methodology 24, 1998). Where all answers are
    alike the effect cannot be seen, and the groups count as one sample each.

    Args:
        right: ``(N,)`` bool.
        groups: ``(N,)`` int, the group of each sample.

    Example:
        >>> right = np.array([True, True, False, False])
        >>> effective_samples(right, np.array([0, 0, 1, 1]))
        1.0
    """
    samples = len(right)
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    share = right.mean()
    if count == samples:
        return float(samples)
    if count == 1 or share in (0.0, 1.0):
        return float(count)
    residuals = np.bincount(index, weights=right - share)
    between = (residuals**2).sum() / samples**2 * count / (count - 1)
    effect = between / (share * (1 - share) / samples)
    return float(samples / min(max(effect, 1.0), samples))


def trend(
    measure: np.ndarray,
    right: np.ndarray,
    groups: np.ndarray,
    *,
    within: np.ndarray | None = None,
    seed: int = 0,
) -> Trend:
    """Test whether being right goes with a measure, by the signs of the groups' shares in it.

    Each group adds the sum over its clips of (rank of the measure - mean) x (right - mean). Were
    there no trend, each such sum could as well have the other sign: p is the share of random
    signs that give a total as large (A. C. Cameron, J. B. Gelbach and D. L. Miller,
    "Bootstrap-Based Improvements for Inference with Clustered Errors", Review of Economics and
    Statistics 90, 2008).

    Args:
        measure: ``(N,)`` of each clip.
        right: ``(N,)`` bool.
        groups: ``(N,)`` int.
        within: ``(N,)`` int, such as the true class: means are then those of a clip's own class,
            so that a measure which only differs between classes shows no trend.
        seed: of the signs.
    """
    from scipy.stats import rankdata

    # Ties share their mean rank: a measure with few values has no order of its own.
    ranks = _centred(rankdata(measure), within)
    hits = _centred(right.astype(np.float64), within)
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    sums = np.bincount(index, weights=ranks * hits)
    scale = np.sqrt((ranks**2).sum() * (hits**2).sum())
    if scale < 1e-9:
        return Trend(0.0, None, count)
    correlation = float(sums.sum() / scale)
    moved = np.abs(sums) > 1e-9
    if moved.sum() < FEW_GROUPS:
        return Trend(correlation, None, count)
    rng = np.random.default_rng(seed)
    flipped = rng.integers(0, 2, (_DRAWS, int(moved.sum())), dtype=np.int8).astype(np.float32)
    totals = np.abs(sums.sum() - 2 * (flipped @ sums[moved].astype(np.float32)))
    reached = int((totals >= abs(sums.sum()) * (1 - 1e-6)).sum())
    return Trend(correlation, (reached + 1) / (_DRAWS + 1), count)


def clustering(wrong: np.ndarray, groups: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """How much more often two clips of one group are both wrong than clips dealt at random.

    Args:
        wrong: ``(N,)`` bool.
        groups: ``(N,)`` int.
        seed: of the permutations.

    Returns:
        The ratio of pairs within groups that are both wrong to their mean over permutations, and
        the share of permutations with as many (p, one-sided). ``(1.0, 1.0)`` where no group has
        two clips, or nothing is wrong.
    """
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    rng = np.random.default_rng(seed)

    def pairs(rows: np.ndarray) -> np.ndarray:
        offset = np.arange(len(rows))[:, None] * count
        flat = np.bincount((rows + offset).ravel(), minlength=len(rows) * count)
        held = flat.reshape(len(rows), count)
        return np.asarray((held * (held - 1) / 2).sum(axis=1))

    failed = int(wrong.sum())
    if failed < 2 or count == len(wrong):
        return 1.0, 1.0
    seen = float(pairs(index[wrong][None])[0])
    draws, step = 999, max(1, _CHUNK // len(wrong))
    drawn = []
    for start in range(0, draws, step):
        rows = np.tile(index, (min(step, draws - start), 1))
        drawn.append(pairs(rng.permuted(rows, axis=1)[:, :failed]))
    by_chance = np.concatenate(drawn)
    mean = float(by_chance.mean())
    p = (int((by_chance >= seen).sum()) + 1) / (draws + 1)
    return (seen / mean if mean else 1.0), p


def _centred(values: np.ndarray, within: np.ndarray | None) -> np.ndarray:
    if within is None:
        return values - values.mean()
    _, index = np.unique(within, return_inverse=True)
    means = np.bincount(index, weights=values) / np.bincount(index)
    return np.asarray(values - means[index])
