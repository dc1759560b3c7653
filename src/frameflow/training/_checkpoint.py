"""Checkpoints: one folder, replaced as a whole, tensors in safetensors and the rest in JSON.

    checkpoints/
      last/  model.safetensors  optimizer.safetensors  random.safetensors  state.json
      best/  model.safetensors

`last` and `best` are swapped in together, so a kill at any moment leaves a pair that belongs
together: the new one or the one before.
"""

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from frameflow.errors import FrameFlowError, UsageError, listing
from frameflow.training._random import get_states, set_states
from frameflow.training.history import Epoch, Fitted, write_history

Tensors = dict[str, torch.Tensor]
COST = 0.1  # of the time, at most, goes into checkpoints while epochs are short


class Keeper:
    """Keeps the best weights and, where there is a folder, writes and restores checkpoints.

    Args:
        module: being trained.
        optimizer: of it.
        rng: the generator of the loop's own draws.
        folder: of the run; None: nothing is written.
        training: what makes this training the one it is; a checkpoint of another is refused.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        *,
        folder: Path | None,
        training: dict[str, Any],
    ) -> None:
        self.module, self.optimizer, self.rng = module, optimizer, rng
        self.folder, self.training = folder, training
        self._best: Tensors = {}
        self._written, self._cost = float("-inf"), 0.0

    def restore(self) -> Fitted:
        """Put everything back as the last checkpoint has it; a fresh start where there is none.

        Raises:
            UsageError: the checkpoint is damaged, or of another training.
        """
        folder = find_checkpoints(self.folder) if self.folder else None
        if folder is None:
            return Fitted()
        last = folder / "last"
        state = _load_json(last / "state.json")
        if state["training"] != self.training:
            changed = [k for k, v in self.training.items() if state["training"].get(k) != v]
            raise UsageError(
                f"{folder} is of another training (different: {listing(changed)}); "
                f"start it again without --resume."
            )
        self.module.load_state_dict(_load(last / "model.safetensors"))
        load_optimizer(self.optimizer, _load(last / "optimizer.safetensors"))
        self._best = _load(folder / "best" / "model.safetensors")
        self.rng.bit_generator.state = state["data"]
        set_states(state["random"], _load(last / "random.safetensors"))
        done = state["done"]
        return Fitted(**done | {"history": [Epoch(**row) for row in done["history"]]})

    def keep(self, done: Fitted, *, better: bool, over: bool) -> None:
        """After an epoch: hold its weights if they are better, write a checkpoint if it is time.

        Short epochs do not each write one; those since the last are learned again on resume, to
        the same numbers.
        """
        if better:
            self._best = _copy(self.module.state_dict())
        started = time.perf_counter()
        if self.folder is None or (not over and started - self._written < self._cost / COST):
            return
        write_checkpoints(self.folder, *self._contents(done))
        write_history(self.folder / "history.csv", done.history)
        self._written = time.perf_counter()
        self._cost = self._written - started

    def finish(self, done: Fitted) -> None:
        """The module gets the best weights."""
        self.module.cpu().load_state_dict(self._best)
        self.module.eval()
        if self.folder is not None:
            write_history(self.folder / "history.csv", done.history)

    def _contents(self, done: Fitted) -> tuple[dict[str, Tensors], Any]:
        states, generators = get_states()
        tensors = {
            "last/model": self.module.state_dict(),
            "last/optimizer": optimizer_tensors(self.optimizer),
            "last/random": generators,
            "best/model": self._best,
        }
        data = self.rng.bit_generator.state
        state = {"training": self.training, "done": asdict(done), "data": data, "random": states}
        return tensors, state


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
