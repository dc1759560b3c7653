"""Worker processes that crash, hang or grow end alone; the pool goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from films import Films

from frameflow.inference.timeline.shots import ShotRequest, iter_shots
from frameflow.serving.limits import Limits, Refused
from frameflow.serving.reader import SafeReader
from frameflow.video.clip import ClipRequest, read_clips
from frameflow.video.probe import probe

MakeReader = Callable[..., SafeReader]
Until = Callable[..., None]

SMALL = ClipRequest(size=32, views=2, gaps=(1,))
LONG = ShotRequest((ClipRequest(size=224),), grid=30.0)  # 45 MB: more than is sent ahead

posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads Linux's /proc")


def works(reader: SafeReader, films: Films) -> bool:
    return reader.probe(films["h264.mp4"]).frames == 24


@pytest.mark.parametrize("kind", ["h264.mp4", "mpeg4.avi", "vp9.webm", "gif.gif", "odd.mkv"])
def test_clips_are_those_that_are_read_here(kind: str, films: Films, reader: SafeReader) -> None:
    requests = [SMALL, ClipRequest(size=(40, 24), fit="crops", crops=2)]
    info, found = reader.read_with_info(films[kind], requests)
    assert info == probe(films[kind])
    assert len(reader.read(films[kind], requests)) == 2
    here = [read_clips(films[kind], request) for request in requests]
    assert reader.probe(films[kind]) == probe(films[kind])
    for ours, theirs in zip(here, found, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(a.pack(), b.pack())
            assert list(a.runs) == list(b.runs)
            assert np.array_equal(a.indices, b.indices)
            assert np.array_equal(a.seconds, b.seconds)
            assert np.array_equal(a.mask, b.mask)
            assert (a.shown is None) == (b.shown is None)
            if a.shown is not None and b.shown is not None:
                assert np.array_equal(a.shown, b.shown)


@pytest.mark.parametrize("fit", ["crop", "follow"])
def test_shots_are_those_that_are_read_here(fit: str, films: Films, reader: SafeReader) -> None:
    request = ShotRequest((ClipRequest(size=32, fit=fit, stacks=(1,)),), grid=8.0)  # type: ignore[arg-type]
    here, found = (
        list(iter_shots(films["h264.mp4"], request)),
        list(reader.shots(films["h264.mp4"], request)),
    )
    assert len(here) == len(found) == 16
    for a, b in zip(here, found, strict=True):
        assert (a.index, a.seconds, a.moment) == (b.index, b.seconds, b.moment)
        for parts in ("images", "places"):
            for ours, theirs in zip(getattr(a, parts), getattr(b, parts), strict=True):
                assert np.array_equal(ours, theirs)
        assert [at for at, _ in a.looks] == [at for at, _ in b.looks]
        assert all(np.array_equal(x, y) for (_, x), (_, y) in zip(a.looks, b.looks, strict=True))


def test_a_worker_loads_nothing_heavy() -> None:
    script = (
        "import sys, frameflow.serving.worker, frameflow.inference.timeline.shots\n"
        "print([n for n in ('torch', 'openvino', 'onnxruntime', 'fastapi', 'sklearn', 'PIL')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@linux
def test_a_worker_gets_no_secrets_and_limits_itself(
    monkeypatch: pytest.MonkeyPatch, films: Films, make_reader: MakeReader
) -> None:
    monkeypatch.setenv("FRAMEFLOW_TOKEN", "very secret")
    reader = make_reader(memory_bytes=300 << 20, preview_bytes=12345)
    assert works(reader, films)
    (pid,) = reader.pids()
    assert b"very secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert limits.split("Max file size")[1].split()[0] == "12345"
    assert limits.split("Max core file size")[1].split()[0] == "0"
    assert 300 << 20 < int(limits.split("Max address space")[1].split()[0]) < 1500 << 20
    assert int(limits.split("Max cpu time")[1].split()[0]) < 100
    files = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    assert not [name for name in files if name.startswith("socket:")]  # no client's connection


@posix
@pytest.mark.parametrize("how", ["SIGSEGV", "SIGKILL"])
def test_a_crash_ends_one_request(how: str, films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(workers=1)
    shots = reader.shots(films["long.mp4"], LONG)
    next(shots)
    os.kill(reader.pids()[0], getattr(signal, how))
    with pytest.raises(Refused) as refused:
        list(shots)
    assert (refused.value.status, refused.value.code) == (422, "crashed")
    assert works(reader, films)
    assert reader.restarts == 1


@posix
def test_a_crash_leaves_the_other_requests_alone(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(workers=2)
    shots = reader.shots(films["long.mp4"], LONG)
    first = next(shots)
    assert works(reader, films)
    (idle,) = reader._idle
    os.kill(idle.pid, signal.SIGKILL)
    assert works(reader, films)  # found dead before it was asked: no request is lost
    assert len([first, *shots]) == 300
    assert reader.restarts == 1


@posix
def test_a_hang_ends_in_time(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader()
    assert works(reader, films)
    (worker,) = reader._live
    worker._limits = Limits(decode_seconds=0.3)
    os.kill(reader.pids()[0], signal.SIGSTOP)
    with pytest.raises(Refused) as refused:
        reader.probe(films["h264.mp4"])
    assert (refused.value.status, refused.value.code) == (422, "timeout")
    assert works(reader, films)


def test_too_long_reading_ends(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(decode_seconds=0.05)
    with pytest.raises(Refused) as refused:
        reader.read(films["large.mp4"], [ClipRequest(size=224)] * 8)
    assert (refused.value.status, refused.value.code) == (422, "timeout")


def test_a_slow_client_is_no_hang(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader()
    shots = reader.shots(films["long.mp4"], LONG)
    next(shots)
    (worker,) = reader._live
    assert worker._deadline is None  # no clock runs until it asks for more
    assert sum(1 for _ in shots) == 299


@linux
def test_memory_is_limited_by_the_process_itself(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(memory_bytes=60 << 20)
    assert works(reader, films)
    with pytest.raises(Refused) as refused:
        reader.read(films["large.mp4"], [ClipRequest(size=224)])
    assert (refused.value.status, refused.value.code) == (413, "too_much_memory")
    assert works(reader, films)


def patched(change: str) -> tuple[str, ...]:
    """A worker in which something is otherwise."""
    code = f"import frameflow.serving.worker as worker\n{change}\nworker.main()"
    return (sys.executable, "-c", code)


GREEDY = """
import time
worker.limit_process = lambda limits: None
def probe(path):
    held = b"x" * (400 << 20)
    time.sleep(60)
