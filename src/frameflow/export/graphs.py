"""The parts of a recognizer as ONNX graphs: backbones, and the head with its calibration."""

import copy
import io
import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frameflow.errors import FrameFlowError, UsageError
from frameflow.evaluation.calibration import Calibration
from frameflow.evaluation.reliability import SMALLEST
from frameflow.features._onnx import quiet
from frameflow.models.pooling import Pooling, part_weights

if TYPE_CHECKING:
    import onnx

    from frameflow.models.backbones import Backbone
    from frameflow.models.heads import Head

OPSET = 17
OPSETS = (14, 20)  # attention needs the first, PyTorch's tracing exporter knows the last


def check_opset(opset: int) -> None:
    """Refuse an opset that cannot be written.

    Raises:
        UsageError: with those that can.
    """
    least, most = OPSETS
    if not least <= opset <= most:
        raise UsageError(
            f"opset ({opset}) must be {least} to {most}; {OPSET} is what ONNX Runtime and OpenVINO "
            f"have long read."
        )


class Deciding(nn.Module):
    """A head with what follows it: ``(B, T, D)`` and ``(B, T)`` to calibrated probabilities.

    The second output are the probabilities before calibration: those of several views are
    averaged first.
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, head: "Head", calibration: Calibration) -> None:
        super().__init__()
        self.head = head
        self.calibrates = calibration.method != "none"
        self.several = calibration.multilabel
        self.register_buffer("scale", torch.tensor(calibration.scale))
        self.register_buffer("bias", torch.tensor(calibration.bias))

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(features, mask)
        raw = logits.sigmoid() if self.several else logits.softmax(dim=-1)
        if not self.calibrates:
            return raw * 1.0, raw  # two outputs must be two values
        lowest = math.log(SMALLEST)
        if self.several:
            scores = logits.clamp(lowest, -lowest) * self.scale + self.bias
            return scores.sigmoid(), raw
        scores = logits.log_softmax(dim=-1).clamp(min=lowest) * self.scale + self.bias
        return scores.softmax(dim=-1), raw


def backbone_graph(backbone: "Backbone", *, frames: int, opset: int = OPSET) -> "onnx.ModelProto":
    """A backbone as a graph from normalised ``frames`` to ``features``.

    Args:
        backbone: in evaluation mode; it is copied, not changed.
        frames: T of the clips, of account where the backbone sees frames together: the graph then
            takes ``(B, T, 3, H, W)`` of this T, otherwise ``(N, 3, H, W)``. B and N are free.
        opset: of ONNX.

    Raises:
        FrameFlowError: the exporter cannot write this backbone.
    """
    model = copy.deepcopy(backbone).cpu().float().eval().requires_grad_(False)
    size = backbone.preprocess.size
    clip = (frames,) if backbone.temporal else ()
    example = torch.randn(2, *clip, 3, size, size, generator=torch.Generator().manual_seed(0))
    _fix_shapes(model, example)
    return _graph(
        model,
        {"frames": example},
        ["features"],
        {"frames": {0: "batch"}, "features": {0: "batch"}},
        opset,
        what=backbone.name,
    )


def head_graph(
    head: "Head", calibration: Calibration, *, steps: int, opset: int = OPSET
) -> "onnx.ModelProto":
    """A head from ``features`` and ``mask`` to ``probabilities`` and uncalibrated ``raw`` ones.

    B is free, and T where the head takes clips of any length.

    Args:
        head: in evaluation mode; it is copied, not changed.
        calibration: saved with the model.
        steps: T it was trained with.
        opset: of ONNX.

    Raises:
        FrameFlowError: the exporter cannot write this head.
    """
    model = Deciding(copy.deepcopy(head), calibration).cpu().float().eval().requires_grad_(False)
    features = torch.randn(2, steps, head.dim, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, steps, dtype=torch.bool)
    mask[1, -1] = steps == 1
    free = {0: "batch", 1: "time"} if head.any_length else {0: "batch"}
    outputs = ["probabilities", "raw"]
    return _graph(
        model,
        {"features": features, "mask": mask},
        outputs,
        {"features": free, "mask": free} | {name: {0: "batch"} for name in outputs},
        opset,
        what=f"the head {head.name}",
    )


def _graph(
    model: nn.Module,
    inputs: dict[str, Tensor],
    outputs: list[str],
    free: dict[str, dict[int, str]],
    opset: int,
    *,
    what: str,
) -> "onnx.ModelProto":
    import onnx

    check_opset(opset)
    file = io.BytesIO()
    try:
        # Not inference_mode: tensors made in it cannot be traced. The tracing exporter: the newer
        # one needs onnxscript and takes many times as long.
        with torch.no_grad(), quiet():
            torch.onnx.export(
                model,
                tuple(inputs.values()),
                file,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=opset,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_axes=free,
            )
        found = folded(onnx.load_from_string(file.getvalue()))
    except Exception as error:  # whatever the exporter raises, it is about this model
        said = " ".join(str(error).split())[:200]
        raise FrameFlowError(
            f"PyTorch cannot export {what} to ONNX opset {opset}: {said or type(error).__name__}. "
            f"Serve the run itself, or try another --opset."
        ) from error
    return found


def folded(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The graph with all computed that does not depend on the inputs."""
    import tempfile
    from pathlib import Path

    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="frameflow-") as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = onnx.load(path)
    used = {node.domain for node in found.graph.node}
    kept = [entry for entry in found.opset_import if entry.domain in used or not entry.domain]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    found.ir_version = model.ir_version
    return found


