"""A progress bar with a rate and the time left, silent when stderr is no terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def processes_started() -> int:
    """How many processes were started to work together: torchrun says it in the environment."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def speaks() -> bool:
    """Whether this process is the one of them that talks to the user."""
    return processes_started() == 1 or os.environ.get("RANK", "0") == "0"


@contextmanager
def progress(description: str, *, total: int, unit: str = "clips") -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs.

    Args:
        description: what is being done, in a few words.
        total: how many units there are.
        unit: what is counted; the bar shows ``unit``/s.

    Yields:
        ``advance(n=1)``, to be called as units are done.

    Example:
        >>> with progress("Checking", total=2, unit="videos") as advance:
        ...     for _ in range(2):
        ...         advance()
    """
    if not sys.stderr.isatty() or total <= 0 or not speaks():
        yield lambda n=1: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} {unit}/s" if speed else f"- {unit}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n=1: bar.advance(task, n)
