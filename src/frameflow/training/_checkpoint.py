"""Checkpoints: one folder, replaced as a whole, tensors in safetensors and the rest in JSON.

    checkpoints/
      last/  model.safetensors  optimizer.safetensors  random.safetensors  state.json
             average.safetensors, where the weights are averaged
      best/  model.safetensors

`last` and `best` are swapped in together, so a kill at any moment leaves a pair that belongs
together: the new one or the one before.
"""

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from frameflow.errors import FrameFlowError, UsageError, listing
from frameflow.training._device import arrange
from frameflow.training._learner import Learner, diverged
from frameflow.training._random import get_states, set_states
from frameflow.training.history import Epoch, Fitted, write_history

Tensors = dict[str, torch.Tensor]
FORMAT = 2
COST = 0.1  # of the time, at most, goes into checkpoints
INTERVAL = 120.0  # seconds between two inside an epoch


@dataclass
class Place:
    """How far an epoch has come.

    Attributes:
        step: batches that were learned from; the weights were updated after the last of them.
        loss: sum over samples.
        right: how many samples were.
        seconds: spent.
        order: the state of the loop's generator when the epoch began; its order follows from it.
    """

    step: int = 0
    loss: float = 0.0
    right: float = 0.0
    seconds: float = 0.0
    order: Any = None


class Keeper:
    """Keeps the best weights and, where there is a folder, writes and restores checkpoints.

    Args:
        learner: whose weights, moments, average and scale are kept.
        rng: the generator of the loop's own draws.
        folder: of the run; None: nothing is written.
        training: what makes this training the one it is; a checkpoint of another is refused.
    """

    def __init__(
        self,
        learner: Learner,
        rng: np.random.Generator,
        *,
        folder: Path | None,
        training: dict[str, Any],
    ) -> None:
        self.learner, self.rng = learner, rng
        self.folder, self.training = folder, training
        self.writes = folder is not None and learner.team.leads
        self.best: Tensors = {}
        self._began = time.perf_counter()
        self._written, self._cost = float("-inf"), 0.0

    def restore(self) -> tuple[Fitted, Place]:
        """Put everything back as the last checkpoint has it; a fresh start where there is none.

        Raises:
            UsageError: the checkpoint is damaged, of another training or another architecture.
        """
        folder = None
        if self.folder and self.learner.team.leads:
            folder = find_checkpoints(self.folder)
        folder = self.learner.team.share(folder)  # finding it may rename it: one process does
        if folder is None:
            return Fitted(), Place()
        last, learner = folder / "last", self.learner
        state = _load_json(last / "state.json")
        self._refuse_another(folder, state)
        weights = _load(last / "model.safetensors")
        _refuse_unlike(folder, weights, learner.module.state_dict())
        learner.module.load_state_dict(weights)
        load_optimizer(learner.optimizer, _load(last / "optimizer.safetensors"))
        if learner.average is not None:
            learner.average.load(_load(last / "average.safetensors"), state["average"])
        learner.precision.scaler.load_state_dict(state["scaler"])
        self.best = _load(folder / "best" / "model.safetensors")
        self.rng.bit_generator.state = state["data"]
        set_states(state["random"], _load(last / "random.safetensors"))
        done = state["done"]
        fitted = Fitted(**done | {"history": [Epoch(**row) for row in done["history"]]})
        return fitted, Place(**state["place"])

    def keep(self, done: Fitted, *, better: bool, over: bool) -> None:
        """After an epoch: hold its weights if they are better, write a checkpoint if it is time.

        Short epochs do not each write one; those since the last are learned again on resume, to
        the same numbers.
        """
        if better:
            with self.learner.kept():
                self.best = _copy(self.learner.module.state_dict())
        if over or time.perf_counter() - self._written >= self._cost / COST:
            self.write(done, Place())

    def pause(self, done: Fitted, place: Place) -> None:
        """Inside an epoch, after an update: write a checkpoint if the last one is long ago."""
        last = max(self._written, self._began)
        if time.perf_counter() - last >= max(INTERVAL, self._cost / COST):
            self.write(done, place)

    def write(self, done: Fitted, place: Place) -> None:
        """Write a checkpoint, where there is a folder; of several processes the first one does.

        Raises:
            FrameFlowError: the weights are no numbers any more; the checkpoint before stays.
        """
        if self.folder is None or not self.writes:
            return
        if not self.learner.is_whole():
            raise diverged("the weights are no longer finite numbers", self.learner.settings)
        started = time.perf_counter()
        write_checkpoints(self.folder, *self._contents(done, place))
        write_history(self.folder / "history.csv", done.history)
        self._written = time.perf_counter()
        self._cost = self._written - started

    def finish(self, done: Fitted) -> None:
        """The module gets the best weights, on the CPU."""
        module = self.learner.module.cpu()
        module.load_state_dict(self.best)
        arrange(module, torch.contiguous_format)
        module.eval()
        if self.folder is not None and self.writes:
            write_history(self.folder / "history.csv", done.history)

    def _contents(self, done: Fitted, place: Place) -> tuple[dict[str, Tensors], Any]:
        states, generators = get_states()
        learner, average = self.learner, self.learner.average
        tensors = {
            "last/model": learner.module.state_dict(),
            "last/optimizer": optimizer_tensors(learner.optimizer),
            "last/random": generators,
            "best/model": self.best,
        }
        if average is not None:
            tensors["last/average"] = average.values
        state = {
            "format": FORMAT,
            "training": self.training,
            "done": asdict(done),
            "place": asdict(place),
            "data": self.rng.bit_generator.state,
            "random": states,
            "scaler": learner.precision.scaler.state_dict(),
            "average": 0 if average is None else average.updates,
        }
        return tensors, state

    def _refuse_another(self, folder: Path, state: Any) -> None:
        if state.get("format") != FORMAT:
            raise UsageError(
                f"{folder} was written by another version of FrameFlow; "
                f"start the run again without --resume."
            )
        if state["training"] != self.training:
            changed = [k for k, v in self.training.items() if state["training"].get(k) != v]
            raise UsageError(
                f"{folder} is of another training (different: {listing(changed)}); "
                f"start it again without --resume."
            )