# Shapes that tracing would leave open -----------------------------------------------------------


class _FixedPadding(nn.Module):
    """A convolution of TensorFlow's padding over maps of one size."""

    def __init__(self, layer: nn.Conv2d, size: tuple[int, int]) -> None:
        super().__init__()
        from timm.layers.padding import get_same_padding

        sides = [
            get_same_padding(length, *rest)
            for length, *rest in zip(size, layer.kernel_size, layer.stride, layer.dilation)
        ]
        (high, wide) = ((int(side) // 2, int(side) - int(side) // 2) for side in sides)
        self.around = (*wide, *high)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        # channels last in, so that nothing is copied; the padding of the layer itself is none
        x = F.pad(x, self.around)
        layer = self.layer
        return F.conv2d(
            x, layer.weight, layer.bias, layer.stride, (0, 0), layer.dilation, layer.groups
        )


class _FixedPooling(nn.Module):
    """`Pooling` of means over maps of one size: its weights are constants."""

    rows: Tensor
    columns: Tensor

    def __init__(self, grid: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", part_weights(size[0], grid))
        self.register_buffer("columns", part_weights(size[1], grid).T.contiguous())

    def forward(self, maps: Tensor) -> Tensor:
        return (self.rows @ maps @ self.columns).permute(0, 2, 3, 1).flatten(1)


def _fix_shapes(model: nn.Module, example: Tensor) -> None:
    """Put constants where the graph would compute padding and pooling from the maps' sizes."""
    from timm.layers import Conv2dSame

    seen: dict[str, set[tuple[int, int]]] = {}
    hooks = []

    def watch(name: str) -> Any:
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            height, width = inputs[0].shape[-2:]
            seen.setdefault(name, set()).add((int(height), int(width)))

        return look

    for name, module in model.named_modules():
        if type(module) is Conv2dSame or (type(module) is Pooling and module.pool == "own"):
            hooks.append(module.register_forward_pre_hook(watch(name)))
    with torch.no_grad():
        model(example)
    for hook in hooks:
        hook.remove()
    for name, sizes in seen.items():
        if len(sizes) > 1:
            continue
        (size,) = sizes
        module = model.get_submodule(name)
        other = (
            _FixedPooling(module.grid, size)
            if isinstance(module, Pooling)
            else _with_hooks(_FixedPadding(module, size), module)  # type: ignore[arg-type]
        )
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, other)


def _with_hooks(new: nn.Module, old: nn.Module) -> nn.Module:
    """A temporal shift hangs on the convolution it comes before."""
    new._forward_pre_hooks = old._forward_pre_hooks
    return new
