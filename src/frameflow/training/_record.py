"""What a run records of its own training: when, how long, on what, and how large it became.

`training.json` is there from the start, with one entry a session: a run that was killed and
resumed still knows when it began. At the end the record goes into `model.json` and from there into
every `metrics.json`.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow._files import write_json
from frameflow.config import Recipe
from frameflow.errors import UsageError
from frameflow.inference._facts import now

if TYPE_CHECKING:
    from frameflow.models.recognizer import Recognizer
    from frameflow.training.history import Fitted

FILE = "training.json"


def write_audit(run: Path, audit: Mapping[str, Any] | None, *, data: str) -> None:
    """Keep what the data is called and what the audit of its splits found."""
    write_json(run / FILE, {"data": data, "audit": audit, "sessions": []})


class Recorder:
    """The record of one run; making it begins a session.

    What accumulates over the sessions of a run that was resumed: ``seconds`` is the sum over the
    epochs that were kept, each with the time it took in whichever session learned it;
    ``extraction_seconds`` is the sum of what every session took to read the samples; the peak of
    memory is the largest of all sessions; ``start`` is that of the first session and ``end`` that
    of the one that finished.

    Args:
        run: the folder of the run.

    Raises:
        UsageError: ``training.json`` is damaged.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / FILE
        held = _read(self._path)
        self.audit: dict[str, Any] | None = held.get("audit")
        self.data: str | None = held.get("data")
        self._sessions: list[dict[str, Any]] = held.get("sessions", [])
        self._finished: dict[str, Any] = held.get("training") or {}
        self._session: dict[str, Any] = {"start": now(), "extraction_seconds": 0.0}
        self._sessions.append(self._session)
        self._write()

    @contextmanager
    def extraction(self) -> Iterator[None]:
        """Reading the samples: features of frozen backbones are computed here."""
        started = time.perf_counter()
        yield
        self._session["extraction_seconds"] = round(time.perf_counter() - started, 3)
        self._write()

    def finish(
        self,
        recognizer: "Recognizer",
        fitted: "Fitted",
        samples: Mapping[str, int],
    ) -> dict[str, Any]:
        """The whole record, once the training is over.

        Args:
            recognizer: as trained.
            fitted: how the training went.
            samples: how many were learned from (``train``) and decided when to stop (``val``).

        Returns:
            What `model.json` keeps as ``training``.
        """
        # A run killed while it was scored learns nothing more: it ended when it ended.
        same = self._finished.get("epochs") == fitted.epochs
        end = self._finished["end"] if same else now()
        self._note_memory()
        record = (
            {
                "data": self.data,
                "start": self._sessions[0]["start"],
                "end": end,
                "sessions": len(self._sessions),
                "seconds": round(sum(epoch.seconds for epoch in fitted.history), 3),
                "extraction_seconds": self._sum("extraction_seconds"),
            }
            | _rounds(fitted, recognizer.recipe)
            | {
                "samples": dict(samples),
                "peak_memory_gb": self._most("peak_memory_gb"),
                "peak_gpu_memory_gb": self._most("peak_gpu_memory_gb"),
            }
            | _computing(recognizer)
            | _parameters(recognizer)
        )
        self._finished = record
        self._write()
        return record

    def _sum(self, name: str) -> float:
        return round(sum(session[name] for session in self._sessions), 3)

    def _most(self, name: str) -> float | None:
        return max((s[name] for s in self._sessions if s.get(name) is not None), default=None)

    def _note_memory(self) -> None:
        self._session["peak_memory_gb"] = peak_memory_gb()
        self._session["peak_gpu_memory_gb"] = _peak_gpu_memory_gb()

    def _write(self) -> None:
        self._note_memory()
        held = {"data": self.data, "audit": self.audit, "sessions": self._sessions}
        write_json(self._path, held | ({"training": self._finished} if self._finished else {}))


def _rounds(fitted: "Fitted", recipe: Recipe) -> dict[str, Any]:
    """Epochs, by round, and the figures of the one whose weights are kept."""
    ends = fitted.ends
    starts = [0, *ends[:-1]]
    best = fitted.history[fitted.best_epoch - 1]
    return {
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "rounds": len(recipe.train.rounds),
        "best_round": 1 + sum(end < fitted.best_epoch for end in ends),
        "round_epochs": [end - start for start, end in zip(starts, ends)],
        "stopped_early": fitted.stopped_early,
        "best": {
            name: getattr(best, name)
            for name in ("train_loss", "train_top1", "val_loss", "val_top1", "val_top5")
        },
    }


def _computing(recognizer: "Recognizer") -> dict[str, Any]:
    """Where and in what precision was learned."""
    from frameflow.training._device import Precision, training_device
    from frameflow.training.learning import trainee

    device, recipe = training_device(), recognizer.recipe
    wanted = "float32" if recipe.way == "frozen" else recipe.train.precision
    kind = Precision(wanted, device, trainee(recognizer)).dtype
    return {
        "device": str(device),
        "device_name": _device_name(str(device)),
        "precision": "float32" if kind is None else str(kind).removeprefix("torch."),
    }


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name())
    return f"{platform.machine() or 'unknown'}, {os.cpu_count()} cores"


def _parameters(recognizer: "Recognizer") -> dict[str, int]:
    """All parameters of backbones and head, and those that ever learn."""
    from frameflow.training.learning import learners, trainee
    from frameflow.training.policy import Policy

    unique = {id(p): p.numel() for p in recognizer.parameters()}
    module = trainee(recognizer)
    backbones = [] if recognizer.recipe.way == "frozen" else learners(recognizer, module)
    groups = Policy(module, backbones, recognizer.recipe.train).groups
    learning = {id(p): p.numel() for group in groups for p in group["params"]}
    return {"parameters": sum(unique.values()), "parameters_learning": sum(learning.values())}


def peak_memory_gb() -> float | None:
    """The most memory this process has held so far, in 10^9 bytes; None where it is not told."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(told * (1 if sys.platform == "darwin" else 1024) / 1e9, 3)


def _peak_gpu_memory_gb() -> float | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return round(torch.cuda.max_memory_allocated() / 1e9, 3)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        _ = [session["start"] for session in held["sessions"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path} is damaged ({error!r}): remove it, and the run goes on without the record of "
            f"its earlier sessions."
        ) from None
    return dict(held)
