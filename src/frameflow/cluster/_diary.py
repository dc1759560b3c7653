"""What workers have begun and not ended: how a video that ends its worker is told from bad luck."""

from collections import Counter


class Diary:
    """Lives in a process of its own, so that it outlasts the workers."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._again = 0
        self._begun = False

    def begin(self, what: str) -> int:
        """Note that something is begun; how often it was begun before in vain."""
        self._begun = True
        before = self._open[what]
        self._again += bool(before)
        self._open[what] = before + 1
        return before

    def end(self, what: str) -> None:
        """Note that it was done."""
        self._open.pop(what, None)

    def repeated(self) -> int:
        """How often something was begun that had been begun before and not ended."""
        return self._again

    def begun(self) -> bool:
        """Whether any worker has come so far as to begin something."""
        return self._begun
