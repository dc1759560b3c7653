"""The plan in docs/scaling.md is what its script reckons."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_table_of_the_docs_is_the_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "scaling_plan.py"))
    script["main"]([])
    table = capsys.readouterr().out.partition("\n| | ")[2]
    assert "| Kinetics-700 |" in table
    assert table in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_twice_the_time_of_a_clip_is_twice_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "scaling_plan.py"))
    hours = []
    for read, frame in (("90", "10"), ("180", "20")):
        script["main"](["--read-h264-ms", read, "--frame-ms", frame, "--digest-mb-s", "1e12"])
        rows = capsys.readouterr().out.splitlines()
        (row,) = [line for line in rows if line.startswith("| extraction")]
        hours.append(float(row.split("|")[4].split()[0].replace(",", "")))
    assert hours[0] == pytest.approx(1e8 * 0.25 / 3600, rel=0.01)
    assert hours[1] == pytest.approx(2 * hours[0], rel=0.01)
