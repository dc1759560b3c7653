"""Runs are read from their folders; what is missing or damaged is said in a line."""

import json
import shutil
from pathlib import Path

import pytest

from frameflow.errors import UsageError
from frameflow.evaluation.predictions import read_predictions
from frameflow.inference.compare import compare_runs, flatten, read_entry
from frameflow.inference.evaluate import evaluate


@pytest.fixture
def runs(small_run: Path, small_clips: Path) -> tuple[Path, Path]:
    """Two copies of a run beside its videos."""
    return tuple(Path(shutil.copytree(small_run, small_clips / name)) for name in ("A", "B"))


def test_a_run_and_its_copy_are_alike(runs: tuple[Path, Path]) -> None:
    found = compare_runs(runs)
    assert found.names == ["A", "B"]
    assert found.settings == []
    assert found.samples == len(read_predictions(runs[0] / "predictions.csv"))
    assert found.pairs[0].effects["top1"].value == 0
    figures = json.loads((runs[0] / "metrics.json").read_text())
    assert found.figures[0]["top1"][0] == figures["top1"]
    assert found.figures[0]["log_loss"][0] == pytest.approx(figures["log_loss"], abs=1e-5)


def test_the_same_folder_twice_has_two_names(small_run: Path) -> None:
    assert compare_runs([small_run, small_run]).names == [str(small_run), f"{small_run} (2)"]


def test_samples_are_the_same_whatever_their_path_starts_from(
    small_run: Path, small_clips: Path
) -> None:
    """The run's own manifest lies in the run, another one beside the videos."""
    run = Path(shutil.copytree(small_run, small_clips / "deep" / "down" / "run"))
    manifest = (small_run / "manifest.csv").read_text().replace("../VIDEOS", "../../../VIDEOS")
    (run / "manifest.csv").write_text(manifest)
    text = (run / "predictions.csv").read_text().replace("../VIDEOS", "../../../VIDEOS")
    (run / "predictions.csv").write_text(text)
    assert compare_runs([shutil.copytree(small_run, small_clips / "A"), run]).samples > 0


def test_an_evaluation_of_a_run(runs: tuple[Path, Path], small_clips: Path) -> None:
    first, second = runs
    for run in runs:
        evaluate(run, small_clips / "manifest.csv", split="all", allow_leak=True, engine="torch")
    folder = next((first / "evaluations").iterdir())
    found = compare_runs([folder, second / "evaluations" / folder.name])
    assert found.samples == 24
    assert found.warnings == [
        f"{run / 'evaluations' / folder.name}: LEAKY SPLIT, groups of it stand in its training too."
        for run in runs
    ]
    with pytest.raises(UsageError, match="of them the same"):
        compare_runs([first, folder])
    own = compare_runs([first, folder], common=True)
    assert own.pairs[0].effects["top1"].value == 0, "the same model on the same clips"


def test_settings_are_flat_and_only_those_that_differ(runs: tuple[Path, Path]) -> None:
    recipe = runs[1] / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("lr: 0.005", "lr: 0.5"))
    assert compare_runs(runs).settings == [("train.lr", [0.005, 0.5])]
    assert flatten({"a": [{"b": 1}, {"b": [2, 3]}]}) == {"a.0.b": 1, "a.1.b": "[2, 3]"}


def test_runs_whose_videos_are_gone(runs: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "VIDEOS")
    assert compare_runs(runs).samples == len(read_entry(runs[0]).predictions)


def test_a_run_that_was_moved_away_from_its_videos(runs: tuple[Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(runs[1], tmp_path / "elsewhere" / "B")
    found = compare_runs([runs[0], moved])
    assert found.pairs[0].effects["top1"].value == 0
    assert len(found.warnings) == 1
    assert "B: its videos are not where its paths lead" in found.warnings[0]


def test_other_videos_of_the_same_names_are_other_samples(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(tmp_path / "VIDEOS", tmp_path / "elsewhere" / "VIDEOS")
    other = shutil.copytree(runs[1], tmp_path / "elsewhere" / "B")
    with pytest.raises(UsageError, match="0 of them the same"):
        compare_runs([runs[0], other])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: shutil.rmtree(run), "does not exist"),
        (lambda run: (run / "metrics.json").unlink(), "was never evaluated: `frameflow evaluate"),
        (lambda run: (run / "metrics.json").write_text("{"), "metrics.json cannot be read"),
        (lambda run: (run / "metrics.json").write_text("[]"), "metrics.json holds no object"),
        (lambda run: (run / "metrics.json").write_text("{}"), "lacks or garbles 'samples'"),
        (lambda run: (run / "predictions.csv").unlink(), "predictions .* cannot be read"),
        (lambda run: (run / "predictions.csv").write_text("a,b\n"), "not a table of predictions"),
        (lambda run: (run / "recipe.yaml").unlink(), "recipe .* cannot be read"),
        (lambda run: (run / "recipe.yaml").write_text("train: {lrr: 1}"), "unknown key"),
        (
            lambda run: [(run / name).unlink() for name in ("metrics.json", "model.json")],
            "its training did not end",
        ),
        (
            lambda run: [p.unlink() for p in run.glob("*.*") if p.is_file()],
            "is no run: it has no metrics.json",
        ),
    ],
)
def test_what_is_missing_or_damaged(spoil: object, says: str, runs: tuple[Path, Path]) -> None:
    spoil(runs[1])  # type: ignore[operator]
    with pytest.raises(UsageError, match=says) as caught:
        compare_runs(runs)
    assert "B" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:-1], r"has \d+ samples, the figures beside it are of \d+"),
        (
            lambda lines: [lines[0], ",".join([*lines[1].split(",")[:-1], "nan"]), *lines[2:]],
            "row 2 is damaged .nan is no probability",
        ),
        (lambda lines: [lines[0], lines[1].replace(",serve,", ",swim,")
                        .replace(",backhand,", ",swim,", 1), *lines[2:]], "1 sample of no label"),
    ],
)  # fmt: skip
def test_predictions_that_do_not_fit(change: object, says: str, runs: tuple[Path, Path]) -> None:
    path = runs[1] / "predictions.csv"
    lines = change(path.read_text().splitlines())  # type: ignore[operator]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match=says):
        compare_runs(runs)


def test_a_run_without_a_test_split_is_compared_on_validation(runs: tuple[Path, Path]) -> None:
    for run in runs:
        evaluate(run, split="val", engine="torch")
        for name in ("metrics.json", "predictions.csv"):
            (run / name).unlink()
    found = compare_runs(runs)
    assert found.splits == ["val", "val"]
    assert all("SEEN IN TRAINING" in warning for warning in found.warnings)
