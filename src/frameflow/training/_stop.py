"""Ctrl-C waits until the weights are whole."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from frameflow.progress import speaks


class Stopped(KeyboardInterrupt):
    """The user asked to stop, and everything is whole."""


class Stop:
    """Whether the user has asked to stop."""

    asked = False

    def check(self) -> None:
        """To be called where it is safe to leave.

        Raises:
            Stopped: the user has asked.
        """
        if self.asked:
            raise Stopped


@contextmanager
def interrupts(*, wait: bool) -> Iterator[Stop]:
    """While the block runs, the first Ctrl-C only asks; the second one stops at once.

    Args:
        wait: False leaves Ctrl-C as it is, as does any thread but the main one.
    """
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not wait or not main or before is not signal.default_int_handler:
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        # Not through a logger or a buffer, which may be in the middle of a line.
        if speaks():
            os.write(2, b"Stopping after this step; Ctrl-C again stops at once.\n")

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
