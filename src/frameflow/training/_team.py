"""The processes that train together: what each computes, and how they come to the same numbers.

Each process has the whole model. Of every batch it computes its own part of the samples; the logits
of all are brought together, so each has the loss of the whole batch (whatever weighs its samples)
and sends back the gradients of its own part. Their sum is the gradient that one process would have
found. DistributedDataParallel is not used: it averages the losses of equal parts, while here parts
may be unequal, losses weighed, gradients added up over several batches, and layers begin to learn
late; a sum before each update needs no more than that.
"""

import logging
import math
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frameflow.config import Train
from frameflow.errors import FrameFlowError, UsageError, listing
from frameflow.progress import processes_started, speaks

log = logging.getLogger(__name__)

STEP = timedelta(minutes=30)  # the longest that others wait for the part of one
PATIENT = timedelta(days=7)  # for what the first process reads before the training
_ENDING = 15  # seconds in which whoever started the processes ends them, if one of them failed


class Team:
    """The one process of an ordinary training: its part is everything.

    Attributes:
        rank: the number of this process.
        size: how many there are.
        device: what it computes on; None: what there is.
    """

    rank, size = 0, 1
    device: torch.device | None = None

    @property
    def leads(self) -> bool:
        """The first process is the only one that writes to the run."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Which of ``count`` samples are this process's."""
        return slice(0, count)

    def join(self, own: Tensor, count: int) -> Tensor:  # noqa: ARG002
        """``(n, ...)`` of the own part to ``(count, ...)`` of all; gradients reach the own part."""
        return own

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Every process gets the sum of all gradients."""

    def mean_statistics(self, module: nn.Module) -> None:
        """Every process gets the mean of what batch norm has seen in each."""

    def spread(self, module: nn.Module) -> None:
        """Every process gets the first one's weights."""

    def share(self, value: Any) -> Any:
        """What the first process gives."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """What each process gives, in order."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Whether it holds in one of them."""
        return flag

    def seed(self, *numbers: int) -> None:
        """Let each process draw its own dropout, the same whenever these numbers come again."""

    def leave(self) -> None:
        """The common work is done."""


ALONE = Team()
_now: Team | None = None


class Several(Team):
    """One of several processes, as the environment says that torchrun sets.

    Raises:
        UsageError: there are GPUs, but not one for each process; the environment is incomplete.
    """

    def __init__(self) -> None:
        self.size, local = processes_started(), int(os.environ.get("LOCAL_RANK", "0"))
        here = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        backend = "gloo"
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            if torch.cuda.device_count() < here:
                raise UsageError(
                    f"{here} processes for {torch.cuda.device_count()} GPUs: start one for each, "
                    f"or train on the CPU (CUDA_VISIBLE_DEVICES= before the command)."
                )
            backend, self.device = "nccl", torch.device("cuda", local)
            torch.cuda.set_device(self.device)
        with _others_may_end():
            try:
                distributed.init_process_group(backend, timeout=STEP)
            except ValueError as error:  # a variable is missing
                raise UsageError(
                    f"WORLD_SIZE says that {self.size} processes were started, but the rest is "
                    f"not as torchrun sets it ({error}): use torchrun, or unset WORLD_SIZE."
                ) from None
            self._patient = distributed.new_group(backend="gloo", timeout=PATIENT)
        self.rank, self._here = distributed.get_rank(), here

    def part(self, count: int) -> slice:
        return parts(count, self.size)[self.rank]

    def join(self, own: Tensor, count: int) -> Tensor:
        cut = parts(count, self.size)
        sizes = [one.stop - one.start for one in cut]
        padded = own.new_zeros((max(sizes), *own.shape[1:]))
        padded[: len(own)] = own.detach()
        found = [torch.empty_like(padded) for _ in sizes]
        with _others_may_end():
            distributed.all_gather(found, padded)
        pieces = [one[:size] for one, size in zip(found, sizes)]
        pieces[self.rank] = own
        return torch.cat(pieces)

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        self._reduce([p.grad for p in parameters if p.grad is not None], 1.0)

    def mean_statistics(self, module: nn.Module) -> None:
        learning = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
        held = [(m.running_mean, m.running_var) for m in learning]
        self._reduce([t for pair in held for t in pair if t is not None], 1 / self.size)

    @torch.no_grad()
    def _reduce(self, tensors: Sequence[Tensor], factor: float) -> None:
        """The sum over processes times a factor, in one message."""
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _others_may_end():
            distributed.all_reduce(flat)
        flat *= factor
        for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors])):
            tensor.copy_(piece.view(tensor.shape))

    @torch.no_grad()
    def spread(self, module: nn.Module) -> None:
        with _others_may_end():
            for tensor in module.state_dict().values():
                held = tensor.detach().cpu().contiguous()
                distributed.broadcast(held, 0, group=self._patient)
                if not self.leads:
                    tensor.copy_(held)

    def share(self, value: Any) -> Any:
        held = [value]
        with _others_may_end():
            distributed.broadcast_object_list(held, 0, group=self._patient)
        return held[0]

    def gather(self, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        with _others_may_end():
            distributed.all_gather_object(found, value, group=self._patient)
        return found

    def any(self, flag: bool) -> bool:
        held = torch.tensor([float(flag)])
        with _others_may_end():
            distributed.all_reduce(held, group=self._patient)
        return bool(held[0] > 0)

    def seed(self, *numbers: int) -> None:
        drawn = np.random.SeedSequence([*numbers, self.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0] >> np.uint64(1)))

    def leave(self) -> None:
        global _now
        self.gather(None)  # nobody goes while another still waits for an answer
        distributed.destroy_process_group()
        _now = Team()
        _now.rank = self.rank
        if self.leads:  # the others end: their cores are free
            torch.set_num_threads(torch.get_num_threads() * self._here)


