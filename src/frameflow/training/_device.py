"""Where and in what precision a training computes, and what to do when its memory is full."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError, UsageError
from frameflow.progress import processes_started
from frameflow.training._depthwise import FastDepthwise
from frameflow.training._team import has_joined, team

_FULL = ("out of memory", "can't allocate memory", "not enough memory")


def training_device() -> torch.device:
    """The accelerator where there is one, else the CPU; of several processes each has its own.

    Raises:
        UsageError: several processes were started for what runs in one.
    """
    if processes_started() > 1 and not has_joined():
        raise UsageError(
            f"{processes_started()} processes were started, and only `frameflow train` shares its "
            f"work between them: start this without torchrun or `accelerate launch`."
        )
    if own := team().device:
        return own
    found = torch.accelerator.current_accelerator(check_available=True)
    return torch.device("cpu") if found is None else found


class Precision:
    """Mixed precision: products in 16 bits where that is safe, weights and sums in 32.

    Args:
        wanted: the recipe's ``train.precision``; ``auto`` is bfloat16 where that is faster, see
            `bfloat16_pays`, else float32.
        device: of the training.
        module: what is trained.

    Attributes:
        dtype: of the products; None for float32.
        scaler: keeps gradients of float16 from vanishing; does nothing for the others.

    Raises:
        UsageError: float16 on a CPU.
    """

    def __init__(self, wanted: str, device: torch.device, module: nn.Module) -> None:
        if wanted == "float16" and device.type == "cpu":
            raise UsageError(
                "train.precision (float16) needs a GPU; on a CPU choose bfloat16, float32 or auto."
            )
        if wanted == "auto":
            wanted = "bfloat16" if bfloat16_pays(device, module) else "float32"
        self.device = device
        self.dtype = None if wanted == "float32" else getattr(torch, wanted)
        self.scaler = torch.amp.GradScaler(device.type, enabled=wanted == "float16")

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """While the block runs, products are computed in ``dtype``."""
        if self.dtype is None:
            yield
            return
        depthwise = FastDepthwise() if self.device.type == "cpu" else nullcontext()
        with torch.autocast(self.device.type, dtype=self.dtype), depthwise:
            yield


def bfloat16_pays(device: torch.device, module: nn.Module) -> bool:
    """Whether training in bfloat16 is faster: decided by rule, so that a run can be repeated.

    The hardware must multiply it; emulated it is only slower. On a CPU networks of depthwise
    convolutions (EfficientNet, MobileNet) gain nothing: on a Xeon with AMX a training step of
    ResNet-18 takes 0.5 of the time of float32, one of EfficientNet-Lite0 1.05.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return able and not any(_is_depthwise(part) for part in module.modules())


def _is_depthwise(part: nn.Module) -> bool:
    return isinstance(part, nn.Conv2d | nn.Conv3d) and part.groups == part.in_channels > 1


def arrange(module: nn.Module, layout: torch.memory_format) -> None:
    """Bring the weights of 2D convolutions into a layout: channels last is faster for images."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


@contextmanager
def memory_told(settings: Train) -> Iterator[None]:
    """Where memory runs out, say what to lower.

    Raises:
        FrameFlowError: it ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not full and not any(said in str(error).lower() for said in _FULL):
            raise
        said = " ".join(str(error).split())[:120]
        raise FrameFlowError(
            f"The memory is too small for a step ({said}). Lower train.batch_size "
            f"({settings.batch_size}; train.accumulate then keeps the updates as they are), "
            f"sampling.frames, or the size of the backbone's frames (streams.0.size)."
        ) from None


@contextmanager
def compiling(settings: Train) -> Iterator[None]:
    """Where ``torch.compile`` fails, say so.

    Raises:
        UsageError: it failed.
    """
    try:
        yield
    except Exception as error:
        if not settings.compile or not type(error).__module__.startswith("torch._"):
            raise
        said = " ".join(str(error).split())[:160]
        raise UsageError(
            f"torch.compile does not work here ({type(error).__name__}: {said}): "
            f"leave it out (--set train.compile=false)."
        ) from None
