"""The report is written again from the files of a run; what is wrong with these is said."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Frameflow = Callable[..., Any]


@pytest.fixture
def run(small_run: Path, small_clips: Path) -> Path:
    """A copy of a run that the test may spoil."""
    return Path(shutil.copytree(small_run, small_clips / "RUN", copy_function=shutil.copy2))


def test_the_same_report_without_the_model(run: Path, frameflow: Frameflow) -> None:
    card = (run / "README.md").read_bytes()
    page = (run / "report.html").read_text(encoding="utf-8")
    for name in ("README.md", "report.html", "model.safetensors"):
        (run / name).unlink()
    said = frameflow("report", run)
    assert said.code == 0, said.err
    assert str(run / "report.html") in said.out
    assert (run / "README.md").read_bytes() == card
    again = (run / "report.html").read_text(encoding="utf-8")

    def ids(text: str) -> list[str]:
        return re.findall(r'<(?:section|h2)[^>]* id="(\w+)"', text)

    assert ids(again) == ids(page)
    assert len(ids(page)) > 5

    def figures(text: str) -> list[str]:
        return re.findall(r'<td class="number">([^<]*)</td>', text)

    assert figures(again) == figures(page)


def test_a_further_score_has_a_report_of_its_own(run: Path, frameflow: Frameflow) -> None:
    assert frameflow("evaluate", run, "--split", "val", "--engine", "torch").code == 0
    folder, own = run / "evaluations" / "val", (run / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert frameflow("report", folder).code == 0
    assert "SEEN IN TRAINING" in (folder / "report.html").read_text(encoding="utf-8")
    assert (run / "report.html").read_bytes() == own


def test_by_a_column_of_the_manifest(run: Path, frameflow: Frameflow) -> None:
    lines = (run / "manifest.csv").read_text(encoding="utf-8").splitlines()
    cameras = [f"{line},{'camera-one' if i % 2 else 'camera-two'}" for i, line in enumerate(lines)]
    cameras[0] = lines[0] + ",camera"
    (run / "manifest.csv").write_text("\n".join(cameras), encoding="utf-8")
    assert frameflow("report", run, "--by", "camera").code == 0
    assert "camera-one" in (run / "report.html").read_text(encoding="utf-8")
    assert "no column 'kamera'" in frameflow("report", run, "--by", "kamera").error


def _edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        path = run / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    return spoil


def _drop(*names: str) -> Callable[[Path], None]:
    return lambda run: [(run / name).unlink() for name in names] and None


def _without(key: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        held = json.loads(text)
        del held[key]
        return json.dumps(held)

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_drop("metrics.json", "report.html"), "was never evaluated .*frameflow evaluate"),
        (_drop("metrics.json", "model.json"), "is no finished run: .*frameflow train"),
        (_drop("predictions.csv"), r"predictions\.csv is missing.*frameflow evaluate"),
        (_drop("recipe.yaml"), r"recipe\.yaml is missing"),
        (_drop("manifest.csv"), r"manifest\.csv is missing"),
        (_edit("metrics.json", lambda text: text[:200]), r"metrics\.json is damaged"),
        (_edit("metrics.json", lambda _: "[]"), r"metrics\.json is damaged"),
        (_edit("metrics.json", lambda _: "{}"), "lacks samples.*frameflow evaluate"),
        (_edit("metrics.json", _without("per_class")), "lacks per_class"),
        (
            _edit("metrics.json", lambda t: re.sub(r'"log_loss": [\d.e-]+', '"log_loss": NaN', t)),
            "NaN is no figure",
        ),
        (_edit("recipe.yaml", lambda _: "head: [1"), r"recipe\.yaml is not valid YAML"),
        (_edit("manifest.csv", lambda _: ""), r"manifest\.csv is empty"),
        (
            _edit("predictions.csv", lambda text: text.replace("p:serve", "p:smash")),
            r"another label set \(backhand, smash\) than metrics\.json \(backhand, serve\)",
        ),
        (
            _edit("predictions.csv", lambda text: text.replace(",serve,", ",smash,")),
            "has the labels smash, which the model does not know",
        ),
        (
            _edit("predictions.csv", lambda text: text.rsplit("\n", 2)[0] + "\n"),
            "different evaluations",
        ),
        (
            _edit("predictions.csv", lambda text: re.sub(r",0\.\d+\n", ",nan\n", text, count=1)),
            r"predictions\.csv, row 2 is damaged \(nan is no probability\)",
        ),
        (_edit("predictions.csv", lambda text: text.replace(",", ";")), "is not a table"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    run: Path, frameflow: Frameflow, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(run)
    before = (run / "README.md").read_bytes()
    assert re.search(f"(?s){said}", frameflow("report", run).error)
    assert (run / "README.md").read_bytes() == before


def test_of_no_run_there_is_no_report(tmp_path: Path, frameflow: Frameflow) -> None:
    assert "does not exist" in frameflow("report", tmp_path / "nothing").error
    (tmp_path / "file").write_text("")
    assert "is a file" in frameflow("report", tmp_path / "file").error
    assert "no finished run" in frameflow("report", tmp_path).error


def test_a_damaged_history_costs_the_curves_only(run: Path, frameflow: Frameflow) -> None:
    (run / "history.csv").write_text("epoch,lr\n1,x\n", encoding="utf-8")
    said = frameflow("report", run)
    assert said.code == 0
    assert "damaged" in said.err
