"""The training loop.

`fit` trains any module on any `Examples`; `train_head` is `fit` on stored features. It reads from
the top: the rounds and epochs, what one epoch does, then validation, order and rates. What moves
the weights is in `_learner`, what survives a kill in `_checkpoint`, losses, rates and which parts
learn in `losses`, `optimizer` and `policy`.
"""

import logging
import math
import shlex
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from frameflow.config import Train
from frameflow.errors import UsageError, listing
from frameflow.models.backbones import Backbone
from frameflow.progress import progress
from frameflow.training._board import TensorBoard
from frameflow.training._checkpoint import Keeper, Place
from frameflow.training._device import memory_told
from frameflow.training._learner import Learner, diverged
from frameflow.training._random import reproducible
from frameflow.training._stop import Stop, Stopped, interrupts
from frameflow.training._team import refuse_unlike, team
from frameflow.training._threads import one_thread
from frameflow.training.examples import Examples, FeatureExamples
from frameflow.training.history import Epoch, Fitted
from frameflow.training.loader import load
from frameflow.training.losses import Loss, held_out_loss, make_loss
from frameflow.training.optimizer import learning_rate, plateau_factor
from frameflow.training.summaries import Decider, summarised

log = logging.getLogger(__name__)

SCORING_BATCH = 256  # vectors of clips
SCORING_CLIPS = 4  # clips that pass through a backbone


def train_head(
    head: nn.Module,
    training: FeatureExamples,
    validation: FeatureExamples | None,
    settings: Train,
    *,
    loss: Loss | None = None,
    folder: Path | None = None,
    resume: bool = False,
    wrap: Callable[[nn.Module], nn.Module] = lambda head: head,
) -> Fitted:
    """Train a head on stored features, as `wrap` makes it; the arguments are those of `fit`.

    A head that standardises (it has ``prepare``) sees training features before the first epoch.
    Where it learns from a fixed summary of a clip, that is computed once and not every epoch. A
    ``solver`` other than epochs finds the weights at once.
    """
    prepare = getattr(head, "prepare", None)
    if prepare is not None and len(training):
        prepare(training.parts())
    if settings.solver != "epochs":
        from frameflow.training.closed_form import solve_head

        loss = loss or make_loss(settings, training.targets)
        return solve_head(head, training, validation, settings, loss=loss, folder=folder)
    if summaries := summarised(head, training, validation):
        with one_thread():
            return fit(Decider(head), *summaries, settings, loss=loss, folder=folder, resume=resume)
    return fit(wrap(head), training, validation, settings, loss=loss, folder=folder, resume=resume)


