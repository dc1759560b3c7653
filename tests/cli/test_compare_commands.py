# ruff: noqa: ARG002  (fixtures that are wanted for what they make)
"""`frameflow compare` and `frameflow ablate` as a user types them."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest


class TestCompare:
    def test_table_page_and_csv(self, run, frameflow) -> None:
        other = Path(shutil.copytree(run, "OTHER"))
        text = (other / "recipe.yaml").read_text().replace("lr: 0.005", "lr: 0.5")
        (other / "recipe.yaml").write_text(text)
        said = frameflow("compare RUN OTHER --csv a.csv --html a.html")
        assert said.code == 0
        assert re.search(r"train\.lr +0\.005 +0\.5", said.out)
        assert "OTHER cannot be told apart from RUN: +0.0 points of top-1" in said.out
        assert "look at the test split" in said.out
        assert "Wrote a.csv." in said.err
        with Path("a.csv").open(newline="", encoding="utf-8") as file:
            assert [row["run"] for row in csv.DictReader(file)] == ["RUN", "OTHER"]
        assert "OTHER against RUN" in Path("a.html").read_text(encoding="utf-8")

    def test_json_and_nothing_else(self, run, frameflow) -> None:
        found = json.loads(frameflow("compare RUN RUN --json").out)
        assert found["base"] == "RUN"
        (pair,) = found["comparisons"]
        assert pair["more_than_chance"] is False
        assert pair["differences"]["top1"]["p"] == 1

    def test_cross_validations(self, manifest, frameflow, fast) -> None:
        for name, head in (("one", "mean"), ("two", "max")):
            options = ["--folds", 2, "-o", name, *fast, "--set", f"head.name={head}"]
            assert frameflow("crossval", manifest, *options).code == 0
        said = frameflow("compare one two")
        assert said.code == 0
        assert "24 samples (out of fold), 12 groups" in said.out
        assert re.search(r"head\.name +mean +max", said.out)
        assert "test split" not in said.out

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("compare RUN", "Name two runs or more"),
            ("compare RUN gone", "gone does not exist"),
            ("compare RUN manifest.csv", "manifest.csv is a file"),
            ("compare RUN VIDEOS", "VIDEOS is no run"),
            ("compare RUN .", "Did you mean RUN?"),
        ],
    )
    def test_mistakes(self, line: str, says: str, manifest, run, frameflow) -> None:
        said = frameflow(line)
        assert said.code == 2
        assert says in said.error


class TestAblate:
    def test_a_grid(self, manifest, frameflow, fast) -> None:
        options = ["--over", "head=mean,max", "--over", "train.lr=0.01,0.1", "-o", "abl"]
        few = ["--recipe", "default", "--seeds", 1, "--folds", 2, *fast]
        said = frameflow("ablate", manifest, *options, *few, "--set", "head.name=mean")
        assert said.code == 0
        assert re.search(r"head\.name=max, train\.lr=0\.1 +0\.\d+", said.out)
        assert re.search(r"main effect", said.out)
        assert re.search(r"The \d+ samples of the test split were not looked at", said.out)
        assert len(list(Path("abl/cells").iterdir())) == 5
        again = frameflow("ablate", manifest, *options, *few, "--set", "head.name=mean", "--json")
        assert "seed 0: top-1" not in again.err, "nothing is trained again"
        found = json.loads(again.out)
        assert found["variants"][0]["name"] == "base"
        assert len(found["main_effects"]) == 2

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("--over head -o a", "must read key=value"),
            ("--over head=meen,max -o a", "Did you mean 'mean'"),
            ("--over head=mean --over head.name=max -o a", "stands there twice"),
            ("--over head=mean --folds 1 -o a", "folds (1)"),
            ("--over head=mean --fold 3 -o a", "no folds"),
            ("--over head=mean -o VIDEOS", "VIDEOS is not empty"),
            ("--over train.lrr=1 -o a", "Did you mean 'lr'"),
            ("--recipe nope --over head=mean -o a", "No recipe is named 'nope'"),
        ],
    )
    def test_mistakes(self, options: str, says: str, manifest, frameflow) -> None:
        said = frameflow(f"ablate manifest.csv {options}")
        assert said.code == 2
        assert says in said.error
        assert not Path("a").exists(), "nothing is begun"
