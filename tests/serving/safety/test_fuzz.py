"""Mutated real videos: each ends in an answer or a refusal, and nothing is left behind."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from films import Films
from fuzzing import KINDS, fuzz, real_films
from mutations import mutated

Until = Callable[..., None]

FEW, MANY = range(60), range(1000, 3000)
LEAK = 48 << 20  # bytes: far below what videos that stay in memory would take


def resident() -> int:
    """Bytes that this process holds, 0 where the system does not tell."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def originals(films: Films) -> list[bytes]:
    return [films[kind].read_bytes() for kind in KINDS]


def check(films: list[bytes], numbers: range, folder: Path, until: Until) -> None:
    fuzz(films, numbers[:10], folder)  # what is loaded once is no leak
    before, threads = resident(), threading.active_count()
    files = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    report = fuzz(films, numbers, folder)
    print(report)
    assert report.wrong == []
    assert sum(report.answers.values()) == 2 * len(numbers)
    assert not [said for said in report.answers if "timeout" in said or "busy" in said], report
    assert any("answered" in said for said in report.answers)
    assert any("unreadable" in said for said in report.answers)
    assert resident() - before < LEAK
    until(lambda: threading.active_count() <= threads)
    if files:
        assert len(list(Path("/proc/self/fd").iterdir())) <= files
    assert [path for path in folder.iterdir() if not path.name.startswith("bad-crashed")] == []


def test_a_few_mutated_videos(originals: list[bytes], tmp_path: Path, until: Until) -> None:
    check(originals, FEW, tmp_path, until)


@pytest.mark.slow
def test_two_thousand_mutated_videos(
    originals: list[bytes], real_data: Path, tmp_path: Path, until: Until
) -> None:
    check(originals + real_films(real_data), MANY, tmp_path, until)


def test_the_same_number_is_the_same_file(originals: list[bytes]) -> None:
    made = [mutated(number, originals) for number in range(50)]
    assert made == [mutated(number, originals) for number in range(50)]
    assert len({data for _, data in made}) == 50
