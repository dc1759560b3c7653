"""What several processes do, as a script that torchrun starts: ``tiny_team.py FOLDER``."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from tiny_clips import EVERYTHING, TinyClips, TinyVideos, checkpoint_always, tiny_module
from torch import nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError
from frameflow.training import _checkpoint
from frameflow.training._team import team, together
from frameflow.training.distill import Distilled, Hinted
from frameflow.training.examples import Batch
from frameflow.training.history import Fitted
from frameflow.training.loop import fit
from frameflow.training.losses import make_loss

# Clips read ahead in threads and one by one; losses that weigh their samples; parts of 3 and 2.
SETTINGS = {
    "everything": EVERYTHING.model_copy(update={"norm": "fixed", "batch_size": 5}),
    "weights": Train(
        epochs=3, batch_size=7, lr=0.01, balance="weights", loss="focal", precision="float32",
        learn=({"parts": ("*",), "lr": 1.0},),
    ),
    "norm": EVERYTHING.model_copy(update={"batch_size": 6}),
    "oversample": Train(
        epochs=3, batch_size=3, optimizer="sgd", lr=0.05, balance="oversample",
        learn=({"parts": ("*",), "lr": 1.0},), precision="float32", schedule="constant",
    ),
    "taught": Train(
        epochs=2, batch_size=5, lr=0.02, precision="float32", label_smoothing=0,
        learn=({"parts": ("*",), "lr": 1.0},),
        distill={"teacher": "run", "weight": 0.7, "features": 0.5},
    ),
}  # fmt: skip


class Counted(TinyVideos):
    """Remembers which samples it made; their classes are unequal in number."""

    def __init__(self, samples: int, **options: int) -> None:
        super().__init__(samples, **options)
        self.targets[: samples // 2] = 0
        self.made: list[int] = []

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        self.made += rows.tolist()
        return super().batch(rows, rng)


class Taught(Counted):
    """A teacher speaks of some of them: soft targets, and two features."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples)
        rng = np.random.default_rng(7)
        soft = rng.dirichlet(np.ones(3), samples)
        soft[::4] = np.nan
        self.taught = np.hstack([soft, rng.normal(size=(samples, 2))]).astype(np.float32)

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        return super().batch(rows, rng)._replace(taught=torch.from_numpy(self.taught[rows]))


def taught(module: TinyClips) -> dict[str, object]:
    """What `fit` takes of a training with a teacher."""
    settings = SETTINGS["taught"]
    torch.manual_seed(3)
    hinted = Hinted(module, SimpleNamespace(classifier=module.out), 2)
    loss = Distilled(make_loss(settings, np.arange(3)), settings.distill, 3, multilabel=False)
    return {"module": hinted, "loss": loss, "training": Taught(22)}


def module_without_dropout(seed: int = 0) -> TinyClips:
    """Dropout is drawn in each process for its own samples, so it differs."""
    module = tiny_module(seed)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return module


def learn(name: str, folder: Path | None, **options: bool) -> tuple[TinyClips, Fitted, Counted]:
    module = module_without_dropout(seed=team().rank)  # the first one's weights are those of all
    validation = Counted(11, seed=1)
    training = Counted(22, workers=0 if name == "oversample" else 2)
    given = {"module": module, "training": training}
    if name == "taught":
        given = taught(module)
    fitted = fit(
        **given, validation=validation, settings=SETTINGS[name], backbones=[module.backbone],
        folder=folder, **options,
    )  # fmt: skip
    return module, fitted, validation


class Stop(FrameFlowError):
    pass


def stopped(folder: Path) -> None:
    """A training that ends in its third epoch, with a checkpoint after every update."""
    before, intervals = fit.__globals__["learn"], (_checkpoint.INTERVAL, _checkpoint.COST)

    def learn_two(run: object) -> object:
        if run.done.epochs == 2:  # type: ignore[attr-defined]
            raise Stop("enough")
        return before(run)

    checkpoint_always()
    fit.__globals__["learn"] = learn_two
    try:
        learn("everything", folder)
    except Stop:
        pass
    finally:
        fit.__globals__["learn"] = before
        _checkpoint.INTERVAL, _checkpoint.COST = intervals


def main(folder: Path) -> None:
    for name in SETTINGS:
        module, fitted, validation = learn(name, folder / name)
        torch.save(module.state_dict(), folder / f"{name}-{team().rank}.pt")
        facts = {"losses": [row.val_loss for row in fitted.history], "made": validation.made}
        (folder / f"{name}-{team().rank}.json").write_text(json.dumps(facts))
    stopped(folder / "stopped-by-two")
    module, _, _ = learn("everything", folder / "stopped-by-one", resume=True)
    torch.save(module.state_dict(), folder / f"resumed-{team().rank}.pt")


def crash(rank: int) -> None:
    """The second process fails in the middle of an epoch."""
    if rank == 1:
        real = TinyVideos.batch
        left = iter(range(9))

        def batch(self: TinyVideos, rows: np.ndarray, rng: object) -> Batch:
            if next(left, None) is None:
                raise FrameFlowError("The second one is broken.")
            return real(self, rows, rng)  # type: ignore[arg-type]

        TinyVideos.batch = batch  # type: ignore[method-assign]
    learn("everything", None)


def everything() -> None:
    """One start of two processes for all: the last that they do is to fail."""
    with together(shared=True) as joined:
        main(Path(sys.argv[1]))
        (Path(sys.argv[1]) / f"whole-{joined.rank}").touch()
        crash(joined.rank)


if __name__ == "__main__":
    from frameflow.cli._common import run_app, show_steps

    torch.set_num_threads(1)
    show_steps()
    assert int(os.environ["WORLD_SIZE"]) == 2
    run_app(everything, debug=False)
