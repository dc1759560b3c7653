"""Videos as strangers send them, and readers that are closed again."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from frameflow.serving._process import PROGRAM
from frameflow.serving.limits import Limits
from frameflow.serving.reader import SafeReader

sys.path.append(str(Path(__file__).parent))  # for films and mutations

from films import Films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """Generated videos by their kind."""
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def reader() -> Iterator[SafeReader]:
    """A reader with usual limits and one process, for tests that do not harm it."""
    with SafeReader(Limits(), workers=1) as made:
        yield made


@pytest.fixture
def make_reader() -> Iterator[Callable[..., SafeReader]]:
    """``make_reader(workers=1, program=..., decode_seconds=...)``: with limits by their names."""
    with ExitStack() as stack:

        def make(workers: int = 1, program: tuple[str, ...] = PROGRAM, **limits: Any) -> SafeReader:
            made = SafeReader(Limits(**limits), workers=workers, program=program)
            return stack.enter_context(made)

        yield make


@pytest.fixture
def until() -> Callable[..., None]:
    """``until(condition)``: wait for what must become true soon."""

    def wait(condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not become true"
            time.sleep(0.01)

    return wait


@pytest.fixture
def open_files() -> Callable[[], int]:
    """How many files this process has open."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))
