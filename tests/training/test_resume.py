"""A training stopped at any moment goes on to the weights it would have had."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_clips import EVERYTHING, TinyVideos, checkpoint_always, fit_tiny, tiny_module
from torch import nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError
from frameflow.training import _checkpoint
from frameflow.training.examples import Batch
from frameflow.training.history import Fitted, read_history


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """As in a terminal: what runs in the background begins with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(_checkpoint, "COST", float("inf"))


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def unhurried(fitted: Fitted) -> Fitted:
    for row in fitted.history:
        row.seconds = 0.0
    return fitted


def progress_of(run: Path) -> tuple[int, int]:
    """Epochs that are done, and batches of the next."""
    try:
        state = json.loads((run / "checkpoints" / "last" / "state.json").read_text())
    except (OSError, ValueError):
        return 0, 0
    return len(state["done"]["history"]), state["place"]["step"]


def test_killed_inside_an_epoch_it_resumes_to_the_same_weights(
    tmp_path: Path, start_child: Callable[..., Any]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    code = (Path(__file__).parent / "tiny_clips.py").read_text()
    # The second kill falls into the second round (of at least four epochs each, by patience).
    for arguments, least in (([], (0, 1)), (["--resume"], (4, 1))):
        process = start_child(code, broken, *arguments)
        while not (progress_of(broken) >= least and progress_of(broken)[1]):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.003)
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    modules = tiny_module(), tiny_module(seed=5)
    checkpoint = _checkpoint.INTERVAL, _checkpoint.COST
    try:
        checkpoint_always()
        expected = fit_tiny(modules[0], TinyVideos(), whole)
        found = fit_tiny(modules[1], TinyVideos(), broken, resume=True)
    finally:
        _checkpoint.INTERVAL, _checkpoint.COST = checkpoint
    assert same(*modules)
    assert unhurried(found) == unhurried(expected)
    assert len(expected.ends) == 2
    for name in ("last/model", "last/optimizer", "last/average", "last/random", "best/model"):
        first, second = (run / "checkpoints" / f"{name}.safetensors" for run in (whole, broken))
        assert first.read_bytes() == second.read_bytes(), name
    assert [row.epoch for row in read_history(broken / "history.csv")] == [
        row.epoch for row in expected.history
    ]


class Broken(TinyVideos):
    """Stops at a batch, wherever in the training that is."""

    def __init__(self, stop_at: int, **options: int) -> None:
        super().__init__(**options)
        self.left = stop_at

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        self.left -= 1
        if self.left < 0:
            raise OSError
        return super().batch(rows, rng)


CHANGES = {
    "everything": {},
    "every sample in this thread": {"workers": 0},
    "no average, cosine": {"ema": None, "schedule": "cosine", "accumulate": 1},
    "sgd, oversampling": {"optimizer": "sgd", "balance": "oversample", "accumulate": 3},
    "bfloat16": {"precision": "bfloat16", "norm": "fixed"},
}


@pytest.mark.usefixtures("_always")
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_stopped_at_any_batch_it_resumes_to_the_same_weights(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    changes = dict(changes)
    workers = changes.pop("workers", 2)
    settings = Train.model_validate(EVERYTHING.model_dump() | changes)
    whole = tiny_module()
    expected = fit_tiny(whole, TinyVideos(workers=workers), None, settings=settings)
    # An odd number of batches into the training, over and over, until it comes to its end.
    module, stops = tiny_module(), 0
    while True:
        training = Broken(13, workers=workers)
        try:
            found = fit_tiny(module, training, tmp_path, settings=settings, resume=stops > 0)
            break
        except OSError:
            stops, module = stops + 1, tiny_module(seed=stops + 9)
    assert stops > 1
    assert same(whole, module)
    assert unhurried(found) == unhurried(expected)


@pytest.mark.usefixtures("_always")
@pytest.mark.parametrize("during", ["training", "validation"])
def test_ctrl_c_saves_and_says_how_to_go_on(
    tmp_path: Path,
    during: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(_checkpoint, "INTERVAL", 1e9)  # nothing but Ctrl-C writes one
    caplog.set_level("INFO", "frameflow")
    folder = tmp_path / "my run"
    folder.mkdir()
    whole, module = tiny_module(), tiny_module()
    expected = fit_tiny(whole, TinyVideos(), None)
    interrupt_in(module, training=during == "training", monkeypatch=monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fit_tiny(module, TinyVideos(), folder)
    assert progress_of(folder) == ((1, 2) if during == "training" else (1, 6))
    assert f"frameflow train --resume '{folder}'" in caplog.text
    assert "Ctrl-C again" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    module = tiny_module(seed=3)
    assert unhurried(fit_tiny(module, TinyVideos(), folder, resume=True)) == unhurried(expected)
    assert same(whole, module)


def interrupt_in(module: nn.Module, *, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the first step, or in the first validation batch, of the second epoch."""
    calls = {True: 0, False: 0}
    forward: Callable[..., torch.Tensor] = module.forward
    when = 7 if training else 4  # six steps, and three batches of validation, an epoch

    def counted(inputs: list[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        calls[module.training] += 1
        if module.training is training and calls[training] == when:
            signal.raise_signal(signal.SIGINT)
        return forward(inputs, mask)

    monkeypatch.setattr(module, "forward", counted)


def test_the_second_ctrl_c_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_module()

    def forward(*_: object) -> torch.Tensor:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(module, "forward", forward)
    with pytest.raises(KeyboardInterrupt):
        fit_tiny(module, TinyVideos(), tmp_path)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.usefixtures("_always")
def test_a_loss_that_is_no_number_names_its_clips_and_leaves_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tiny_module()
    forward: Callable[..., torch.Tensor] = module.forward
    seen: list[torch.Tensor] = []

    def broken(inputs: list[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        logits = forward(inputs, mask)
        if module.training:
            seen.append(inputs[0])
        return logits * float("nan") if len(seen) == 5 else logits

    monkeypatch.setattr(module, "forward", broken)
    training = TinyVideos()
    with pytest.raises(FrameFlowError, match=r"became nan in epoch 1 on clip\d+\.mp4") as error:
        fit_tiny(module, training, tmp_path)
    # The clips are those of the batch: their images, before noise, are below what was seen.
    names = str(error.value).split(" on ")[1].split(":")[0].split(", ")
    for name, image in zip(names, seen[-1].numpy()):
        base = training.images[int(name[4:-4])]
        assert (image >= base).all()
        assert (image <= base + 40).all()
    assert progress_of(tmp_path) == (0, 4)
    weights = _checkpoint._load(tmp_path / "checkpoints" / "last" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
