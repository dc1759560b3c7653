"""Run folders: named, never written over, and read with the file named that is at fault."""

from pathlib import Path

import pytest

from frameflow.config import dump_recipe, load_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError
from frameflow.training.history import Epoch, write_history
from frameflow.training.run import Run, new_run_folder


def test_default_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = [new_run_folder(recipe="frozen-gru", source="my clips") for _ in range(3)]
    assert [str(path) for path in made] == [f"runs/frozen-gru-my_clips-{n}" for n in (1, 2, 3)]
    assert all(path.is_dir() for path in made)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    used = tmp_path / "used"
    used.mkdir()
    assert new_run_folder(used) == used  # empty: nothing to lose
    (used / "notes.txt").write_text("")
    with pytest.raises(UsageError, match=r"not empty: name a new folder\.$"):
        new_run_folder(used)
    (used / "recipe.yaml").write_text("")
    with pytest.raises(UsageError, match=f"--resume {used}"):
        new_run_folder(used)
    with pytest.raises(UsageError, match="is a file"):
        new_run_folder(tmp_path / "file")
    assert new_run_folder(tmp_path / "deep" / "er").is_dir()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(load_recipe()), encoding="utf-8")
    Manifest([Sample("a.mp4", "run", "train")], tmp_path).write(tmp_path / "manifest.csv")
    write_history(tmp_path / "history.csv", [Epoch(1, 0.1, 2.0, 0.5, 1.5, 0.25)])
    (tmp_path / "metrics.json").write_text('{"top1": 0.5}')
    return Run(tmp_path)


def test_everything_is_read(run: Run) -> None:
    assert run.recipe == load_recipe()
    assert run.manifest.labels == ["run"]
    assert run.history == [Epoch(1, 0.1, 2.0, 0.5, 1.5, 0.25)]
    assert run.metrics == {"top1": 0.5}
    assert not run.is_finished


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("recipe.yaml", "recipe"),
        ("manifest.csv", "manifest"),
        ("history.csv", "history"),
        ("metrics.json", "metrics"),
    ],
)
def test_a_missing_or_damaged_file_is_named(run: Run, name: str, attribute: str) -> None:
    (run.path / name).write_bytes(b"\xff{ no")
    with pytest.raises(UsageError, match=name):
        getattr(Run(run.path), attribute)
    (run.path / name).unlink()
    with pytest.raises(UsageError, match=name):
        getattr(Run(run.path), attribute)


def test_no_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="does not exist"):
        Run(tmp_path / "none")
    with pytest.raises(UsageError, match="is a file"):
        Run(tmp_path / "file")
