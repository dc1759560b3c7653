"""`evaluate` measures the clips and tells the accuracy by columns of the manifest."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.inference.evaluate import evaluate


def with_cameras(run: Path) -> None:
    own = Manifest.read(run / "manifest.csv")
    samples = [
        replace(sample, extra={"camera": "left" if i % 2 else "right", "note": f"clip {i}"})
        for i, sample in enumerate(own)
    ]
    Manifest(samples, own.root).write(run / "manifest.csv")


def test_columns_of_few_values_are_told_unasked(run: Path) -> None:
    with_cameras(run)
    metrics = evaluate(run, engine="torch")
    (column,) = metrics["by"]
    assert column["column"] == "camera"
    assert sum(row["samples"] for row in column["rows"]) == metrics["samples"]
    looks = metrics["conditions"]
    assert looks["measured"] == metrics["samples"]
    assert [one["key"] for one in looks["conditions"]] == ["seconds", "brightness", "motion"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What the accuracy depends on" in page
    assert "By columns of the manifest" in page


def test_an_unknown_column_is_refused_at_once(run: Path) -> None:
    with_cameras(run)
    with pytest.raises(UsageError, match=r"no column 'kamera'\. Did you mean 'camera'"):
        evaluate(run, engine="torch", by="kamera")


def test_by_on_the_command_line(run: Path, frameflow: Callable[..., object]) -> None:
    with_cameras(run)
    said = frameflow(
        "evaluate", run, "--by", "note", "--by", "label", "--engine", "torch", "--json"
    )
    assert [column["column"] for column in json.loads(said.out)["by"]] == ["note", "label"]  # type: ignore[attr-defined]
