"""Checkpoints are whole at any moment."""

import json
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError, UsageError
from frameflow.training._checkpoint import Keeper, Place, find_checkpoints, write_checkpoints
from frameflow.training._learner import Learner
from frameflow.training.history import Epoch, Fitted

WRITER = """
import itertools, sys
from pathlib import Path
import torch
from frameflow.training._checkpoint import write_checkpoints
for count in itertools.count():
    value = {"value": torch.full((2000,), float(count))}
    write_checkpoints(Path(sys.argv[1]), {"last/model": value, "best/model": value}, count)
"""


def test_a_kill_while_writing_leaves_a_pair_that_belongs_together(
    tmp_path: Path, start_child: Callable[..., Any]
) -> None:
    process = start_child(WRITER, tmp_path)
    while not (tmp_path / "checkpoints").exists():
        assert process.poll() is None
        time.sleep(0.01)
    # A stopped process is what a killed one leaves behind, and can be looked at many times.
    for _ in range(40):
        time.sleep(random.uniform(0, 0.02))
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.002)
        folder = tmp_path / "checkpoints"
        folder = folder if folder.exists() else tmp_path / "checkpoints.old"
        count = json.loads((folder / "last" / "state.json").read_text())
        for part in ("last", "best"):
            values = load_file(folder / part / "model.safetensors")["value"]
            assert (values == count).all()
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    assert find_checkpoints(tmp_path) == tmp_path / "checkpoints"


def test_between_the_renames_the_old_pair_is_found(tmp_path: Path) -> None:
    value = {"value": torch.ones(3)}
    write_checkpoints(tmp_path, {"last/model": value, "best/model": value}, 7)
    (tmp_path / "checkpoints").rename(tmp_path / "checkpoints.old")
    found = find_checkpoints(tmp_path)
    assert found is not None
    assert json.loads((found / "last" / "state.json").read_text()) == 7


def test_nothing_written_is_nothing_found(tmp_path: Path) -> None:
    assert find_checkpoints(tmp_path) is None


def keeper(folder: Path, module: nn.Module, **settings: float) -> Keeper:
    learner = Learner(module, Train(**settings), nn.functional.cross_entropy)
    return Keeper(learner, np.random.default_rng(0), folder=folder, training={"lr": 1})


def written(folder: Path) -> Path:
    done = Fitted()
    better = done.add(Epoch(1, 0.1, 1.0, 0.5), Train())
    keeper(folder, nn.Linear(3, 2), ema=0.9).keep(done, better=better, over=True)
    return folder / "checkpoints"


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    done = Fitted()
    keeper(tmp_path, module).keep(done, better=True, over=True)
    other = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    other[1].weight = other[0].weight
    keeper(tmp_path, other).restore()
    assert torch.equal(other[1].weight, module[0].weight)


@pytest.mark.parametrize(
    "name",
    [
        "last/state.json",
        "last/model.safetensors",
        "last/optimizer.safetensors",
        "last/random.safetensors",
        "last/average.safetensors",
        "best/model.safetensors",
    ],
)
@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_a_broken_file_is_named(tmp_path: Path, name: str, fault: str) -> None:
    file = written(tmp_path) / name
    if fault == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UsageError, match=rf"{name} is {fault}.*without --resume"):
        keeper(tmp_path, nn.Linear(3, 2), ema=0.9).restore()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    before = load_file(written(tmp_path) / "last" / "model.safetensors")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(FrameFlowError, match="cannot be written"):
            keeper(tmp_path, nn.Linear(300, 200)).keep(Fitted(), better=True, over=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = load_file(tmp_path / "checkpoints" / "last" / "model.safetensors")
    assert torch.equal(before["weight"], after["weight"])


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(UsageError, match=r"another architecture \(different: weight\)"):
        keeper(tmp_path, nn.Linear(4, 2, bias=True), ema=0.9).restore()
    with pytest.raises(UsageError, match=r"another architecture \(different: 0.bias, 0.weight"):
        keeper(tmp_path, nn.Sequential(nn.Linear(3, 2)), ema=0.9).restore()


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path) / "last" / "state.json"
    state = json.loads(file.read_text())
    del state["format"]
    file.write_text(json.dumps(state))
    with pytest.raises(UsageError, match=r"another version.*without --resume"):
        keeper(tmp_path, nn.Linear(3, 2), ema=0.9).restore()


def test_broken_weights_are_not_written(tmp_path: Path) -> None:
    before = load_file(written(tmp_path) / "last" / "model.safetensors")
    module = nn.Linear(3, 2)
    module.weight.data[0, 0] = float("nan")
    with pytest.raises(FrameFlowError, match=r"no longer finite.*train\.lr"):
        keeper(tmp_path, module).write(Fitted(), Place())
    after = load_file(tmp_path / "checkpoints" / "last" / "model.safetensors")
    assert torch.equal(before["weight"], after["weight"])


def test_inside_an_epoch_a_checkpoint_is_due_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keeper(tmp_path, nn.Linear(3, 2))
    made.pause(Fitted(), Place(step=1))
    assert find_checkpoints(tmp_path) is None
    monkeypatch.setattr("frameflow.training._checkpoint.INTERVAL", 0.0)
    made.pause(Fitted(), Place(step=2))
    assert place_of(tmp_path) == 2
    made.pause(Fitted(), Place(step=3))  # writing the last took more than a tenth of the time
    assert place_of(tmp_path) == 2
    monkeypatch.setattr("frameflow.training._checkpoint.COST", float("inf"))
    made.pause(Fitted(), Place(step=4))
    assert place_of(tmp_path) == 4


def place_of(folder: Path) -> int:
    state = json.loads((folder / "checkpoints" / "last" / "state.json").read_text())
    return int(state["place"]["step"])
