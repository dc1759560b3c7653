"""All clips of a data set on a plane, so that those that look alike lie together."""

import numpy as np

_AXES = 50  # as van der Maaten and Hinton did
_LEAST = 8  # clips below which neighbourhoods mean nothing
_PERPLEXITY = 30.0


def map_2d(values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Place vectors on a plane: t-SNE of their first 50 principal axes, begun from the first two.

    Neighbours stay neighbours; distances between far clusters and the sizes of clusters mean
    nothing (van der Maaten and Hinton, *Visualizing data using t-SNE*, JMLR 2008; begun from
    principal axes as Kobak and Berens, *The art of using t-SNE*, Nature Communications 2019).
    Fewer than 8 clips are placed by their two principal axes.

    Args:
        values: ``(N, R)`` with principal axes first (see `frameflow.audit.vectors.principal`).
        seed: the same seed gives the same map.

    Returns:
        ``(N, 2)`` float64, each axis from 0 to 1.
    """
    if len(values) < _LEAST:
        places = np.zeros((len(values), 2))
        width = min(2, values.shape[1])
        places[:, :width] = values[:, :width]
        return _in_square(places)
    from sklearn.manifold import TSNE

    near = np.ascontiguousarray(values[:, :_AXES], dtype=np.float64)
    if near.shape[1] < 2 or not near.any():
        near = np.pad(near, ((0, 0), (0, 1)))
        return _in_square(near[:, :2])
    first = near[:, :2] / max(float(near[:, 0].std()), 1e-12) * 1e-4
    found = TSNE(
        perplexity=min(_PERPLEXITY, (len(near) - 1) / 3),
        init=first,
        learning_rate="auto",
        random_state=seed,
        n_jobs=1,
    ).fit_transform(near)
    return _in_square(found.astype(np.float64))


def _in_square(places: np.ndarray) -> np.ndarray:
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    size = high - low
    return np.where(size > 0, (places - low) / np.where(size > 0, size, 1.0), 0.5)
