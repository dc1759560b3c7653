"""The process in which files from strangers are decoded.

The server starts it as a program of its own, asks on its standard input and is answered on its
standard output. It imports neither PyTorch nor the server. It limits itself before it opens
anything, and ends when the server does. The server watches its time and memory from outside.
"""

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from frameflow.errors import UsageError, VideoError
from frameflow.serving import _wire
from frameflow.serving._sandbox import confine
from frameflow.serving._stated import oversize
from frameflow.serving._wire import Arrays
from frameflow.serving.limits import FORMATS, MIB, Limits, Refused, size_text, time_text
from frameflow.serving.sniff import CURE, check_kind
from frameflow.video._guard import Guard, OverLimit, set_guard
from frameflow.video._open import NOT_A_VIDEO
from frameflow.video.clip import read_clips
from frameflow.video.probe import VideoInfo, frame_times, probe

if TYPE_CHECKING:
    from frameflow.inference.timeline.shots import Shot

CHUNK_BYTES = 4 * MIB  # of shots that are sent together
_CHUNKS_AHEAD = 2  # that wait for the server while the next is decoded
_OPEN_FILES = 64
_CPU_SPARE = 5  # seconds


class _Cancelled(Exception):
    """The server no longer wants the answer."""


class Worker:
    """Answers one request after the other."""

    def __init__(self, limits: Limits, out: IO[bytes]) -> None:
        self._limits, self._out = limits, out
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled = -1  # requests up to this number

    def listen(self, requests: IO[bytes]) -> None:
        """Take requests until the server closes or is gone."""
        threading.Thread(target=self._work, daemon=True).start()
        with suppress(EOFError, OSError):
            while True:
                request = _wire.read_request(requests)
                if request["do"] == "cancel":
                    self._cancelled = request["id"]
                else:
                    self._waiting.put(request)

    def _work(self) -> None:
        try:
            self._send({"kind": "ready"})
            while True:
                self._answer(self._waiting.get())
        except OSError:  # nobody listens
            os._exit(0)
        except BaseException:
            logging.getLogger("frameflow").exception("A worker process failed.")
            os._exit(1)

    def _send(self, header: dict[str, Any], arrays: Arrays | None = None) -> None:
        _wire.write_reply(self._out, header, arrays)

    def _answer(self, request: dict[str, Any]) -> None:
        number = request["id"]

        def send(header: dict[str, Any], arrays: Arrays | None = None) -> None:
            self._send({"id": number, **header}, arrays)

        def check() -> None:
            if self._cancelled >= number:
                raise _Cancelled

        do = {"probe": _probe, "read": _read, "shots": _shots, "preview": _preview,
              "times": _times}[request["do"]]  # fmt: skip
        send({"kind": "begun"})
        limit_cpu(request["budget"])
        try:
            begins = check_kind(Path(request["path"]))
            with _refusing(Path(request["path"]), self._limits, begins):
                do(request, self._limits, send, check)
        except _Cancelled:
            send({"kind": "cancelled"})
        except Refused as no:
            about = [no.status, no.code, no.message, no.cure]
            send({"kind": "refused", "refused": about})


Send = Callable[..., None]
Check = Callable[[], None]


@contextmanager
def _refusing(path: Path, limits: Limits, begins: bool) -> Iterator[None]:
    try:
        yield
    except (Refused, _Cancelled):
        raise
    except Exception as error:
        own = error
        if isinstance(error, VideoError) and not isinstance(error, OverLimit):
            own = _oversize(path, limits) or error
        raise refused_by(own, limits, begins) from None


def _oversize(path: Path, limits: Limits) -> OverLimit | None:
    size = oversize(path)
    try:
        if size is not None:
            guard_of(limits).check_size(path, *size)
    except OverLimit as error:
        return error
    return None


def refused_by(error: Exception, limits: Limits, begins: bool) -> Refused:
    """What a client is told of an error; ``begins``: whether the file begins like a video."""
    if isinstance(error, OverLimit):
        return _over(error, limits)
    if isinstance(error, MemoryError):  # also FFmpeg's
        return Refused(
            413, "too_much_memory",
            f"Decoding this video takes more than {size_text(limits.memory_bytes)} of memory.",
            "Send it in a lower resolution.",
        )  # fmt: skip
    if isinstance(error, VideoError):
        if error.reason.startswith("has no video stream"):
            return Refused(422, "no_video", f"This file {error.reason}.", CURE)
        if error.reason == NOT_A_VIDEO and not begins:
            return Refused(415, "not_a_video", "This file is not a video that can be read.", CURE)
        return Refused(
            422, "unreadable", f"This video cannot be read: it {error.reason}.",
            "Check that it plays, or convert it to MP4.",
        )  # fmt: skip
    if isinstance(error, UsageError):
        return Refused(422, "invalid", "This video is not one that the model can look at.")
    # one strange file in which something fails that nobody thought of
    logging.getLogger("frameflow").debug("A video failed.", exc_info=error)
    return Refused(
        422, "unreadable", f"This video cannot be read ({type(error).__name__}).",
        "Check that it plays, or convert it to MP4.",
    )  # fmt: skip


def _over(error: OverLimit, limits: Limits) -> Refused:
    if error.limit == "seconds":
        return Refused(
            413, "too_long", f"This video lasts longer than {time_text(limits.seconds_of_video)}.",
            "Cut it into shorter ones.",
        )  # fmt: skip
    if error.limit == "frames":
        return Refused(
            413, "too_long", f"This video has more than {limits.frames:,} frames.",
            "Cut it into shorter ones.",
        )  # fmt: skip
    if error.limit == "pixels":
        return Refused(
            413, "too_many_pixels", f"This video {error.reason}.", "Send it in a lower resolution."
        )
    return Refused(413, "too_many_streams", f"This file {error.reason}.", CURE)


