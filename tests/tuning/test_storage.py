"""The storage of a search: processes that share it and are killed, and files that are not it."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from frameflow.errors import FrameFlowError, UsageError
from frameflow.training.inner import SharedSamples
from frameflow.tuning import search, storage, trials
from frameflow.tuning._locks import held, is_held
from frameflow.tuning.storage import OWNER, PLACE, REASON, Storage, counting, free_place

# A search whose trials are quick to score, so that what is tested is who tries what.
SEARCH = """
import sys, time
from frameflow.training.inner import SharedSamples
from frameflow.tuning import objective, search, trials

pause, hang, how, out = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
begun = 0

def scored(shared, recipe, **more):
    global begun
    begun += 1
    print(recipe.train.lr, flush=True)
    time.sleep(600 if begun == hang else pause)
    value = -abs(recipe.train.lr - 0.03)
    return objective.Scored(value, (value, value), (1, 1), 0.1)

SharedSamples.read = lambda *_: None
search.score_recipe = trials.score_recipe = scored
found = search.tune("manifest.csv", params=["train.lr=log:1e-3..1"], out=out, trials=8, folds=2,
                    finalists=1, seeds=1, refit=False, search=[how])
print("WROTE" if found else "SHARED")
"""
PLAN = {"recipe": "a", "samples": "b"}


@pytest.fixture
def started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that work beside a ``manifest.csv`` and end with the test."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{n}.mp4,{'ab'[n % 2]},{'test' if n < 4 else 'train'},{n // 2}" for n in range(16)]
    Path("manifest.csv").write_text("\n".join(["video,label,split,group", *rows]))
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(how: str, out: str, *, pause: float = 0.0, hang: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SEARCH, str(pause), str(hang), how, out]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_here(how: str, out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process, which has imported everything already."""
    monkeypatch.setattr(sys, "argv", ["-c", "0", "0", how, out])
    for owner, name in ((SharedSamples, "read"), (search, "score_recipe"),
                        (trials, "score_recipe")):  # fmt: skip
        monkeypatch.setattr(owner, name, getattr(owner, name))  # to be put back as it was
    exec(compile(SEARCH, "search", "exec"), {})


def tried(out: str) -> list[tuple[str, str]]:
    """Rate and score of each trial."""
    lines = (Path(out) / "trials.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == [str(number) for number in range(len(lines))]
    return [(line.split(",")[2], line.split(",")[4]) for line in lines]


def test_processes_share_a_search_and_one_is_killed(
    started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, other = start("random", "tuned", hang=2), start("random", "tuned", pause=0.1)
    started += [killed, other]
    assert killed.stdout is not None
    for _ in range(2):
        killed.stdout.readline()
    killed.kill()  # in the middle of its second trial
    _, error = other.communicate(timeout=240)
    assert other.returncode == 0, error
    # Nothing is tried twice or left out, and what is drawn does not depend on who draws it.
    run_here("random", "alone", monkeypatch)
    assert tried("tuned") == tried("alone")
    assert len(set(tried("tuned"))) == 8
    assert {path.name for path in Path("tuned/locks").iterdir()} == {"trials", "results"}
    assert not Path("tuned/study.sqlite-wal").exists()


def test_a_killed_search_goes_on_with_what_it_would_have_tried(
    started: list[subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = start("bayes", "parts", hang=6)  # after those that are spread evenly
    started.append(parts)
    assert parts.stdout is not None
    rates = [parts.stdout.readline().strip() for _ in range(6)]
    parts.kill()
    parts.wait()
    run_here("bayes", "parts", monkeypatch)
    assert capsys.readouterr().out.split()[0] == rates[-1]
    run_here("bayes", "whole", monkeypatch)
    assert tried("parts") == tried("whole")


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys, pathlib\nfrom frameflow.tuning._locks import held\n"
        "with held(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    input()\n"
    )
    assert not is_held(path)
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline().strip() == b"held"
    assert is_held(path)
    with held(path, wait=False) as mine:
        assert not mine
    other.kill()
    other.communicate()
    assert not is_held(path)
    with held(path, wait=False) as mine:
        assert mine
        assert is_held(path)


def test_a_trial_that_is_nobodys_gives_its_place_back(tmp_path: Path) -> None:
    with Storage(tmp_path, PLAN) as opened:
        study = opened.study("random")
        for place, owner in enumerate([opened.owner, "gone", None]):
            trial = study.ask()
            trial.set_user_attr(PLACE, place)
            if owner:
                trial.set_user_attr(OWNER, owner)
        failed = study.ask()
        failed.set_user_attr(PLACE, 3)
        failed.set_user_attr(REASON, "the recipe refuses it")
        study.tell(failed, state=TrialState.FAIL)
        study.ask()  # killed before it was given a place
        assert free_place(study) == 4
        opened.bury_the_dead(study)
        assert [trial.user_attrs[PLACE] for trial in counting(study)] == [0, 3]
        assert free_place(study) == 1
        assert storage.running(study) == 1


# Files that are not it ------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\x00" + b"x" * 200])
def test_a_file_that_is_no_database_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / storage.FILE).write_bytes(content)
    with pytest.raises(UsageError, match=r"study\.sqlite is no SQLite file, or damaged: name"):
        Storage(tmp_path, PLAN).__enter__()
    assert (tmp_path / storage.FILE).read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / storage.FILE) as connection:
        connection.execute("CREATE TABLE films (name TEXT)")
    connection.close()
    with pytest.raises(UsageError, match="the database of another program"):
        Storage(tmp_path, PLAN).__enter__()
    with sqlite3.connect(tmp_path / storage.FILE) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == [("films",)]


def test_the_storage_of_another_search_is_said(tmp_path: Path) -> None:
    for name, plan in (("a", PLAN), ("b", {**PLAN, "samples": "other"})):
        (tmp_path / name).mkdir()
        with Storage(tmp_path / name, plan) as opened:
            opened.study("tpe")
    shutil.copy(tmp_path / "a" / storage.FILE, tmp_path / "b" / storage.FILE)
    opened = Storage(tmp_path / "b", {**PLAN, "samples": "other"})
    with opened, pytest.raises(UsageError, match="storage of a search with other samples"):
        opened.study("tpe")


@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_a_search_of_an_earlier_version_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps({"op_code": 0}))
    with pytest.raises(UsageError, match=f"earlier version .{name}."):
        Storage(tmp_path, PLAN).__enter__()
    assert not (tmp_path / storage.FILE).exists()


def test_a_file_that_another_program_has_locked_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BUSY", 0.2)
    with Storage(tmp_path, PLAN) as opened:
        study = opened.study("tpe")
        other = sqlite3.connect(tmp_path / storage.FILE, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FrameFlowError, match="locked by another program") as said, \
                opened.saying():  # fmt: skip
            study.ask()
        other.close()
        assert not isinstance(said.value, UsageError)
        study.ask()


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    opened = Storage(tmp_path, PLAN)
    with opened:
        opened.study("tpe")
    reader = sqlite3.connect(f"file:{tmp_path / storage.FILE}?mode=ro", uri=True)
    with pytest.raises(FrameFlowError, match="cannot be written"), opened.saying():
        reader.execute("DELETE FROM studies")
    reader.close()


def test_other_faults_are_not_the_storages(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Storage(tmp_path, PLAN).saying():
        raise KeyError("trial")
