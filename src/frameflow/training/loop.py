"""The training loop.

`fit` trains any module on any `Examples`; `train_head` is `fit` on stored features. It reads from
the top: the epochs, what one epoch does, then rates, batches and losses.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from frameflow.config import Train
from frameflow.errors import FrameFlowError, UsageError
from frameflow.progress import progress
from frameflow.training._checkpoint import Keeper
from frameflow.training._random import reproducible
from frameflow.training.examples import Examples, FeatureExamples
from frameflow.training.history import Epoch, Fitted, TensorBoard
from frameflow.training.summaries import Decider, summarised

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone

log = logging.getLogger(__name__)

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

SCORING_BATCH = 256


def train_head(
    head: nn.Module,
    training: FeatureExamples,
    validation: FeatureExamples | None,
    settings: Train,
    *,
    folder: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """Train a head on stored features; the arguments are those of `fit`.

    A head that standardises (it has ``prepare``) sees training features before the first epoch.
    Where it learns from a fixed summary of a clip, that is computed once and not every epoch.
    """
    prepare = getattr(head, "prepare", None)
    if prepare is not None and len(training):
        prepare(training.parts())
    module: nn.Module = head
    if summaries := summarised(head, training, validation):
        (training, validation), module = summaries, Decider(head)
    return fit(module, training, validation, settings, folder=folder, resume=resume)


def fit(
    module: nn.Module,
    training: Examples,
    validation: Examples | None,
    settings: Train,
    *,
    loss: Loss | None = None,
    backbones: Sequence["Backbone"] = (),  # noqa: ARG001
    folder: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """Train a module in place; it comes back on the CPU, in evaluation mode.

    The same call twice gives the same weights on one machine, and so does a call that was killed
    at any moment and made again with ``resume``.

    Args:
        module: called with the inputs and the mask of a batch, gives logits ``(B, K)``.
        training: what is learned.
        validation: its cross-entropy, without smoothing and weights, decides when to stop and
            which weights are kept; None: every epoch is run and the last weights are kept.
        settings: the recipe's ``train``.
        loss: of logits and targets; None: cross-entropy with the settings' label smoothing and
            class weights.
        backbones: those in the module to which ``settings.learn`` applies.
        folder: where checkpoints, ``history.csv`` and TensorBoard events go; None: nowhere, and
            no progress bar is shown.
        resume: go on from the checkpoint in ``folder``, where there is one.

    Raises:
        FrameFlowError: the loss is no longer a finite number.
        UsageError: nothing to train on; a checkpoint that is damaged or of another training.
    """
    if not len(training):
        raise UsageError("There is no training sample left to learn from.")
    accelerator = _accelerator()
    loss = loss or cross_entropy(settings, training.targets)
    held_out = 0 if validation is None else len(validation)
    sizes = {"training samples": len(training), "validation samples": held_out}

    with reproducible(settings.seed):
        rng = np.random.default_rng(settings.seed)  # the order of the data, and augmentation
        model, optimizer = accelerator.prepare(module, make_optimizer(module, settings))
        keeper = Keeper(
            module, optimizer, rng, folder=folder, training=settings.model_dump(mode="json") | sizes
        )
        done = keeper.restore() if resume else Fitted()
        if done.epochs:
            log.info("Going on after epoch %d of %d.", done.epochs, settings.epochs)
        bar = progress("Training", total=settings.epochs if folder else 0, unit="epochs")
        with bar as advance, TensorBoard(folder, after=done.epochs) as board:
            advance(done.epochs)
            while done.epochs < settings.epochs and not done.stopped_early:
                started = time.perf_counter()
                lr, train_loss, train_top1 = learn(
                    model, training, settings, accelerator, optimizer, loss, rng, done.epochs
                )
                row = Epoch(done.epochs + 1, lr, train_loss, train_top1)
                if validation is not None and held_out:
                    logits = predict(model, validation)
                    row.val_loss, row.val_top1, row.val_top5 = score(logits, validation.targets)
                _refuse_nan(row, settings)
                row.seconds = time.perf_counter() - started
                better = done.add(row, patience=settings.patience)
                over = done.stopped_early or done.epochs == settings.epochs
                keeper.keep(done, better=better, over=over)
                board.write(row)
                advance()
        keeper.finish(done)
    return done


def learn(
    model: nn.Module,
    training: Examples,
    settings: Train,
    accelerator: Accelerator,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    rng: np.random.Generator,
    epoch: int,
) -> tuple[float, float, float]:
    """One epoch: every sample once (or as often as oversampling draws it).

    Returns:
        the last learning rate, the mean loss, and the share of samples that were right.
    """
    model.train()
    steps = math.ceil(len(training) / settings.batch_size)
    # Summed on the device: reading a number from a GPU at every step would stall it.
    total, right = torch.zeros(2, device=accelerator.device)
    lr = 0.0
    for step, rows in enumerate(batches(training.targets, settings, rng)):
        lr = learning_rate(settings, epoch + (step + 0.5) / steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        inputs, mask, targets = training.batch(rows, rng)
        targets = targets.to(accelerator.device)
        with accelerator.autocast():
            logits = model(_on(inputs, accelerator.device), mask.to(accelerator.device))
            cost = loss(logits, targets)
        optimizer.zero_grad()
        accelerator.backward(cost)
        if settings.clip_grad is not None:
            accelerator.clip_grad_norm_(model.parameters(), settings.clip_grad)
        optimizer.step()
        total += cost.detach() * len(rows)
        right += (logits.detach().argmax(dim=1) == targets).sum()
    samples = len(training)
    return lr, float(total) / samples, float(right) / samples


@torch.inference_mode()
def predict(model: nn.Module, examples: Examples) -> torch.Tensor:
    """Logits ``(N, K)`` of all examples, without augmentation, float32 on the CPU."""
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    logits = []
    for start in range(0, len(examples), SCORING_BATCH):
        rows = np.arange(start, min(start + SCORING_BATCH, len(examples)))
        inputs, mask, _ = examples.batch(rows, None)
        logits.append(model(_on(inputs, device), mask.to(device)).float().cpu())
    return torch.cat(logits)


def score(logits: torch.Tensor, targets: np.ndarray) -> tuple[float, float, float | None]:
    """Cross-entropy in nats, top-1, and top-5 where there are more than five classes."""
    truth = torch.from_numpy(targets)
    loss = float(functional.cross_entropy(logits, truth))
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices == truth[:, None]
    top5 = float(best.any(dim=1).float().mean()) if logits.shape[1] > 5 else None
    return loss, float(best[:, 0].float().mean()), top5


def learning_rate(settings: Train, epoch: float) -> float:
    """The rate at a point of the training, counted in epochs from 0.

    It rises linearly from near 0 over ``warmup_epochs`` (at most half of the training), then
    stays, or falls along half a cosine to 0 (Loshchilov and Hutter, SGDR, 2017, without restarts).

    Example:
        >>> settings = Train(epochs=10, warmup_epochs=2, lr=1.0)
        >>> [round(learning_rate(settings, epoch), 2) for epoch in (0, 1, 2, 6, 10)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    warmup = min(settings.warmup_epochs, settings.epochs / 2)
    if epoch < warmup:
        return settings.lr * epoch / warmup
    if settings.schedule == "constant":
        return settings.lr
    gone = (epoch - warmup) / (settings.epochs - warmup)
    return settings.lr * (1 + math.cos(math.pi * gone)) / 2


def batches(targets: np.ndarray, settings: Train, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of one epoch in random order, in batches of nearly equal size.

    Equal sizes give every sample the same weight, and no batch of one, which batch norm cannot
    learn from.
    """
    if settings.balance == "oversample":
        share = 1 / np.bincount(targets)[targets]
        order = rng.choice(len(targets), size=len(targets), p=share / share.sum())
    else:
        order = rng.permutation(len(targets))
    yield from np.array_split(order, math.ceil(len(order) / settings.batch_size))


def make_optimizer(module: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """The optimiser of the settings. Biases and norms, which have one dimension, do not decay."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    match settings.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr)
        case "adam":
            return torch.optim.Adam(groups, lr=settings.lr)
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)


def cross_entropy(settings: Train, targets: np.ndarray) -> Loss:
    """Cross-entropy with label smoothing and, with ``balance: weights``, weights per class.

    A class weighs in inverse proportion to its samples, so that each class adds the same.
    """
    counts = np.bincount(targets)
    weights = len(targets) / (np.count_nonzero(counts) * np.maximum(counts, 1))

    def loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        weight = None
        if settings.balance == "weights":
            weight = logits.new_ones(logits.shape[1])
            weight[: len(weights)] = torch.from_numpy(weights).to(weight)
        return functional.cross_entropy(
            logits, truth, weight=weight, label_smoothing=settings.label_smoothing
        )

    return loss


def _on(
    inputs: torch.Tensor | list[torch.Tensor], device: torch.device
) -> torch.Tensor | list[torch.Tensor]:
    """Half precision is how features are stored and moved; what is computed is float32."""
    if isinstance(inputs, list):  # frames: uint8, which the backbones normalise themselves
        return [images.to(device) for images in inputs]
    return inputs.to(device).float()


def _accelerator() -> Accelerator:
    accelerator = Accelerator()
    if accelerator.num_processes > 1:
        raise UsageError(
            f"{accelerator.num_processes} processes were started; training on stored features "
            f"runs in one: start it without `accelerate launch`."
        )
    return accelerator


def _refuse_nan(row: Epoch, settings: Train) -> None:
    for name in ("train_loss", "val_loss"):
        value = getattr(row, name)
        if value is not None and not math.isfinite(value):
            raise FrameFlowError(
                f"{name} became {value} in epoch {row.epoch}: the training diverged. Lower the "
                f"learning rate (--set train.lr={settings.lr / 10:g}) or clip the gradients "
                f"(--set train.clip_grad=1)."
            )
