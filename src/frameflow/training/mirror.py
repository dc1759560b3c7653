"""What a mirrored clip shows: the same action, its counterpart, or something that has no label."""

import re
from collections.abc import Sequence

import numpy as np

from frameflow.errors import UsageError, listing, near_names

_SIDES = re.compile(
    r"(left|right)(wards?|most|side|y|hand(ed)?)?|((anti|counter)?clockwise)|[ac]?cw"
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class Mirror:
    """Which labels may be mirrored left to right, and what they become.

    Args:
        labels: the K labels.
        pairs: labels that a mirror turns into each other; a label paired with itself may be
            mirrored whatever its name.

    Attributes:
        allowed: ``(K,)`` bool. A label that names a side or a direction (left, clockwise ...) and
            stands in no pair is not mirrored: no label would be right.
        becomes: ``(K,)`` int64, the number of the label that a mirrored clip shows.

    Raises:
        UsageError: a pair names an unknown label, or a label stands in two pairs.

    Example:
        >>> mirror = Mirror(["jump", "step left", "step right", "turn left"],
        ...                 [("step left", "step right")])
        >>> mirror.becomes.tolist(), mirror.allowed.tolist()
        ([0, 2, 1, 3], [True, True, True, False])
    """

    def __init__(self, labels: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.becomes = np.arange(len(labels))
        self.allowed = np.array([not names_side(label) for label in labels], dtype=bool)
        numbers = {label: number for number, label in enumerate(labels)}
        seen: set[str] = set()
        for pair in pairs:
            for label in dict.fromkeys(pair):
                if label not in numbers:
                    raise UsageError(
                        f"augment.mirror names {label!r}, which is no label."
                        f"{near_names(label, labels)} The labels are {listing(labels, most=8)}."
                    )
                if label in seen:
                    raise UsageError(
                        f"augment.mirror names {label!r} in two pairs; a label has one counterpart."
                    )
                seen.add(label)
            one, other = numbers[pair[0]], numbers[pair[1]]
            self.becomes[one], self.becomes[other] = other, one
            self.allowed[[one, other]] = True

    def may_flip(self, target: np.ndarray) -> bool:
        """Whether a clip may be mirrored: a class number, or ``(K,)`` shares of the labels."""
        if target.ndim == 0:
            return bool(self.allowed[target])
        return bool(self.allowed[target > 0].all())

    def flipped(self, target: np.ndarray) -> np.ndarray:
        """The target of the mirrored clip; twice gives the target itself."""
        return self.becomes[target] if target.ndim == 0 else target[self.becomes]

    def flipped_taught(self, taught: np.ndarray) -> np.ndarray:
        """What a teacher says of the mirrored clip: the labels' part is turned, what follows
        them (features) stays."""
        classes = len(self.becomes)
        return np.concatenate([taught[:classes][self.becomes], taught[classes:]])


def names_side(label: str) -> bool:
    """Whether one of a label's words names a side or a direction of turning, in English.

    Example:
        >>> [names_side(label) for label in ("TurnLeft", "swipe_right", "bright light")]
        [True, True, False]
    """
    return any(_SIDES.fullmatch(word.lower()) for word in _WORD.findall(label))
