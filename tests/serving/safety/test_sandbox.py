"""What a worker can do no more, even if a file takes it over."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from films import Films

from frameflow.serving._sandbox import confine
from frameflow.serving.limits import Limits
from frameflow.serving.reader import SafeReader

TRIES = """
import json, os, socket, subprocess, sys, threading
from pathlib import Path
from frameflow.serving._sandbox import confine

inside, outside, port, parent = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), os.getppid()
confined = confine(inside) if sys.argv[4] == "yes" else False

def tried(do):
    try:
        do()
    except OSError:
        return False
    return True

def listen():
    with socket.create_server(("127.0.0.1", 0)):
        pass

found = {
    "write inside": tried(lambda: (inside / "new").write_bytes(b"x")),
    "rename inside": tried(lambda: (inside / "new").replace(inside / "newer")),
    "read outside": tried(lambda: (outside / "old").read_bytes()),
    "write outside": tried(lambda: (outside / "new").write_bytes(b"x")),
    "overwrite outside": tried(lambda: (outside / "old").write_bytes(b"x")),
    "truncate outside": tried(lambda: os.truncate(outside / "old", 0)),
    "remove outside": tried(lambda: (outside / "other").unlink()),
    "make a folder outside": tried(lambda: (outside / "folder").mkdir()),
    "link outside": tried(lambda: (outside / "link").symlink_to("/etc/passwd")),
    "connect": tried(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close()),
    "listen": tried(listen),
    "start a program": tried(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
    "signal the server": tried(lambda: os.kill(parent, 0)),
}
in_thread = []
thread = threading.Thread(
    target=lambda: in_thread.append(tried(lambda: (outside / "thread").write_bytes(b"x")))
)
thread.start()
thread.join()
print(json.dumps({"confined": confined, "write in a thread": in_thread[0], **found}))
"""
ALLOWED = {"confined", "write inside", "rename inside", "read outside"}


def tries(tmp_path: Path, port: int, confined: str) -> dict[str, bool]:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
    for name in ("old", "other"):
        (outside / name).write_bytes(b"text")
    command = [sys.executable, "-c", TRIES, str(inside), str(outside), str(port), confined]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_what_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = tries(tmp_path, server.getsockname()[1], "yes")
    if not found["confined"]:
        pytest.skip("this system has no Landlock")
    assert {what for what, worked in found.items() if worked} == ALLOWED
    assert (tmp_path / "outside" / "old").read_bytes() == b"text"


def test_all_of_it_works_otherwise(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = tries(tmp_path, server.getsockname()[1], "no")
    assert not [what for what, worked in found.items() if not worked and what != "confined"]


def test_another_system_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert confine(None) is False


def test_previews_go_where_they_may(films: Films, tmp_path: Path) -> None:
    with SafeReader(Limits(), workers=1, folder=tmp_path) as reader:
        reader.preview(films["mpeg4.avi"], tmp_path / "preview.mp4")
        assert reader.probe(tmp_path / "preview.mp4").codec == "h264"


SPYING = """
import frameflow.serving.worker as worker
real = worker.probe
def probe(path):
    try:
        (path.parent / "written").write_bytes(b"x")
    except PermissionError:
        pass
    return real(path)
worker.probe = probe
worker.main()
"""


def test_a_worker_is_confined(films: Films, tmp_path: Path) -> None:
    if not _landlock():
        pytest.skip("this system has no Landlock")
    program = (sys.executable, "-c", SPYING)
    with SafeReader(Limits(), workers=1, folder=tmp_path, program=program) as reader:
        assert reader.probe(films["h264.mp4"]).frames == 24
    assert not (films.folder / "written").exists()
    with SafeReader(Limits(), workers=1, program=program) as reader:
        assert reader.probe(films["h264.mp4"]).frames == 24
    (films.folder / "written").unlink()


def _landlock() -> bool:
    code = "from frameflow.serving._sandbox import confine; raise SystemExit(not confine(None))"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0