def fit(
    module: nn.Module,
    training: Examples,
    validation: Examples | None,
    settings: Train,
    *,
    loss: Loss | None = None,
    backbones: Sequence[Backbone] = (),
    folder: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """Train a module in place; it comes back on the CPU, in evaluation mode.

    The same call twice gives the same weights on one machine, and so does a call that was killed
    at any moment and made again with ``resume``. Several processes (see `_team`) make the same
    call; each comes back with the same weights, and the first one writes.

    Args:
        module: called with the inputs and the mask of a batch, gives logits ``(B, K)``; in
            training ``(B, S, K)`` where S streams learn on their own.
        training: what is learned.
        validation: its cross-entropy, without smoothing and weights, decides when to stop and
            which weights are kept; None: every epoch is run and the last weights are kept.
        settings: the recipe's ``train``.
        loss: of logits and targets; None: `make_loss` of the settings.
        backbones: those in the module to which ``settings.learn`` applies.
        folder: where checkpoints, ``history.csv`` and TensorBoard events go; None: nowhere, and
            no progress bar is shown.
        resume: go on from the checkpoint in ``folder``, where there is one.

    Raises:
        FrameFlowError: the loss is no longer a finite number, or a step does not fit in memory.
        KeyboardInterrupt: Ctrl-C; where there is a folder, after a checkpoint was written.
        UsageError: nothing to train on; parts that no backbone has; a checkpoint that is damaged,
            of another training or another architecture.
    """
    if not len(training):
        raise UsageError("There is no training sample left to learn from.")
    held_out = validation if validation is not None and len(validation) else None
    loss = loss or make_loss(settings, training.targets)
    with (
        reproducible(settings.seed),
        memory_told(settings),
        interrupts(wait=folder is not None) as stop,
    ):
        rng = np.random.default_rng(settings.seed)  # the order of the data, and augmentation
        identity = _identity(settings, training, held_out)
        refuse_unlike(identity, module, training, settings)
        team().spread(module)
        learner = Learner(module, settings, loss, backbones=backbones)
        keeper = Keeper(learner, rng, folder=folder, training=identity)
        done, place = keeper.restore() if resume else (Fitted(), Place())
        run = _Run(training, held_out, learner, keeper, rng, stop, done, place)
        shown = folder if team().leads else None
        with run.bar(shown) as run.advance, TensorBoard(shown, after=done.epochs) as run.board:
            if not done.is_over(settings):
                _train(run, folder)
        keeper.finish(done)
    return done


@dataclass
class _Run:
    """What every epoch of a training uses; ``done`` and ``place`` say how far it has come."""

    training: Examples
    held_out: Examples | None
    learner: Learner
    keeper: Keeper
    rng: np.random.Generator
    stop: Stop
    done: Fitted
    place: Place
    advance: Callable[..., None] = lambda n=1: None  # noqa: ARG005
    board: TensorBoard = field(default_factory=lambda: TensorBoard(None))

    @property
    def settings(self) -> Train:
        return self.learner.settings

    @property
    def counts_clips(self) -> bool:
        """Epochs over videos take minutes: their clips are what the bar counts."""
        return hasattr(self.training, "workers")

    @contextmanager
    def bar(self, folder: Path | None) -> Iterator[Callable[..., None]]:
        epochs = self.settings.epochs * len(self.settings.rounds) if folder else 0
        each, unit = (len(self.training), "clips") if self.counts_clips else (1, "epochs")
        with progress("Training", total=epochs * each, unit=unit) as advance:
            advance(self.done.epochs * each)
            yield advance


def _train(run: _Run, folder: Path | None) -> None:
    """The epochs that are left; Ctrl-C ends them with a checkpoint."""
    if run.done.epochs or run.place.step:
        log.info("Going on in epoch %d, after %d batches.", run.done.epochs + 1, run.place.step)
    try:
        logits = _epochs(run)
        if folder is not None and run.held_out is not None:
            if logits is None:  # of an epoch before the training was stopped
                run.learner.module.load_state_dict(run.keeper.best)
                logits = _predict_held_out(run)
            run.board.confusion(logits.numpy(), run.held_out.targets, run.done.best_epoch)
    except Stopped:
        run.keeper.write(run.done, run.place)
        log.info(
            "Stopped in epoch %d. Go on with: frameflow train --resume %s",
            run.done.epochs + 1, shlex.quote(str(folder)),
        )  # fmt: skip
        raise


def _epochs(run: _Run) -> torch.Tensor | None:
    """All epochs of all rounds; the validation logits of the best, where it was one of these."""
    learner, settings, done = run.learner, run.settings, run.done
    kept = None
    while not done.is_over(settings):
        started = time.perf_counter() - run.place.seconds
        if done.round and not done.round_epochs and not run.place.step:
            learner.restart(run.keeper.best)
            log.info("Round %d goes on from epoch %d.", done.round + 1, done.best_epoch)
        if begins := learner.policy.start(done.epochs):
            log.info("From epoch %d on there learn %s.", done.epochs + 1, begins)
        row, logits = learn(run), None
        if run.held_out is not None:
            with learner.kept():
                logits = _predict_held_out(run)
            row.val_loss, row.val_top1, row.val_top5 = score(logits, run.held_out.targets)
        for name in ("train_loss", "val_loss"):
            value = getattr(row, name)
            if value is not None and not math.isfinite(value):
                raise diverged(f"{name} became {value} in epoch {row.epoch}", settings)
        row.seconds = time.perf_counter() - started
        row = learner.team.share(row)  # one opinion of what is better, and when to stop
        better = done.add(row, settings)
        kept, run.place = (logits if better else kept), Place()
        run.keeper.keep(done, better=better, over=done.is_over(settings))
        run.board.write(row)
        if not run.counts_clips:
            run.advance()
    return kept


def learn(run: _Run) -> Epoch:
    """One epoch: every sample once (or as often as oversampling draws it).

    Returns:
        its figures, without those of validation.
    """
    learner, settings, place = run.learner, run.settings, run.place
    learner.module.train()
    started = time.perf_counter() - place.seconds
    order, stream = _ordered(run)
    updates = math.ceil(len(order) / settings.accumulate)
    # Summed on the device, in its precision; what a checkpoint holds of it is exact.
    total, hits = torch.tensor([place.loss, place.right], device=learner.device)
    with closing(stream):
        for step, (rows, batch) in enumerate(stream, start=place.step):
            run.board.pictures(batch)
            update = step // settings.accumulate
            learner.team.seed(settings.seed, run.done.epochs, step)
            together = order[update * settings.accumulate :][: settings.accumulate]
            cost, correct = learner.learn(
                batch,
                lr=_rate(run, (update + 0.5) / updates),
                share=len(rows) / sum(map(len, together)),
                count=len(rows),
            )
            if not math.isfinite(cost):
                raise _not_finite(cost, rows, run)
            total += cost * len(rows)
            hits += correct
            if run.counts_clips:
                run.advance(len(rows))
            if (step + 1) % settings.accumulate and step + 1 < len(order):
                continue
            learner.update()
            place.step, place.loss, place.right = step + 1, float(total), float(hits)
            place.seconds = time.perf_counter() - started
            run.keeper.pause(run.done, place)
            _stop_together(run)
    samples, lr = len(run.training), _rate(run, (updates - 0.5) / updates)
    return Epoch(run.done.epochs + 1, lr, float(total) / samples, float(hits) / samples)


def _ordered(run: _Run) -> tuple[list[np.ndarray], Any]:
    """The rows of each batch of an epoch, and the batches that are left of it."""
    training, rng, place, part = run.training, run.rng, run.place, run.learner.team.part
    workers = getattr(training, "workers", 0)
    now = rng.bit_generator.state
    place.order = place.order or now
    rng.bit_generator.state = place.order
    order = list(batches(training.targets, run.settings, rng))
    if place.step and not workers:
        # The batches before drew from the generator itself: it stands where they left it.
        rng.bit_generator.state = now
        return order, load(training, order[place.step :], rng, part=part)
    return order, load(training, order, rng, workers=workers, skip=place.step, part=part)


def _stop_together(run: _Run) -> None:
    """Ctrl-C may have reached one process only, or each in another step: all stop in the same."""
    run.stop.asked = run.learner.team.any(run.stop.asked)
    run.stop.check()


def _rate(run: _Run, share: float) -> float:
    """The learning rate after a share of the epoch."""
    done, settings = run.done, run.settings
    factor = settings.rounds[done.round] * plateau_factor(done.round_losses, settings)
    return factor * learning_rate(settings, done.round_epochs + share)


def _predict_held_out(run: _Run) -> torch.Tensor:
    """Each sample once: every process scores its part, and all get all logits, in order."""
    assert run.held_out is not None
    team, autocast = run.learner.team, run.learner.precision.autocast
    check = run.stop.check if team.size == 1 else (lambda: None)  # none may leave the others
    rows = np.arange(len(run.held_out))[team.part(len(run.held_out))]
    own = predict(run.learner.module, run.held_out, rows, autocast=autocast, between=check)
    logits = torch.cat([part for part in team.gather(own) if len(part)])
    if team.size > 1:
        _stop_together(run)
    return logits


@torch.inference_mode()
def predict(
    model: nn.Module,
    examples: Examples,
    rows: np.ndarray | None = None,
    *,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    between: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Logits ``(N, K)`` of examples, without augmentation, float32 on the CPU.

    Args:
        model: on any device; it is left in evaluation mode.
        examples: what is scored.
        rows: which; None: all.
        autocast: the precision, float32 by default.
        between: called after each batch.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    through = any(isinstance(module, Backbone) for module in model.modules())
    size = SCORING_CLIPS if through else SCORING_BATCH
    rows = np.arange(len(examples)) if rows is None else rows
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    logits = []
    with closing(load(examples, parts, None, workers=getattr(examples, "workers", 0))) as stream:
        for _, batch in stream:
            inputs, mask = batch.on(device)[:2]
            with autocast():
                logits.append(model(inputs, mask).float().cpu())
            between()
    return torch.cat(logits) if logits else torch.empty(0)


def score(logits: torch.Tensor, targets: np.ndarray) -> tuple[float, float, float | None]:
    """Cross-entropy in nats, top-1, and top-5 where there are more than five classes.

    With several labels a clip, ``(N, K)`` targets: the mean cross-entropy of the labels, and the
    shares of clips of whose labels one is the likeliest, or among the five likeliest.
    """
    truth = torch.from_numpy(targets)
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = truth.gather(1, best) > 0 if truth.ndim == 2 else best == truth[:, None]
    top5 = float(hits.any(dim=1).float().mean()) if logits.shape[1] > 5 else None
    return held_out_loss(logits, targets), float(hits[:, 0].float().mean()), top5


def batches(targets: np.ndarray, settings: Train, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of one epoch in random order, in batches of nearly equal size.

    Equal sizes give every sample the same weight, and no batch of one, which batch norm cannot
    learn from. Oversampling draws classes alike; of several labels a clip the mean counts.
    """
    if settings.balance == "oversample":
        share = _rarity(targets)
        order = rng.choice(len(targets), size=len(targets), p=share / share.sum())
    else:
        order = rng.permutation(len(targets))
    yield from np.array_split(order, math.ceil(len(order) / settings.batch_size))


def _rarity(targets: np.ndarray) -> np.ndarray:
    """``(N,)``: one over the samples of each sample's class; clips without a label are one too."""
    if targets.ndim == 1:
        return 1 / np.bincount(targets)[targets]
    without = ~targets.any(axis=1, keepdims=True)
    shares = np.hstack([targets, without])
    shares = shares / shares.sum(axis=1, keepdims=True)
    return shares @ (1 / np.maximum(np.hstack([targets, without]).sum(axis=0), 1))


def _identity(settings: Train, training: Examples, held_out: Examples | None) -> dict[str, Any]:
    """What another training differs in."""
    said = settings.model_dump(mode="json")
    said["distill"] = None
    if (taught := getattr(training, "taught", None)) is not None:
        told = zlib.crc32(np.ascontiguousarray(taught).tobytes())
        said["distill"] = {**settings.distill.model_dump(exclude={"teacher"}), "said": told}
    return said | {
        "training samples": len(training),
        "validation samples": 0 if held_out is None else len(held_out),
        "batches made ahead": getattr(training, "workers", 0) > 0,
    }


def _not_finite(cost: torch.Tensor, rows: np.ndarray, run: _Run) -> Exception:
    names = getattr(run.training, "names", None)
    of = f" on {listing(names(rows), most=4)}" if names else ""
    said = f"train_loss became {float(cost)} in epoch {run.done.epochs + 1}{of}"
    return diverged(said, run.settings)
