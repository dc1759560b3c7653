"""Errors a user can act on: each message says what is wrong and, after it, the cure."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from os import PathLike

from frameflow._places import shown


class FrameFlowError(Exception):
    """The work failed. The command line prints the message, no traceback, and exits with 1."""

    exit_code = 1


class UsageError(FrameFlowError):
    """Wrong use or bad input. The command line exits with 2."""

    exit_code = 2


class LeakError(UsageError):
    """A group stands in two splits, so a score on one of them would not be honest."""


class VideoError(FrameFlowError):
    """One video cannot be read; ``reason`` is a short phrase without the path.

    Of a copy of something elsewhere ``path`` is the URL.
    """

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        self.path = shown(path)
        super().__init__(f"{self.path}: {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[type["VideoError"], tuple[str, str]]:
        return VideoError, (self.path, self.reason)


def near_names(name: str, allowed: Iterable[str], *, most: int = 3) -> str:
    """``" Did you mean 'a' or 'b'?"``, or the empty string where nothing is near."""
    near = get_close_matches(name, list(allowed), n=most, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def listing(items: Sequence[object], *, most: int = 5) -> str:
    """The first ``most`` items joined by commas, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:most])
    rest = len(items) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
