"""8-bit integers for a backbone's weights and activations, by a few hundred training frames.

The graph holds QuantizeLinear and DequantizeLinear pairs (QDQ), which ONNX Runtime and OpenVINO
both turn into integer arithmetic. Weights have a scale for each output channel, activations one
range each. Two things are done beside what ONNX Runtime's quantiser does by itself, because they
keep what it loses (measured by benchmarks/int8.py):

- a range is the one of least squared error, not the least and the largest value seen;
- what rounding the weights shifts on average is taken out of each convolution's bias (Nagel et
  al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
  section 4.2, with means measured on the calibration frames).
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow.errors import FrameFlowError

if TYPE_CHECKING:
    import onnx

_SHRINK: tuple[float, ...] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # of a range, tried at either end
_VALUES = 4096  # of an activation, kept of each batch
_STEPS = 255  # from one end of a range to the other
_WEIGHTS = 127  # the largest weight
_POOLING = "/pooling/"  # the graph's features: float32, as the head is

Batches = Callable[[], Iterator[np.ndarray]]


def quantised(model: "onnx.ModelProto", batches: Batches) -> "onnx.ModelProto":
    """A backbone's graph in 8 bits.

    Args:
        model: of `frameflow.export.graphs.backbone_graph`.
        batches: gives normalised frames, a few at a time; called twice.

    Raises:
        FrameFlowError: there is nothing in the graph that can be quantised, or the quantiser
            fails.
    """
    import onnx

    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    kinds = {node.op_type for node in corrected.graph.node}
    if not kinds & {"Conv", "MatMul", "Gemm"}:
        raise FrameFlowError("The backbone has no layer that could be quantised: leave out --int8.")
    correct_biases(corrected, batches)
    ranges = best_ranges(corrected, batches)
    try:
        return _quantised(corrected, ranges, next(iter(batches()))[:1])
    except Exception as error:  # whatever the quantiser raises, it is about this graph
        said = " ".join(str(error).split())[:200]
        raise FrameFlowError(
            f"ONNX Runtime cannot quantise this backbone: {said}. Leave out --int8."
        ) from error


def correct_biases(model: "onnx.ModelProto", batches: Batches) -> None:
    """Take what the rounding of weights adds on average out of the convolutions' biases."""
    from onnx import numpy_helper

    weights = {weight.name: weight for weight in model.graph.initializer}
    found = [
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and len(node.input) == 3
        and {node.input[1], node.input[2]} <= weights.keys()
    ]
    for node, shift in _shifts(model, found, weights, batches):
        bias = numpy_helper.to_array(weights[node.input[2]])
        own = f"{node.output[0]}/bias"  # layers with equal biases share one
        new = numpy_helper.from_array((bias - shift).astype(np.float32), own)
        model.graph.initializer.append(new)
        node.input[2] = own
    used = {name for node in model.graph.node for name in node.input}
    left = [weight for weight in model.graph.initializer if weight.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)


def _shifts(
    model: "onnx.ModelProto",
    nodes: "Sequence[onnx.NodeProto]",
    weights: "dict[str, onnx.TensorProto]",
    batches: Batches,
) -> "list[tuple[onnx.NodeProto, np.ndarray]]":
    """For each convolution what the rounding of its weights adds on average, ``(out,)``.

    Beside each stands another with the rounding errors as its weights, so that padding and
    strides count as they do.
    """
    import onnx
    from onnx import helper, numpy_helper

    beside = onnx.ModelProto()
    beside.CopyFrom(model)
    del beside.graph.output[:]
    for place, node in enumerate(nodes):
        weight = numpy_helper.to_array(weights[node.input[1]])
        off = (_rounded(weight) - weight).astype(np.float32)
        beside.graph.initializer.append(numpy_helper.from_array(off, f"off{place}"))
        other = helper.make_node("Conv", [node.input[0], f"off{place}"], [f"more{place}"])
        other.attribute.extend(node.attribute)
        mean = helper.make_node("GlobalAveragePool", [f"more{place}"], [f"shift{place}"])
        beside.graph.node.extend([other, mean])
        beside.graph.output.append(
            helper.make_tensor_value_info(f"shift{place}", onnx.TensorProto.FLOAT, None)
        )
    if not nodes:
        return []
    session = _session(beside)
    sums: list[Any] = [0.0] * len(nodes)
    count = 0
    for batch in batches():
        found = session.run(None, {model.graph.input[0].name: batch})
        for place, values in enumerate(found):
            sums[place] = sums[place] + values.reshape(*values.shape[:2]).sum(axis=0)
        count += len(found[0])
    return [(node, total / count) for node, total in zip(nodes, sums)]


