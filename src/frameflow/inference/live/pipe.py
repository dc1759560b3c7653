"""What is piped in, read so that the reader can always be stopped."""

import os
import queue
import sys
import threading
from functools import partial
from typing import IO

_CHUNK = 1 << 16  # bytes: what a pipe of Linux holds
_AHEAD = 16  # chunks that wait; then whoever writes has to


class Pipe:
    """A binary file for FFmpeg. Reading the pipe itself may block for ever, and only this
    object's own thread does so, on every system.

    Args:
        file: an open binary file, unbuffered reading of which gives what is there.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._chunks: queue.Queue[bytes] = queue.Queue(_AHEAD)
        self._rest = memoryview(b"")
        self._ended = False
        self._stopped = threading.Event()
        threading.Thread(target=self._pump, name="live-pipe", daemon=True).start()

    def _pump(self) -> None:
        read = getattr(self._file, "read1", self._file.read)
        if self._file is sys.stdin.buffer:
            # not through its buffer, whose lock would be held while the program ends
            read = partial(os.read, self._file.fileno())
        chunk = b"-"
        while chunk and not self._stopped.is_set():
            try:
                chunk = read(_CHUNK)
            except (OSError, ValueError):  # closed by others
                chunk = b""
            while not self._stopped.is_set():
                try:
                    self._chunks.put(chunk, timeout=0.5)
                    break
                except queue.Full:
                    continue

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, as soon as there are any; none at the end."""
        while not self._rest and not self._ended:
            try:
                chunk = self._chunks.get(timeout=0.2)
            except queue.Empty:
                if self._stopped.is_set():
                    break
                continue
            self._ended = not chunk
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def stop(self) -> None:
        """Let whoever reads come to an end."""
        self._stopped.set()
