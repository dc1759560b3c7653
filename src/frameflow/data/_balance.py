"""Put units that cannot be divided into parts so that every label has its share in each part.

The units are groups of clips, the parts are splits or folds. With groups of 1 to 30 clips and up
to five labels this is a bin packing that scikit-learn's greedy ``StratifiedGroupKFold`` solves for
equal parts only, so here is a small local search: greedy starts in random order, then single moves
and swaps for as long as they help; the best of some starts wins.
"""

from collections.abc import Mapping, Sequence
from random import Random

# Work of one call, in moves looked at: about a second on a slow core.
_BUDGET = 200_000
_MOST_STARTS = 40
_PARTNERS = 12


def balance(
    units: Sequence[Mapping[str, int]],
    shares: Sequence[float],
    *,
    need: Sequence[float],
    seed: int,
    sizes: Sequence[int] | None = None,
) -> list[int]:
    """The part of each unit.

    Args:
        units: for each unit, how many samples of each label it holds. A sample may have several
            labels; a rare label weighs as much as a frequent one, so that all find their shares
            (the aim of Sechidis et al., *On the stratification of multi-label data*, 2011).
        shares: the share of each part; they sum to 1; a part with share 0 stays empty.
        need: for each part, the cost of leaving a label out of it. A cost above 1 outweighs a
            share that is missed altogether.
        seed: the same seed gives the same parts.
        sizes: how many samples each unit holds; None: each has one label.

    Returns:
        Part numbers, one per unit. The sum over labels and parts of the squared deviation from
        the share asked for (as a share of the label) is as small as the search could make it.
    """
    if sizes is None:
        sizes = [sum(unit.values()) for unit in units]
    board = _Board(units, sizes, shares, need)
    random = Random(seed)
    best: list[int] = []
    best_cost, spent = float("inf"), 0
    for start in range(_MOST_STARTS):
        if start and spent >= _BUDGET:
            break
        board.clear()
        # Every second start does not mind labels left out before all units are placed: minding
        # them drives the second of two large groups out of train, though small ones follow.
        need, board.need = board.need, board.need if start % 2 else [0.0] * len(board.need)
        spent += _greedy(board, random)
        board.need = need
        spent += _improve(board, random)
        cost = board.cost()
        if cost < best_cost - 1e-12:
            best, best_cost = list(board.part), cost
    return best


class _Board:
    """Counts per label and part, and what a move would cost."""

    def __init__(
        self,
        units: Sequence[Mapping[str, int]],
        sizes: Sequence[int],
        shares: Sequence[float],
        need: Sequence[float],
    ) -> None:
        labels = sorted({label for unit in units for label in unit})
        number = {label: index for index, label in enumerate(labels)}
        totals = [0] * (len(labels) + 1)
        self.cells: list[list[tuple[int, int]]] = []
        self.sizes = sizes
        for unit, size in zip(units, self.sizes):
            cells = [(number[label], count) for label, count in sorted(unit.items())]
            # All samples together count as one more label, so that no part gets every rounding up.
            self.cells.append([*cells, (len(labels), size)])
            for label, count in self.cells[-1]:
                totals[label] += count
        self.parts = len(shares)
        self.open = [part for part in range(self.parts) if shares[part] > 0]
        self.targets = [share * total for total in totals for share in shares]
        self.weights = [1 / total**2 for total in totals[:-1]]
        self.weights.append(len(labels) / max(1, totals[-1]) ** 2)
        self.need = [need[p] if shares[p] > 0 else 0.0 for _ in totals for p in range(self.parts)]
        self.clear()

    def clear(self) -> None:
        self.counts = [0] * len(self.targets)
        self.part = [-1] * len(self.cells)

    def place(self, unit: int, part: int) -> None:
        """Put a unit into a part, out of the one it is in."""
        parts, before = self.parts, self.part[unit]
        for label, count in self.cells[unit]:
            if before >= 0:
                self.counts[label * parts + before] -= count
            self.counts[label * parts + part] += count
        self.part[unit] = part

    def change(self, unit: int, part: int) -> float:
        """The change of cost if the unit went into the part."""
        parts, before, counts = self.parts, self.part[unit], self.counts
        targets, need = self.targets, self.need
        change = 0.0
        for label, count in self.cells[unit]:
            to = label * parts + part
            squares = count * count + 2 * count * (counts[to] - targets[to])
            if counts[to] == 0:
                change -= need[to]
            if before >= 0:
                origin = label * parts + before
                squares += count * count - 2 * count * (counts[origin] - targets[origin])
                if counts[origin] == count:
                    change += need[origin]
            change += self.weights[label] * squares
        return change

    def cost(self) -> float:
        total = 0.0
        for cell, (count, target) in enumerate(zip(self.counts, self.targets)):
            total += self.weights[cell // self.parts] * (count - target) ** 2
            total += self.need[cell] if count == 0 else 0.0
        return total


def _greedy(board: _Board, random: Random) -> int:
    """Large units first, roughly: each goes where it costs least."""
    jitter = [size * random.uniform(0.6, 1.4) for size in board.sizes]
    order = sorted(range(len(board.cells)), key=jitter.__getitem__, reverse=True)
    for unit in order:
        # Equal costs are broken by chance, or the first part would get all that are left over.
        choices = random.sample(board.open, len(board.open))
        board.place(unit, min(choices, key=lambda part: board.change(unit, part)))
    return len(order) * len(board.open)


def _improve(board: _Board, random: Random) -> int:
    """Moves and swaps until none helps; returns how many were looked at."""
    units = list(range(len(board.cells)))
    sharing: dict[int, list[int]] = {}
    for unit in units:
        for label, _ in board.cells[unit][:-1]:
            sharing.setdefault(label, []).append(unit)
    spent, better = 0, True
    while better and spent < _BUDGET:
        better = False
        random.shuffle(units)
        for unit in units:
            for part in board.open:
                if part != board.part[unit] and board.change(unit, part) < -1e-12:
                    board.place(unit, part)
                    better = True
            spent += len(board.open)
        if not better:
            for unit in units:
                better |= _swap(board, unit, sharing, random)
            spent += 2 * _PARTNERS * len(units)
    return spent


def _swap(board: _Board, unit: int, sharing: Mapping[int, list[int]], random: Random) -> bool:
    """Swap the unit with one that shares a label with it, where that helps."""
    if len(board.cells[unit]) < 2:
        return False
    label = random.choice(board.cells[unit][:-1])[0]
    partners = sharing[label]
    for other in random.sample(partners, min(_PARTNERS, len(partners))):
        here, there = board.part[unit], board.part[other]
        if here == there:
            continue
        change = board.change(unit, there)
        board.place(unit, there)
        change += board.change(other, here)
        if change < -1e-12:
            board.place(other, here)
            return True
        board.place(unit, here)
    return False