def best_ranges(model: "onnx.ModelProto", batches: Batches) -> dict[str, tuple[float, float]]:
    """Of each activation the range whose 256 steps give the least squared error."""
    names = [name for node in model.graph.node for name in node.output]
    names += [value.name for value in model.graph.input]
    kept: dict[str, list[np.ndarray]] = {}
    ends: dict[str, tuple[float, float]] = {}
    rng = np.random.default_rng(0)
    for name, values in _activations(model, names, batches):
        flat = values.ravel()
        low, high = ends.get(name, (0.0, 0.0))
        ends[name] = (min(low, float(flat.min())), max(high, float(flat.max())))
        kept.setdefault(name, []).append(flat[rng.integers(0, flat.size, _VALUES)])
    return {name: _best_range(np.concatenate(kept[name]), *ends[name]) for name in kept}


def _best_range(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    best, chosen = np.inf, (low, high)
    for down in _SHRINK if low < 0 else (1.0,):
        for up in _SHRINK if high > 0 else (1.0,):
            step = (high * up - low * down) / _STEPS
            if step <= 0:
                continue
            steps = np.clip(np.rint((values - low * down) / step), 0, _STEPS)
            error = float(((steps * step + low * down - values) ** 2).mean())
            if error < best:
                best, chosen = error, (low * down, high * up)
    return chosen


def _rounded(weight: np.ndarray) -> np.ndarray:
    """What is left of ``(out, in, ...)`` weights, each output channel with a scale of its own."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    scale = np.maximum(largest, 1e-12) / _WEIGHTS
    scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return np.asarray(np.rint(weight / scale) * scale)


def _activations(
    model: "onnx.ModelProto", names: Sequence[str], batches: Batches
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, float values) of a graph's inputs and whatever else is asked for, batch by batch."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(onnx.shape_inference.infer_shapes(model))
    given = {value.name for value in watched.graph.input}
    known = {value.name: value for value in watched.graph.value_info}
    outputs = [value.name for value in watched.graph.output]
    inner = [
        name
        for name in dict.fromkeys(names)
        if name in known and known[name].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]
    watched.graph.output.extend(known[name] for name in inner if name not in outputs)
    asked = [name for name in dict.fromkeys(names) if name in inner or name in outputs]
    session = _session(watched)
    (entry,) = given
    for batch in batches():
        if entry in names:
            yield entry, batch
        if asked:
            yield from zip(asked, session.run(asked, {entry: batch}))


def _session(model: "onnx.ModelProto") -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _quantised(
    model: "onnx.ModelProto", ranges: dict[str, tuple[float, float]], example: np.ndarray
) -> "onnx.ModelProto":
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Once(CalibrationDataReader):
        """The quantiser asks for calibration data though all ranges are given."""

        def __init__(self) -> None:
            self._left = [{model.graph.input[0].name: example}]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self._left.pop() if self._left else None

    overrides: dict[str, list[dict[str, Any]]] = {
        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
        for name, (low, high) in ranges.items()
        if high > low
    }
    pooled = [node.name for node in model.graph.node if node.name.startswith(_POOLING)]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises steps that were taken before
    try:
        with tempfile.TemporaryDirectory(prefix="frameflow-") as folder:
            source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(model, source)
            quantize_static(
                source,
                target,
                Once(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=pooled,
                extra_options={"TensorQuantOverrides": overrides},
            )
            found = onnx.load(target)
    finally:
        root.setLevel(level)
    if not any(node.op_type == "QuantizeLinear" for node in found.graph.node):
        raise ValueError("no layer was quantised")
    return found
