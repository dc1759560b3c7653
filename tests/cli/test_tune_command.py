"""`frameflow tune`: the table, JSON alone on stdout, and mistakes in two lines."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

LR = "train.lr=log:1e-3..1"
SMALL = ("--trials", "3", "--folds", "2", "--seeds", "1", "--finalists", "1")


def test_a_table_and_files(frameflow: Callable[..., Any], manifest: Path, fast: list[str]) -> None:
    said = frameflow("tune", manifest, "--param", LR, "-o", "tuned", *SMALL, *fast)
    assert said.code == 0, said
    assert "tpe" in said.out
    assert "as it was" in said.out
    assert "Best: " in said.out
    with Path("tuned/trials.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert Path("tuned/run/report.html").is_file()
    assert "<svg" in Path("tuned/tune.html").read_text(encoding="utf-8")

    again = frameflow("tune", manifest, "--param", LR, "-o", "tuned", *SMALL, *fast, "--json")
    found = json.loads(again.out)
    assert found["searches"][0]["trials"] == 3
    assert found["run"] == str(Path("tuned/run"))


def test_mistakes(frameflow: Callable[..., Any], manifest: Path, fast: list[str]) -> None:
    for arguments, words in (
        (["--param", "train.lrr=1..2"], "Did you mean"),
        (["--param", "train.lr=2..1"], "empty"),
        (["--param", LR, "--search", "bays"], "bayes"),
        (["--param", LR, "--bayes", "kernel=cubic"], "matern"),
        (["--param", LR, "--folds", "1"], "folds"),
    ):
        said = frameflow("tune", manifest, "-o", "tuned", *fast, *arguments)
        assert said.code == 2
        assert words in said.error
    assert not Path("tuned").exists()
