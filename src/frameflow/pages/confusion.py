"""The confusion matrix as a grid that a page can reorder, shade and read out.

The grid stands in the page ready drawn (`confusion.html.j2`): it prints, and it needs no script.
The script (`confusion.js`) adds the readout by pointer, touch and keyboard, and the toggles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LETTER = 0.56  # mean width of a letter of the sans serif, in font sizes
_LONGEST = 24  # letters of a label before it is cut; the readout and the tooltip have the rest
_FAINTEST = 0.14  # ink that is still seen beside the paper
_DARK = 0.55  # ink on which letters are light


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is not empty.

    Attributes:
        row: the true class.
        column: the predicted class.
        count: samples.
        percent: of the row.
        share_ink: 0 to 1, where the ink is the share of the row.
        count_ink: 0 to 1, where it is the count.
    """

    row: int
    column: int
    count: int
    percent: str
    share_ink: float
    count_ink: float

    @property
    def kind(self) -> str:
        """CSS classes: right or wrong, and on which inks the number is light."""
        names = ["right" if self.row == self.column else "wrong"]
        names += ["dark-share"] if self.share_ink > _DARK else []
        names += ["dark-count"] if self.count_ink > _DARK else []
        return " ".join(names)


@dataclass(frozen=True, slots=True)
class Matrix:
    """What `confusion.html.j2` draws.

    Attributes:
        labels: of the classes.
        support: samples of each class.
        clustered: the place of each class in the clustered order.
        alphabetical: its place in the order of names.
        cells: those that are not empty.
        said: for a screen reader.
    """

    labels: list[str]
    support: list[int]
    clustered: list[int]
    alphabetical: list[int]
    cells: list[Cell]
    said: str

    @property
    def large(self) -> bool:
        """Whether numbers fit only when it is drawn larger than a window."""
        return len(self.labels) > 24

    @property
    def style(self) -> str:
        """The CSS variables: classes, sizes of a cell in px, room for the labels."""
        count = len(self.labels)
        most = 44 if count <= 10 else 30 if count <= 24 else 18
        least = 1 if self.large else 24
        letters = min(max((len(label) for label in self.labels), default=1), _LONGEST)
        font = 13 if count <= 24 else 11
        room = math.ceil(letters * font * _LETTER) + 14
        return f"--k:{count};--most:{most}px;--least:{least}px;--room:{room}px;--font:{font}px"


def matrix(counts: np.ndarray, labels: Sequence[str]) -> Matrix:
    """Lay out a confusion matrix.

    Args:
        counts: ``(K, K)``; rows are true classes, columns predicted ones.
        labels: the K labels.
    """
    support, most = counts.sum(axis=1), max(int(counts.max(initial=0)), 1)
    cells = []
    for row, column in np.argwhere(counts):
        count, share = int(counts[row, column]), float(counts[row, column] / support[row])
        percent = f"{100 * share:.0f}" if share >= 0.005 else "<1"
        inks = (round(_FAINTEST + (1 - _FAINTEST) * part, 3) for part in (share, count / most))
        cells.append(Cell(int(row), int(column), count, percent, *inks))
    right, total = int(np.trace(counts)), int(support.sum())
    return Matrix(
        labels=list(labels),
        support=support.tolist(),
        clustered=_places(clustered_order(counts)),
        alphabetical=_places(sorted(range(len(labels)), key=lambda i: (labels[i].casefold(), i))),
        cells=cells,
        said=f"Confusion matrix of {len(labels)} classes: {right:,} of {total:,} right",
    )


def clustered_order(counts: np.ndarray) -> list[int]:
    """The classes in an order that puts those side by side which are taken for one another.

    Average linkage of the mean of both shares of confusion, the leaves in their optimal order
    (Z. Bar-Joseph, D. K. Gifford and T. S. Jaakkola, "Fast optimal leaf ordering for hierarchical
    clustering", Bioinformatics 17, 2001). Classes that are never confused follow in their order.

    Example:
        >>> clustered_order(np.array([[5, 0, 4], [0, 9, 0], [3, 0, 5]]))
        [0, 2, 1]
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 0)
    mixed = np.flatnonzero(alike.any(axis=1))
    apart = [int(i) for i in np.flatnonzero(~alike.any(axis=1))]
    if len(mixed) < 3:
        return [*map(int, mixed), *apart]
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = 1 - alike[np.ix_(mixed, mixed)]
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    order = [int(mixed[leaf]) for leaf in leaves_list(tree)]
    # A tree can be read from either end: begin with the smaller index, so that little moves.
    return [*(order if order[0] < order[-1] else order[::-1]), *apart]


def _places(order: Sequence[int]) -> list[int]:
    places = [0] * len(order)
    for place, index in enumerate(order):
        places[index] = place
    return places