worker.probe = probe
"""


@linux
def test_memory_is_watched_from_outside(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(program=patched(GREEDY), memory_bytes=100 << 20)
    with pytest.raises(Refused) as refused:
        reader.probe(films["h264.mp4"])
    assert (refused.value.status, refused.value.code) == (413, "too_much_memory")
    assert reader.restarts == 1


SPINNING = """
real = worker.limit_cpu
worker.limit_cpu, worker._CPU_SPARE = lambda seconds: real(0), 1
def probe(path):
    while True:
        pass
worker.probe = probe
"""


@posix
def test_cpu_time_is_limited(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(program=patched(SPINNING))  # long before the 60 seconds of the clock
    with pytest.raises(Refused) as refused:
        reader.probe(films["h264.mp4"])
    assert refused.value.code == "timeout"


NONSENSE = {
    "rubbish": "out.write(b'x' * 100)",
    "huge": "out.write(struct.pack('<IQ', 10, 1 << 60))",
    "no arrays": "out.write(message(b'{}'))",
    "deep": "out.write(message(b'[' * 100000))",
    "wrong value": 'out.write(message(b\'{"arrays": [], "kind": "done", "value": 3}\'))',
    "wrong array": 'out.write(message(b\'{"arrays": [["|O8", [1], 0]], "kind": "done"}\'))',
    "long array": 'out.write(message(b\'{"arrays": [["|u1", [9], 0]], "kind": "done"}\'))',
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_worker_that_was_taken_over_is_not_believed(
    what: str, films: Films, make_reader: MakeReader
) -> None:
    program = f"""
import struct, sys
message = lambda head: struct.pack('<IQ', len(head), 0) + head
out = sys.stdout.buffer
out.write(message(b'{{"kind": "ready", "arrays": []}}'))
out.flush()
for _ in range(2):
    sys.stdin.buffer.read(struct.unpack('<IQ', sys.stdin.buffer.read(12))[1])
