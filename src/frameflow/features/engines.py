"""Engines: what runs a frozen backbone over frames, or a video model over clips.

On a CPU, PyTorch's eager mode leaves most of the machine's speed unused. The same backbone is
exported to ONNX once and run by OpenVINO or ONNX Runtime, each core working through a few frames
at a time so that what lies between two layers stays in its cache: larger batches are slower. On
a GPU PyTorch runs it in half precision.

The precision is float32 on every CPU, also where OpenVINO would choose bfloat16, so that features
of one machine fit a head trained on another. Backbones that see frames together are the
exception: some take seconds for a clip, and processors that compute bfloat16 run them several
times as fast. It is taken where its features point the same way as those of float32 and it pays.
"""

import contextlib
import copy
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np

from frameflow.errors import FrameFlowError, UsageError, near_names
from frameflow.features._onnx import graph_path, onnx_bytes
from frameflow.features._openvino import openvino_core

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone

EngineKind = Literal["auto", "torch", "onnxruntime", "openvino"]

CORES = "FRAMEFLOW_CORES"  # set where several processes share a machine
_CHUNK = 2  # frames a core works on at once: measured the fastest of 1, 2, 4, 8 and 16
_CPU_CHUNK, _GPU_CHUNK = 4, 64  # of PyTorch
_CPU_BATCH, _GPU_BATCH = 64, 256


class Engine(Protocol):
    """A frozen backbone, ready to run.

    Attributes:
        name: ``torch``, ``onnxruntime`` or ``openvino``.
        precision: ``float32``, ``bfloat16`` over clips on some CPUs, or ``float16`` on a GPU.
        dim: length of the features.
        batch: how many frames are worth handing over at once.
        steps: None, or how many features a clip has, of a backbone that sees frames together.
    """

    name: str
    precision: str
    dim: int
    batch: int
    steps: int | None

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """``(N, size, size, 3)`` uint8 frames to ``(N, dim)`` float32 features.

        With ``steps``: ``(N, T, size, size, 3)`` clips to ``(N, steps, dim)``.

        The features of a frame (of a clip) do not depend on those beside it. Several threads may
        call; they take turns.
        """
        ...


def make_engine(
    backbone: "Backbone", kind: EngineKind = "auto", *, frames: int | None = None
) -> Engine:
    """Make an engine for a backbone.

    Args:
        backbone: frozen, in evaluation mode; it is copied, not changed.
        kind: ``auto`` is PyTorch in half precision where there is a GPU, otherwise the fastest
            installed engine that agrees with PyTorch. Each is checked once per backbone and
            machine, and what was found is remembered in `home`.
        frames: T of the clips; needed by backbones that see frames together, of no account to
            others.

    Raises:
        UsageError: ``kind`` is unknown or not installed, or ``frames`` is missing.
        FrameFlowError: the engine asked for cannot run this backbone or does not agree with
            PyTorch. ``auto`` passes such an engine over with a line in the log.

    Example:
        >>> from frameflow.models.backbones import build_backbone
        >>> backbone = build_backbone("resnet10t", weights="none", size=64)
        >>> make_engine(backbone, "torch")(np.zeros((3, 64, 64, 3), np.uint8)).shape
        (3, 512)
    """
    from frameflow.features import _agreement

    _check_kind(kind)
    if not backbone.temporal:
        frames = None
    elif frames is None:
        raise UsageError(f"{backbone.name} looks at clips: say of how many frames.")
    if kind == "torch" or (kind == "auto" and _cuda()):
        return build(backbone, "torch", frames=frames)
    if kind == "auto":
        return _agreement.fastest(backbone, frames)
    return _agreement.checked(backbone, kind, frames)


def precision_of(kind: EngineKind) -> str:
    """The precision of the engine that `make_engine` would make, without making it.

    Raises:
        UsageError: ``kind`` is unknown.
    """
    _check_kind(kind)
    return "float16" if kind in ("auto", "torch") and _cuda() else "float32"


def build(backbone: "Backbone", kind: str, *, frames: int | None = None) -> Engine:
    """Make an engine without checking what it computes.

    Args:
        backbone: as `make_engine` takes it.
        kind: ``torch``, ``bfloat16`` (that is PyTorch too), ``onnxruntime`` or ``openvino``.
        frames: T of the clips, where the backbone sees frames together.

    Raises:
        ModuleNotFoundError: it is not installed.
        Exception: whatever its library raises where it cannot run the backbone.
    """
    clip: dict[str, Any] = {} if frames is None else {"frames": frames}
    if kind in ("torch", "bfloat16"):
        return TorchEngine(backbone, bfloat16=kind == "bfloat16", **clip)
    make = OpenVinoEngine if kind == "openvino" else OnnxRuntimeEngine
    try:
        return make(backbone, **clip)
    except ModuleNotFoundError:
        raise
    except Exception:
        graph = graph_path(backbone, chunk=_chunk(frames), frames=frames)
        if not graph.exists():
            raise
        with contextlib.suppress(OSError):
            graph.unlink()  # it may have been damaged: export it again, once
        return make(backbone, **clip)


