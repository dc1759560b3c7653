# ruff: noqa: ARG002  (fixtures that are wanted for what they make)
"""What holds for all commands: exit codes, streams, and messages without a traceback."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frameflow import config

COMMANDS = [
    "",
    "train",
    "evaluate",
    "predict",
    "crossval",
    "features",
    "recipes",
    "demo",
    "data",
    "data scan",
    "data split",
    "data groups",
    "data check",
    "data import ucf101",
    "data fetch ucf101",
    "timeline",
    "live",
    "serve",
    "export",
    "bench",
    "tune",
]


def shell(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    script = "from frameflow.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], text=True, timeout=100, **options
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, frameflow) -> None:
    said = frameflow(f"{command} --help")
    assert said.code == 0
    assert said.out.startswith("Usage: frameflow")


def test_version(frameflow) -> None:
    from frameflow import __version__

    assert frameflow("--version").out == f"frameflow {__version__}\n"


@pytest.mark.parametrize("line", ["nope", "data nope", "train --nope", "train x --fold one"])
def test_wrong_use_is_2(line: str, frameflow) -> None:
    said = frameflow(line)
    assert said.code == 2
    assert said.out == ""
    assert said.error


class TestFaults:
    """What a command lets through, by the kind of the fault."""

    @pytest.fixture
    def failing(self, frameflow, monkeypatch):
        def run(fault: BaseException, *options: str):
            def fail() -> list[str]:
                raise fault

            monkeypatch.setattr(config, "recipe_names", fail)
            return frameflow(*options, "recipes")

        return run

    def test_a_fault_of_ours_says_so(self, failing) -> None:
        said = failing(ValueError("odd"))
        assert said.code == 1
        assert said.error.startswith("ValueError: odd\nThis is a fault in FrameFlow, not in your")
        assert "`frameflow --debug ...`" in said.error

    def test_debug_shows_where(self, failing) -> None:
        said = failing(ValueError("odd"), "--debug")
        assert said.code == 1
        assert "Traceback" in said.err
        assert "in fail" in said.err

    def test_a_full_disk(self, failing) -> None:
        said = failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/1"))
        assert said.code == 1
        assert said.error == "The disk is full: runs/1. Free some space and run it again."

    def test_no_permission(self, failing) -> None:
        said = failing(PermissionError(errno.EACCES, "Permission denied", "runs"))
        assert said.code == 1
        assert said.error == "runs: Permission denied."


def test_debug_keeps_the_exit_code(frameflow) -> None:
    said = frameflow("--debug train gone")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.error.startswith("gone does not exist")


class TestProcess:
    """What only a process of its own shows."""

    def test_errors_go_to_stderr(self) -> None:
        done = shell("train", "gone", capture_output=True)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("Error: gone does not exist")
        assert len(done.stderr.splitlines()) == 1

    def test_a_terminal_that_knows_few_letters(self, videos, manifest, spoil) -> None:
        spoil(videos / "Rückhand")
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = shell(*("data", "split", "manifest.csv"), capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert "R?ckhand" in done.stdout
        line = ["data", "check", "manifest.csv", "--json", "--no-content"]
        done = shell(*line, capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert "R\\u00fcckhand" in done.stdout, "JSON loses nothing"

    def test_a_reader_that_goes_away(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", "from frameflow.cli import main; main()", "recipes"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            process.stdout.close()
            assert process.stderr
            assert process.stderr.read() == ""
            assert process.wait() == 1

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
    def test_output_to_a_full_disk(self) -> None:
        with Path("/dev/full").open("w") as full:
            done = shell("recipes", stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: The disk is full")

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_an_interrupt(self) -> None:
        script = (
            "import sys, time\n"
            "import frameflow.config\n"
            "def wait():\n"
            "    print('waiting', flush=True)\n"
            "    time.sleep(60)\n"
            "frameflow.config.recipe_names = wait\n"
            "sys.argv = ['frameflow', 'recipes']\n"
            "from frameflow.cli import main\n"
            "main()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "waiting\n"
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert said == "Stopped.\n"
