"""docs/serve.md is true: its curl commands work, its limits and figures are those of the server."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from frameflow.serving.limits import MIB
from frameflow.serving.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
SHELL = [
    block
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    if "frameflow serve" not in block
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("block", SHELL)
def test_curl_gets_answers(server: Any, block: str, tmp_path: Path) -> None:
    shutil.copy(server.clips[0], tmp_path / "clip.mp4")
    script = block.replace("http://127.0.0.1:8000", server.url).replace("model=first", "model=run")
    # -f: an error ends the script; a job that is not done yet is asked for again
    script = script.replace("curl ", "curl -sS --fail-with-body --retry 9 --retry-all-errors ")
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stdout + said.stderr
    answers = said.stdout
    assert ('"label"' in answers) or ("WEBVTT" in answers)


def test_the_limits_are_those_of_the_server() -> None:
    table = re.search(r"<!-- limits -->\n(.*?)<!-- /limits -->", PAGE, re.DOTALL)
    assert table
    settings = Settings()
    limits = settings.limits
    values = {
        "--max-mb": limits.bytes / MIB, "--max-seconds": limits.seconds_of_video,
        "--max-frames": limits.frames, "--max-pixels": limits.pixels_of_frame,
        "--decode-seconds": limits.decode_seconds, "--worker-mb": limits.memory_bytes / MIB,
        "--disk-mb": limits.quota_bytes / MIB, "--queue": settings.queue,
        "--jobs": settings.jobs, "--workers": settings.workers, "--ttl": settings.ttl,
    }  # fmt: skip
    rows = re.findall(r"^\| .* \| (\d+)[^|]*\| `(--[a-z-]+)` \|$", table[1], re.MULTILINE)
    assert {option: float(value) for value, option in rows} == values


def test_the_command_has_the_same_defaults() -> None:
    from typer.main import get_command

    from frameflow.cli import build_app

    command: Any = get_command(build_app())
    defaults = {p.opts[0]: p.default for p in command.commands["serve"].params}
    settings = Settings()
    for option in ("--workers", "--queue", "--jobs", "--ttl", "--batch", "--host", "--port"):
        assert defaults[option] == getattr(settings, option[2:]), option
    assert defaults["--max-mb"] * MIB == settings.limits.bytes


def test_every_address_is_told(server: Any) -> None:
    for path in server.http.get("/openapi.json").json()["paths"]:
        start = re.sub(r"/\{.*|/samples.*|timeline\..*", "", path)
        last = start.rsplit("/", 1)[1]
        assert last in PAGE, path


def test_every_figure_is_told(server: Any) -> None:
    names = re.findall(r"^# TYPE (\S+)", server.http.get("/metrics").text, re.MULTILINE)
    missing = [name for name in names if name not in PAGE and name != "frameflow_ready"]
    assert not missing