def _chunk(frames: int | None, at_once: int = _CHUNK) -> int:
    """How many frames, or clips of so many frames, are worked on at once."""
    return at_once if frames is None else max(1, at_once // frames)


class _Chunked:
    """Checks the frames and cuts them into chunks of one size, the last one padded.

    One size means one compiled graph, and the same arithmetic for a frame whatever is beside it.
    """

    name = ""
    precision = "float32"
    batch = _CPU_BATCH

    def __init__(self, backbone: "Backbone", *, chunk: int, frames: int | None = None) -> None:
        self.dim = backbone.dim
        self.size = backbone.preprocess.size
        self.chunk = chunk
        self.steps = None if frames is None else backbone.steps(frames)
        clip = () if frames is None else (frames,)
        self._taken = (*clip, self.size, self.size, 3)
        self._given = (self.dim,) if self.steps is None else (self.steps, self.dim)
        self._turn = threading.Lock()

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        if frames.dtype != np.uint8 or frames.shape[1:] != self._taken:
            raise UsageError(
                f"Frames must be uint8 of shape (N, {', '.join(map(str, self._taken))}), "
                f"not {frames.dtype} of shape {frames.shape}."
            )
        found = np.empty((len(frames), *self._given), dtype=np.float32)
        if len(frames):
            with self._turn:
                self._run(frames, found)
        return found

    def _run(self, frames: np.ndarray, found: np.ndarray) -> None:
        raise NotImplementedError

    def _slices(self, count: int) -> list[slice]:
        return [slice(i, min(i + self.chunk, count)) for i in range(0, count, self.chunk)]

    def _padded(self, frames: np.ndarray) -> np.ndarray:
        if len(frames) == self.chunk:
            return np.ascontiguousarray(frames)
        whole = np.zeros((self.chunk, *frames.shape[1:]), dtype=np.uint8)
        whole[: len(frames)] = frames
        return whole


class TorchEngine(_Chunked):
    """PyTorch, channels last: float32 or bfloat16 on the CPU, half precision on a GPU."""

    name = "torch"

    def __init__(
        self,
        backbone: "Backbone",
        *,
        device: str | None = None,
        frames: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        import torch

        self._device = torch.device(device or ("cuda" if _cuda() else "cpu"))
        on_gpu = self._device.type == "cuda"
        chunk = _chunk(frames, _GPU_CHUNK if on_gpu else _CPU_CHUNK)
        super().__init__(backbone, chunk=chunk, frames=frames)
        if on_gpu:
            self.precision, self.batch = "float16", _GPU_BATCH
        elif bfloat16:
            self.precision = "bfloat16"
        self._preprocess = backbone.preprocess
        model: Any = copy.deepcopy(backbone).eval().requires_grad_(False)
        self._model = model.to(self._device, torch.float16 if on_gpu else torch.float32)
        for layer in self._model.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _run(self, frames: np.ndarray, found: np.ndarray) -> None:
        import torch

        from frameflow.models.backbones import normalise

        dtype = torch.float16 if self.precision == "float16" else torch.float32
        faster = torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16")
        with torch.no_grad(), faster:
            for part in self._slices(len(frames)):
                pixels = torch.from_numpy(self._padded(frames[part])).to(self._device)
                features = self._model(normalise(pixels, self._preprocess).to(dtype))
                found[part] = features.float().cpu().numpy()[: part.stop - part.start]


class OnnxRuntimeEngine(_Chunked):
    """ONNX Runtime: one thread per core, each with frames of its own."""

    name = "onnxruntime"

    def __init__(self, backbone: "Backbone", *, frames: int | None = None) -> None:
        import onnxruntime

        super().__init__(backbone, chunk=_chunk(frames), frames=frames)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            onnx_bytes(backbone, chunk=self.chunk, frames=frames),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="onnxruntime")

    def _run(self, frames: np.ndarray, found: np.ndarray) -> None:
        def one(part: slice) -> None:
            (features,) = self._session.run(None, {"frames": self._padded(frames[part])})
            found[part] = features[: part.stop - part.start]

        list(self._pool.map(one, self._slices(len(frames))))


class OpenVinoEngine(_Chunked):
    """OpenVINO: one stream per core, each with frames of its own."""

    name = "openvino"

    def __init__(self, backbone: "Backbone", *, frames: int | None = None) -> None:
        import openvino

        super().__init__(backbone, chunk=_chunk(frames), frames=frames)
        core = openvino_core()
        model = core.read_model(onnx_bytes(backbone, chunk=self.chunk, frames=frames))
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        if os.environ.get(CORES):
            settings["INFERENCE_NUM_THREADS"] = str(cores())
        self._queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings))

    def _run(self, frames: np.ndarray, found: np.ndarray) -> None:
        def done(request: Any, part: slice) -> None:
            found[part] = request.get_output_tensor().data[: part.stop - part.start]

        self._queue.set_callback(done)
        for part in self._slices(len(frames)):
            self._queue.start_async({0: self._padded(frames[part])}, part)
        self._queue.wait_all()


def cores() -> int:
    """How many cores this process may use: its own, or its share where it is one of several."""
    given = os.environ.get(CORES, "")
    if given.isdigit() and int(given):
        return int(given)
    return all_cores()


def all_cores() -> int:
    """How many cores this process may use, whoever shares them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def not_installed(kind: str) -> UsageError:
    """The error for an engine whose library is missing."""
    return UsageError(
        f"The engine {kind!r} is not installed: pip install {kind}, or choose --engine torch."
    )


def failed(kind: str, backbone: "Backbone", reason: str) -> FrameFlowError:
    """The error for an engine that was asked for and cannot be used."""
    return FrameFlowError(
        f"The engine {kind!r} cannot run {backbone.name}: {reason}. Choose --engine auto."
    )


def _check_kind(kind: str) -> None:
    kinds = get_args(EngineKind)
    if kind not in kinds:
        raise UsageError(
            f"No engine is named {kind!r}.{near_names(str(kind), kinds)} Known: {', '.join(kinds)}."
        )


def computes_bfloat16() -> bool:
    """Whether this processor has instructions for it; others emulate it, slowly."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
