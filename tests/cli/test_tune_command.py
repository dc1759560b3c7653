"""`frameflow tune`: the table, JSON alone on stdout, and mistakes in two lines."""

import csv
import json
import shlex
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

    # The command it names trains the same.
    words = shlex.split(found["command"])
    assert words[0] == "frameflow"
    assert frameflow(*words[1:]).code == 0
    one, two = (
        [
            line.partition(",")[2]  # without the way to the video
            for line in Path(run, "predictions.csv").read_text(encoding="utf-8").splitlines()
        ]
        for run in ("tuned/run", "tuned-best")
    )
    assert one == two


def test_mistakes(frameflow: Callable[..., Any], manifest: Path, fast: list[str]) -> None:
    for arguments, words in (
        (["--param", "train.lrr=1..2"], "Did you mean 'lr'"),
        (["--param", "train.lr=2..1"], "empty"),
        (["--param", "train.lr=log:0..1"], "above 0"),
        (["--param", "head.name=gru,lstn"], "lstm"),
        (["--param", "train.seed=1,2"], "luck"),
        (["--param", LR, "--trials", "0"], "trials"),
        (["--param", LR, "--search", "bays"], "bayes"),
        (["--param", LR, "--bayes", "kernel=cubic"], "matern"),
        (["--param", LR, "--bayes", "kernel=rbf"], "not asked for"),
        (["--param", LR, "--folds", "1"], "folds"),
        (["--param", f"{LR}/9", "--search", "grid", "--trials", "4"], "9 combinations"),
    ):
        said = frameflow("tune", manifest, "-o", "tuned", *fast, *arguments)
        assert said.code == 2
        assert words in said.error
    assert not Path("tuned").exists()