out.write(message(b'{{"kind": "begun", "arrays": []}}'))
{NONSENSE[what]}
out.flush()
"""
    reader = make_reader(program=(sys.executable, "-I", "-S", "-c", program))
    with pytest.raises(Refused) as refused:
        reader.probe(films["h264.mp4"])
    assert (refused.value.status, refused.value.code) == (422, "crashed")


def test_processes_that_do_not_start_are_told(
    films: Films, make_reader: MakeReader, until: Until
) -> None:
    reader = make_reader(program=(sys.executable, "-c", "raise SystemExit(3)"))
    until(lambda: reader._failed == 3)
    assert not reader.ready
    with pytest.raises(Refused) as refused:
        reader.probe(films["h264.mp4"])
    assert (refused.value.status, refused.value.code) == (503, "no_worker")


def test_a_closed_generator_frees_its_worker(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(workers=1)
    for _ in range(3):
        shots = reader.shots(films["long.mp4"], LONG)
        next(shots)
        shots.close()
    before = reader.pids()
    assert works(reader, films)
    assert reader.pids() == before
    assert reader.restarts == 0


@posix
def test_a_worker_that_does_not_let_go_is_ended(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(workers=1)
    shots = reader.shots(films["long.mp4"], LONG)
    next(shots)
    os.kill(reader.pids()[0], signal.SIGSTOP)
    shots.close()
    assert works(reader, films)
    assert reader.restarts == 1


@pytest.mark.parametrize("what", ["shots", "preview", "waiting"])
def test_what_nobody_waits_for_any_more_ends(
    what: str, films: Films, make_reader: MakeReader, tmp_path: Path
) -> None:
    reader, gone = make_reader(workers=1), threading.Event()
    film, wanted = films["long.mp4"], {"cancelled": gone.is_set}

    def ask() -> None:
        if what == "shots":
            for _ in reader.shots(film, LONG, **wanted):
                gone.set()
        elif what == "preview":
            reader.preview(film, tmp_path / "out.mp4", progress=lambda _: gone.set(), **wanted)
        else:
            holds = reader.shots(film, LONG)
            next(holds)
            threading.Timer(0.2, gone.set).start()
            reader.probe(film, **wanted)

    with pytest.raises(Refused) as refused:
        ask()
    assert (refused.value.status, refused.value.code) == (499, "cancelled")
    assert list(tmp_path.iterdir()) == []


def test_busy_workers_are_told(films: Films, make_reader: MakeReader, until: Until) -> None:
    reader = make_reader(workers=1, queue_seconds=0.3)
    until(lambda: reader._idle)
    shots = reader.shots(films["long.mp4"], LONG)
    next(shots)
    with pytest.raises(Refused) as refused:
        reader.probe(films["h264.mp4"])
    assert (refused.value.status, refused.value.code) == (429, "busy")


def test_long_work_leaves_a_worker_for_others(
    films: Films, make_reader: MakeReader, until: Until
) -> None:
    reader = make_reader(workers=2, queue_seconds=0.3)
    until(lambda: len(reader._idle) == 2)
    shots = reader.shots(films["long.mp4"], LONG)
    next(shots)
    with pytest.raises(Refused) as refused:
        next(reader.shots(films["long.mp4"], LONG))
    assert refused.value.code == "busy"
    assert works(reader, films)


def test_workers_are_replaced_after_some_videos(
    films: Films, make_reader: MakeReader, until: Until
) -> None:
    reader = make_reader(workers=1, videos_per_worker=2)
    first = reader.pids() if works(reader, films) else []
    assert works(reader, films)
    until(lambda: reader.pids() and reader.pids() != first and len(reader.pids()) == 1)
    assert works(reader, films)
    assert reader.restarts == 0


def test_many_threads_share_the_workers(films: Films, make_reader: MakeReader) -> None:
    reader = make_reader(workers=2)
    found: list[int] = []

    def ask() -> None:
        for _ in range(5):
            (clips,) = reader.read(films["h264.mp4"], [SMALL])
            found.append(len(clips))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 40


ORPHANS = """
import sys, time
from pathlib import Path
from frameflow.inference.timeline.shots import ShotRequest
from frameflow.serving.limits import Limits
from frameflow.serving.reader import SafeReader
from frameflow.video.clip import ClipRequest

reader = SafeReader(Limits(), workers=2)
shots = reader.shots(Path(sys.argv[1]), ShotRequest((ClipRequest(size=224),), grid=30.0))
next(shots)
reader.probe(Path(sys.argv[1]))
print(*reader.pids(), flush=True)
time.sleep(60)
"""


@linux
def test_workers_end_with_the_server(films: Films, until: Until) -> None:
    command = [sys.executable, "-c", ORPHANS, str(films["long.mp4"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) == 2
        assert all(_alive(pid) for pid in pids)
        server.kill()
    until(lambda: not any(_alive(pid) for pid in pids))


@linux
def test_closing_leaves_nothing(films: Films, open_files: Callable[[], int], until: Until) -> None:
    before, threads = open_files(), threading.active_count()
    reader = SafeReader(Limits(), workers=2)
    shots = reader.shots(films["long.mp4"], LONG)
    next(shots)
    pids = reader.pids()
    reader.close()
    with pytest.raises(Refused) as refused:
        list(shots)
    assert refused.value.status == 503
    with pytest.raises(Refused):
        reader.probe(films["h264.mp4"])
    until(lambda: not any(_alive(pid) for pid in pids))
    until(lambda: threading.active_count() == threads)
    assert open_files() == before


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