def _about(path: Path, limits: Limits) -> VideoInfo:
    info = probe(path)
    guard = guard_of(limits)
    guard.check_size(path, info.width, info.height)
    guard.check_length(path, info.frames, info.duration)
    return info


def _probe(request: dict[str, Any], limits: Limits, send: Send, check: Check) -> None:
    info = _about(Path(request["path"]), limits)
    check()
    send({"kind": "done", "value": _wire.pack_info(info)})


def _times(request: dict[str, Any], limits: Limits, send: Send, check: Check) -> None:
    path, arrays = Path(request["path"]), Arrays()
    info = _about(path, limits)
    check()
    value = [_wire.pack_info(info), arrays.add(frame_times(path))]
    send({"kind": "done", "value": value}, arrays)


def _read(request: dict[str, Any], limits: Limits, send: Send, check: Check) -> None:
    path, arrays = Path(request["path"]), Arrays()
    info = _about(path, limits)
    found = []
    for wanted in request["requests"]:
        check()
        found.append(read_clips(path, wanted, info=info))
    value = [_wire.pack_info(info), _wire.pack_clips(found, arrays)]
    send({"kind": "done", "value": value}, arrays)


def _shots(request: dict[str, Any], limits: Limits, send: Send, check: Check) -> None:
    """Send chunks; decoding goes on while the server does not take them, but not far."""
    from frameflow.inference.timeline.shots import iter_shots

    path = Path(request["path"])
    info = _about(path, limits)
    shots = iter_shots(path, request["request"], info=info)
    ready: queue.Queue[list[Any] | BaseException | None] = queue.Queue(_CHUNKS_AHEAD)
    stop = threading.Event()

    def decode() -> None:
        end: BaseException | None = None
        try:
            for chunk in _chunks(takewhile(lambda _: not stop.is_set(), shots)):
                if not _put(ready, chunk, stop):
                    return
        except BaseException as error:
            end = error
        _put(ready, end, stop)

    decoding = threading.Thread(target=decode, daemon=True)
    decoding.start()
    try:
        while True:
            chunk = _take(ready, check)
            if isinstance(chunk, BaseException):
                raise chunk
            if chunk is None:
                break
            arrays = Arrays()
            value = _wire.pack_shots(chunk, arrays)
            send({"kind": "part", "value": value}, arrays)
            check()
    finally:
        stop.set()
        decoding.join()  # nothing of this request goes on when its answer says that it ended
    send({"kind": "done", "value": []})


def _put(into: "queue.Queue[Any]", item: object, stop: threading.Event) -> bool:
    while not stop.is_set():
        with suppress(queue.Full):
            into.put(item, timeout=0.1)
            return True
    return False


def _take(ready: "queue.Queue[Any]", check: Check) -> Any:
    while True:
        check()
        with suppress(queue.Empty):
            return ready.get(timeout=0.1)


def _chunks(shots: "Iterator[Shot]") -> "Iterator[list[Shot]]":
    for first in shots:
        parts = [*first.images, *(look for _, look in first.looks)]
        size = max(1, sum(part.nbytes for part in parts))
        yield [first, *islice(shots, max(0, CHUNK_BYTES // size - 1))]


def _preview(request: dict[str, Any], limits: Limits, send: Send, check: Check) -> None:
    from frameflow.serving.preview import write_preview

    path = Path(request["path"])
    info = _about(path, limits)
    if info.duration > limits.preview_seconds:
        raise Refused(
            413, "too_long",
            f"Previews are made of videos up to {time_text(limits.preview_seconds)}.",
            "Convert it to MP4 (H.264), which browsers play.",
        )  # fmt: skip

    def progress(share: float) -> None:
        check()
        send({"kind": "part", "value": round(share, 4)})

    write_preview(info, Path(request["out"]), side=limits.preview_side, progress=progress)
    send({"kind": "done", "value": 1.0})


# Limits that a process sets itself --------------------------------------------------------------


def guard_of(limits: Limits) -> Guard:
    """What the reader of videos is told to refuse."""
    return Guard(
        formats=FORMATS,
        pixels=limits.pixels_of_frame,
        side=limits.side_of_frame,
        streams=limits.streams,
        frames=limits.frames,
        seconds=limits.seconds_of_video,
    )


def limit_process(limits: Limits) -> None:
    """Memory, files and their size, where the platform can limit them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    most = {"CORE": 0, "FSIZE": limits.preview_bytes, "NOFILE": _OPEN_FILES}
    with suppress(OSError):  # Linux tells the address space; elsewhere a limit of it breaks threads
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most["AS"] = pages * resource.getpagesize() + limits.memory_bytes
    for name, value in most.items():
        which = getattr(resource, f"RLIMIT_{name}", None)
        if which is not None:
            with suppress(OSError, ValueError):  # the user's own limit may be lower
                resource.setrlimit(which, (value, value))


def limit_cpu(seconds: float) -> None:
    """From now on so many seconds of computing, then the system ends this process."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + _CPU_SPARE
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def main() -> None:
    """Serve the process that started this one."""
    requests, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    sys.stdout = sys.stderr
    logging.getLogger("frameflow").addHandler(logging.NullHandler())
    logging.getLogger("frameflow").propagate = False
    limits, folder = _wire.read_request(requests)
    import av

    av.logging.set_level(None)
    confine(folder)
    limit_process(limits)
    set_guard(guard_of(limits))
    Worker(limits, out).listen(requests)
    os._exit(0)


if __name__ == "__main__":
    main()
