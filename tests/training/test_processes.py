"""Two processes (gloo, on the CPU) learn what one does, write once, and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_team
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_clips import TinyVideos, tiny_module

from frameflow.config import Augment, Recipe, Train, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, UsageError
from frameflow.models.recognizer import build_streams
from frameflow.training import _team
from frameflow.training._team import Team, parts, refuse_unlike
from frameflow.training.history import read_history
from frameflow.training.videos import VideoExamples

HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, *map(str, arguments)],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tiny_team` leaves behind, with two processes."""
    folder = tmp_path_factory.mktemp("by two")
    for name in (*tiny_team.SETTINGS, "stopped-by-one", "stopped-by-two"):
        (folder / name).mkdir()
    tiny_team.stopped(folder / "stopped-by-one")
    done = torchrun(HERE / "tiny_team.py", folder)
    assert all((folder / f"whole-{rank}").exists() for rank in (0, 1)), done.stderr
    (folder / "said").write_text(f"{done.returncode}\n{done.stderr}")
    return folder


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(path, weights_only=True))


def assert_near(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("name", tiny_team.SETTINGS)
def test_two_processes_learn_what_one_does(by_two: Path, name: str) -> None:
    start = tiny_team.module_without_dropout().state_dict()
    module, fitted, _ = tiny_team.learn(name, None)
    first, second = (weights(by_two / f"{name}-{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    if name == "norm":  # each sees its own part: the same in both, and not far from the whole
        near = (
            first["backbone.model.1.running_var"]
            / module.state_dict()["backbone.model.1.running_var"]
        )
        assert float((near - 1).abs().max()) < 0.2
        return
    assert_near(first, module.state_dict())
    moved = max(float((first[key] - start[key]).abs().max()) for key in first)
    assert moved > 0.02  # far more than the tolerance
    facts = [json.loads((by_two / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]
    assert facts[0]["losses"] == facts[1]["losses"]
    assert facts[0]["losses"] == pytest.approx([r.val_loss for r in fitted.history], abs=1e-4)
    # In every epoch each validation sample is scored once: one by the one or by the other.
    epochs = len(fitted.history)
    seen = sorted(facts[0]["made"] + facts[1]["made"])
    assert seen[: 11 * epochs] == sorted(list(range(11)) * epochs)
    assert [row.epoch for row in read_history(by_two / name / "history.csv")] == [
        row.epoch for row in fitted.history
    ]
    assert len(list((by_two / name / "tensorboard").iterdir())) == 1


def test_a_training_goes_on_with_another_number_of_processes(by_two: Path) -> None:
    expected = tiny_team.learn("everything", None)[0].state_dict()
    assert_near(weights(by_two / "resumed-0.pt"), expected)
    state = json.loads((by_two / "stopped-by-two/checkpoints/last/state.json").read_text())
    assert len(state["done"]["history"]) == 2
    module, fitted, _ = tiny_team.learn("everything", by_two / "stopped-by-two", resume=True)
    assert_near(module.state_dict(), expected)
    assert len(fitted.history) > 2


def test_where_one_process_fails_all_end_with_its_error(by_two: Path) -> None:
    code, *said = (by_two / "said").read_text().splitlines()
    assert code == "1"
    errors = [line for line in said if line.startswith("Error: ")]
    assert errors == ["Error: The second one is broken."]


@given(st.integers(0, 50), st.integers(1, 9))
def test_parts_are_the_whole_and_differ_by_one_at_most(count: int, size: int) -> None:
    rows = np.arange(count)
    cut = [rows[part] for part in parts(count, size)]
    assert np.concatenate(cut).tolist() == rows.tolist()
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


class Four(Team):
    size = 4

    def gather(self, value: Any) -> list[Any]:
        return [value, value, value, {**value, "training samples": 21}]


def test_more_processes_than_samples_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_team, "_now", Four())
    settings = Train(batch_size=5)  # 22 samples are five batches, the smallest of 4
    same = {"training samples": 21}
    refuse_unlike(same, tiny_module(), TinyVideos(22), settings)
    with pytest.raises(UsageError, match=r"too many for 3 samples a step .*Start at most 3\."):
        refuse_unlike(same, tiny_module(), TinyVideos(11), settings)
    norm = torch.nn.BatchNorm1d(4)  # cannot learn from one vector
    with pytest.raises(UsageError, match=r"each needs 2 or more\. Start at most 2"):
        refuse_unlike(same, norm, TinyVideos(22), settings)


def test_processes_that_see_different_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_team, "_now", Four())
    with pytest.raises(FrameFlowError, match=r"see different data \(training samples\)"):
        refuse_unlike({"training samples": 22}, tiny_module(), TinyVideos(22), Train(batch_size=8))


@pytest.mark.parametrize("augment", [{"crop": 0.5, "colour": 0.3}, {"mixup": 0.4, "cutmix": 1.0}])
def test_a_part_of_a_batch_is_augmented_as_in_the_whole(
    manifest: Manifest, tiny: list[str], augment: dict[str, float]
) -> None:
    recipe = load_recipe("lite0-tsm", [*tiny[:4], "head={name: mean}", "streams.0.shift=0"])
    recipe = Recipe.model_validate({**recipe.model_dump(), "augment": Augment(**augment)})
    examples = VideoExamples(
        manifest, recipe, build_streams(recipe), manifest.label_names(), purpose="train"
    )
    rows = np.array([3, 0, 7, 5, 2])
    whole = examples.batch(rows, np.random.default_rng(4))
    for part in parts(5, 2):
        found = examples.part(rows, np.random.default_rng(4), part)
        assert torch.equal(found.inputs[0], whole.inputs[0][part])
        assert torch.equal(found.targets, whole.targets[part])
        assert torch.equal(found.mask, whole.mask[part])


# The command -----------------------------------------------------------------------------------

TINY = [
    "--recipe", "lite0-tsm", "--engine", "torch",
    *(word for change in (
        "streams.0.backbone=resnet10t", "streams.0.weights=none", "streams.0.shift=0",
        "streams.0.size=32", "sampling.frames=4", "train.batch_size=5", "train.epochs=2",
        "head.dropout=0", "train.precision=float32", "evaluation.resamples=50",
    ) for word in ("--set", change)),
]  # fmt: skip


def test_bad_numbers_of_processes(
    frameflow: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("0", "-2"):
        said = frameflow("train", "m.csv", *TINY, "--processes", number)
        assert said.error == f"--processes ({number}) must be at least 1."
        assert said.code == 2
    said = frameflow("train", "m.csv", "--find-lr", "--processes", "2")
    assert said.error == "--find-lr runs in one process: leave --processes away."
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = frameflow("train", "m.csv", *TINY, "--processes", "2")
    assert "torchrun has started 2 processes already" in said.error


def test_heads_over_stored_features_learn_in_one_process(
    frameflow: Callable[..., Any], fast: list[str], small_clips: Path
) -> None:
    said = frameflow(
        "train", small_clips / "manifest.csv", "-o", small_clips / "R", *fast, "--processes", "2"
    )
    assert said.code == 0
    assert "learns in one process" in said.err


def test_an_environment_that_is_incomplete(
    frameflow: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    said = frameflow("train", "m.csv", *TINY)
    assert said.code == 2
    assert "use torchrun, or unset WORLD_SIZE" in said.error


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "frameflow", "train", *map(str, arguments)]


def test_the_command_tells_an_error_once(tmp_path: Path) -> None:
    arguments = (tmp_path / "missing.csv", *TINY, "-o", tmp_path / "run", "--processes", "2")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 2, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == "Training in 2 processes."
    assert [line.startswith("Error: ") and "missing.csv" in line for line in said[1:]] == [True]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_makes_one_run(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(manifest.root / "m.csv")
    arguments = (manifest.root / "m.csv", *TINY, "-o", tmp_path / "run", "--processes", "2")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Training the mean head") == 1
    assert done.stdout.count("top-1") >= 1
    assert done.stdout.count("Run:") == 1
    record = json.loads((tmp_path / "run" / "model.json").read_text())["extra"]["training"]
    assert record["processes"] == 2
    assert (tmp_path / "run" / "report.html").exists()
    assert len(read_history(tmp_path / "run" / "history.csv")) == 2


@pytest.mark.slow
def test_the_command_makes_one_run_with_a_teacher(manifest: Manifest, tmp_path: Path) -> None:
    manifest.write(manifest.root / "m.csv")
    for name, more in (("one", []), ("two", ["--processes", "2", "--teacher", tmp_path / "one"])):
        arguments = (manifest.root / "m.csv", *TINY, "-o", tmp_path / name, *more)
        done = subprocess.run(command(*arguments), capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
    assert done.stderr.count("Asking the teacher") == 1
    about = json.loads((tmp_path / "two" / "model.json").read_text())["extra"]
    assert about["training"]["processes"] == 2
    assert about["teacher"]["run"] == "one"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_all_end_and_a_checkpoint_is_there(
    manifest: Manifest, tmp_path: Path, how: signal.Signals
) -> None:
    manifest.write(manifest.root / "m.csv")
    long = [word.replace("epochs=2", "epochs=300") for word in TINY]
    options = [*long, "--set", "train.patience=null", "-o", tmp_path / "run", "--processes", "2"]
    process = subprocess.Popen(
        command(manifest.root / "m.csv", *options), stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT, start_new_session=True, preexec_fn=_hears_ctrl_c,
    )  # fmt: skip
    try:
        while not (tmp_path / "run" / "checkpoints").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        killed = max(map(int, children)) if how == signal.SIGKILL else process.pid
        os.kill(killed, how)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    if how == signal.SIGKILL:
        assert process.returncode == 1
        assert "was ended by SIGKILL (the memory was full?)" in said
    else:
        assert process.returncode == 130
        assert said.count("Stopping after this step") == 1
        assert said.count("Go on with: frameflow train --resume") == 1
    before = json.loads((tmp_path / "run/checkpoints/last/state.json").read_text())
    assert before["done"]["history"]
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _hears_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