def parts(count: int, size: int) -> list[slice]:
    """``count`` in ``size`` parts that follow on each other, each a sample longer or shorter.

    Example:
        >>> parts(5, 2)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    each, more = divmod(count, size)
    ends = [rank * each + min(rank, more) for rank in range(size + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def refuse_unlike(
    identity: dict[str, Any], module: nn.Module, training: Any, settings: Train
) -> None:
    """Processes that see different data, or more of them than a step has samples.

    Raises:
        FrameFlowError: they see different data.
        UsageError: a part of a batch would be too small.
    """
    size = team().size
    if size == 1:
        return
    seen = identity | {"targets": zlib.crc32(np.ascontiguousarray(training.targets).tobytes())}
    found = team().gather(seen)
    if unlike := [key for key in seen if any(one[key] != seen[key] for one in found)]:
        raise FrameFlowError(
            f"The processes see different data ({listing(unlike)}): were videos moved meanwhile? "
            f"Start it again with --resume."
        )
    smallest = len(training) // math.ceil(len(training) / settings.batch_size)
    # Batch norm over vectors cannot learn from one.
    least = 2 if any(isinstance(part, nn.BatchNorm1d) for part in module.modules()) else 1
    if smallest < least * size:
        raise UsageError(
            f"{size} processes are too many for {smallest} samples a step (train.batch_size "
            f"{settings.batch_size}, {len(training)} training samples): each needs {least} or "
            f"more. Start at most {max(1, smallest // least)}."
        )


def team() -> Team:
    """The processes that train now."""
    return _now or ALONE


def has_joined() -> bool:
    """Whether several processes were started for what is done now."""
    return _now is not None


@contextmanager
def together(*, shared: bool) -> Iterator[Team]:
    """The processes that were started train together while the block runs.

    Only the first one speaks. Where one fails, the others wait to be ended, so that one error is
    told.

    Args:
        shared: False: the first trains alone, the others have nothing to do.

    Raises:
        UsageError: there are fewer GPUs than processes.
    """
    global _now
    if processes_started() == 1 or _now is not None:
        yield team()
        return
    logger = logging.getLogger("frameflow")
    level = logger.level
    if not speaks():
        logger.setLevel(logging.ERROR)
    try:
        if shared:
            _now = Several()
            log.info("Training in %d processes.", _now.size)
        else:
            _now = Team()
            _now.rank = 0 if speaks() else 1
            log.info("A head over stored features learns in one process: the others end.")
        yield _now
    finally:
        _now = None
        logger.setLevel(level)


@contextmanager
def _others_may_end() -> Iterator[None]:
    """Where another process has failed, wait to be ended: its error is the one to tell."""
    try:
        yield
    except RuntimeError as error:  # what torch raises of lost connections and of timeouts
        log.debug("Lost the other processes.", exc_info=True)
        time.sleep(_ENDING)
        said = " ".join(str(error).split())[:120]
        raise FrameFlowError(
            f"Another process of this training has ended or no longer answers ({said}). "
            f"Go on with --resume."
        ) from None