def write_checkpoints(run: Path, tensors: dict[str, Tensors], state: Any) -> None:
    """Write a whole ``checkpoints`` folder, then swap it in.

    Args:
        run: the folder of the run.
        tensors: ``{"last/model": ..., ...}``, written as ``last/model.safetensors``.
        state: written as ``last/state.json``.
    """
    fresh, old, folder = (run / f"checkpoints{end}" for end in (".new", ".old", ""))
    shutil.rmtree(fresh, ignore_errors=True)
    for name, values in tensors.items():
        file = fresh / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        _save(values, file)
    (fresh / "last" / "state.json").write_text(json.dumps(state, allow_nan=False), "utf-8")
    _sync(fresh / "last" / "state.json")
    # A folder cannot replace a full one in one step: between the two renames there is no
    # `checkpoints`, and `find_checkpoints` takes `checkpoints.old`.
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    fresh.rename(folder)
    _sync(run)
    shutil.rmtree(old, ignore_errors=True)


def find_checkpoints(run: Path) -> Path | None:
    """The folder of the newest whole pair of checkpoints, or None."""
    folder, old = run / "checkpoints", run / "checkpoints.old"
    if not folder.exists() and old.exists():
        old.rename(folder)
    return folder if folder.exists() else None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The moments and step counts, named ``<parameter>.<moment>``."""
    return {
        f"{index}.{name}": value
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """The inverse of `optimizer_tensors`; rates and groups stay as they are."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:  # in the same layout, as they are when they begin
                moments[name] = torch.empty_like(parameter).copy_(value)


def _refuse_unlike(folder: Path, found: Tensors, expected: Tensors) -> None:
    unlike = [
        name
        for name in sorted(found.keys() | expected.keys())
        if name not in found or name not in expected or found[name].shape != expected[name].shape
    ]
    if unlike:
        raise UsageError(
            f"{folder} is of another architecture (different: {listing(unlike, most=3)}); take "
            f"the recipe it was trained with, or start again without --resume."
        )


def _save(tensors: Tensors, path: Path) -> None:
    try:
        save_file(_copy(tensors), path)
    except SafetensorError as error:
        raise FrameFlowError(
            f"{path} cannot be written ({error}). The checkpoint before it is whole: free some "
            f"space on the disk and go on with --resume."
        ) from None
    _sync(path)


def _copy(tensors: Tensors) -> Tensors:
    """On the CPU, each with its own memory: safetensors refuses tied weights otherwise."""
    return {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}


def _load(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UsageError:
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({error})"
    return UsageError(
        f"{path} {reason}, so this run cannot go on; start it again without --resume."
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
