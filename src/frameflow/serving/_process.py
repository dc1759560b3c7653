"""One worker process, seen from the server."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from frameflow.errors import FrameFlowError
from frameflow.serving import _wire
from frameflow.serving.limits import Limits, Refused, size_text

PROGRAM = (sys.executable, "-P", "-m", "frameflow.serving.worker")
START_SECONDS = 60.0
_PIPE = 1 << 20  # bytes
CANCEL_SECONDS = 1.0  # after which a worker that does not let go is ended
# The token and other secrets of the server's environment are not handed on.
_KEPT = (
    *("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"),
    *("LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
)
_SET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}

Final = ("done", "refused", "cancelled")


class Died(FrameFlowError):
    """The process ended before it answered; the reason says why it was ended, "" if by itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "ended by itself")
        self.reason = reason


class WorkerProcess:
    """A worker process; used by one thread at a time, watched and ended by another.

    Attributes:
        videos: how many it was asked about.
        busy: whether an answer is under way.
    """

    def __init__(
        self, limits: Limits, program: Sequence[str] = PROGRAM, *, folder: Path | None = None
    ) -> None:
        self._limits, self._folder = limits, folder
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            list(program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, **_SET},
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the terminal is for the server
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        _widen(self._replies)
        self._writing = threading.Lock()
        self._reason = ""
        self._deadline: float | None = None
        self._cancelled: Callable[[], bool] | None = None
        self._cancel_sent = False
        self._base: int | None = None  # bytes that it held when it had started
        self._number = 0
        self.busy = False
        self.videos = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def started(self) -> bool:
        return self._base is not None

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait until it has started.

        Raises:
            Died: it did not.
        """
        self._write((self._limits, self._folder))
        self.receive(START_SECONDS)
        self._base = self.memory() or 0

    def ask(
        self, do: str, budget: float, cancelled: Callable[[], bool] | None, **more: Any
    ) -> None:
        """Ask for something, and wait until it has begun; `receive` gives the answers.

        Args:
            do: what.
            budget: seconds of computing that it may take.
            cancelled: is asked now and then whether the answer is still wanted.
            more: of the request.

        Raises:
            Died: the process is no more.
        """
        self._number += 1
        self._cancelled, self._cancel_sent, self.busy = cancelled, False, True
        self.videos += 1
        self._write({"do": do, "id": self._number, "budget": budget, **more})
        self.receive(self._limits.decode_seconds)

    def receive(self, seconds: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The next answer, waited for so long.

        Raises:
            Died: the process ended or was ended.
        """
        self._deadline = time.monotonic() + seconds
        try:
            reply, arrays = _wire.read_reply(self._replies, self._limits.reply_bytes)
        except (EOFError, OSError, ValueError):
            self._process.wait()
            raise Died(self._why()) from None
        except _wire.BadMessage:
            self.kill("nonsense")
            raise Died("nonsense") from None
        finally:
            self._deadline = None
        if reply.get("kind") in Final:
            self.busy = False
        return reply, arrays

    def cancel(self) -> None:
        """Make it stop with what it does; if it does not soon, end it."""
        with suppress(Died):
            self._say_cancel()
            end = time.monotonic() + CANCEL_SECONDS
            while self.busy:
                self.receive(max(0.0, end - time.monotonic()))

    def watch(self) -> None:
        """End it where its time is over or it takes too much memory; called by the watcher."""
        if not self.alive:
            return
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            self.kill("cancelled" if self._cancel_sent else "timeout")
        elif self.grown > self._limits.memory_bytes:
            self.kill("memory")
        elif self.busy and not self._cancel_sent and self._cancelled and self._cancelled():
            with suppress(Died):
                self._say_cancel()
            if self._deadline is not None:
                self._deadline = min(self._deadline, now + CANCEL_SECONDS)

    def kill(self, reason: str) -> None:
        """End it now."""
        self._reason = self._reason or reason
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End it and give back all that it held."""
        self.kill("closed")
        self._process.wait()
        for pipe in (self._requests, self._replies):
            with suppress(OSError):
                pipe.close()

    def memory(self) -> int | None:
        """Bytes that it holds, where the system tells."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return None

    @property
    def grown(self) -> int:
        """Bytes that it holds beyond what it had at its start."""
        return 0 if self._base is None else max(0, (self.memory() or 0) - self._base)

    def _why(self) -> str:
        if not self._reason and self._process.returncode == -getattr(signal, "SIGXCPU", 0):
            return "timeout"
        return self._reason

    def _say_cancel(self) -> None:
        self._cancel_sent = True
        self._write({"do": "cancel", "id": self._number})

    def _write(self, request: Any) -> None:
        try:
            with self._writing:
                _wire.write_request(self._requests, request)
        except (OSError, ValueError):
            self._process.wait()
            raise Died(self._why()) from None


def _widen(pipe: IO[bytes]) -> None:
    """Let clips through in few turns, where the system can."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    except (ImportError, AttributeError, OSError):
        return


def refused_by_death(reason: str, limits: Limits) -> Refused:
    """What the client is told whose video ended a process."""
    cure = "Check that it plays, or convert it to MP4."
    if reason == "timeout":
        message = "Reading this video takes longer than this server allows."
        return Refused(422, "timeout", message, "Send a shorter one, or one in a lower resolution.")
    if reason == "memory":
        message = f"Decoding this video takes more than {size_text(limits.memory_bytes)} of memory."
        return Refused(413, "too_much_memory", message, "Send it in a lower resolution.")
    if reason == "cancelled":
        return not_wanted()
    if reason == "closed":
        return Refused(503, "stopping", "The server is about to stop.", "Try again later.")
    return Refused(422, "crashed", "This video made the decoder crash.", cure)


def not_wanted() -> Refused:
    """The answer that nobody waits for any more."""
    return Refused(499, "cancelled", "The request was cancelled.")
