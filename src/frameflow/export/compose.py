"""One graph out of the parts: frames of each stream in, probabilities out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

_FLAT = -1


@dataclass(frozen=True, slots=True)
class Input:
    """What one stream takes.

    Attributes:
        name: of the graph's input.
        backbone: which of the backbones it goes through; several may share one.
        size: side of its frames, px.
        temporal: its backbone takes ``(B, T, 3, H, W)``, not single frames.
    """

    name: str
    backbone: int
    size: int
    temporal: bool


def compose(
    backbones: "Sequence[onnx.ModelProto]",
    head: "onnx.ModelProto",
    inputs: Sequence[Input],
    *,
    steps: int | None,
    masked: bool,
) -> "onnx.ModelProto":
    """Join backbones and a head.

    ::

        frames (B, T, 3, H, W) -> backbone -> (B, T, D) -+-> head -> probabilities (B, K)
        ...another stream...                            -+     |
        mask (B, T) -------------------------------------------+

    Args:
        backbones: graphs of `backbone_graph`; streams that share one share its weights.
        head: of `head_graph`.
        inputs: the streams in their order.
        steps: T, or None where it is free.
        masked: whether the graph takes a mask; otherwise all features count.
    """
    from onnx import TensorProto, checker, helper

    graph: list[Any] = []
    weights: dict[str, Any] = {}
    given: list[Any] = []
    features = []
    for stream, each in enumerate(inputs):
        shape = ["batch", steps or "time", 3, each.size, each.size]
        given.append(helper.make_tensor_value_info(each.name, TensorProto.FLOAT, shape))
        features.append(_through(graph, weights, backbones[each.backbone], each, stream))
    joined = features[0]
    if len(features) > 1:
        joined = "features"
        graph.append(helper.make_node("Concat", features, [joined], axis=2, name="/join"))
    if masked:
        mask = "mask"
        given.append(
            helper.make_tensor_value_info(mask, TensorProto.BOOL, ["batch", steps or "time"])
        )
    else:
        mask = _all_true(graph, weights, joined)
    _add(graph, weights, head, "head", {"features": joined, "mask": mask} | _same(head))
    outputs = [_copied(value) for value in head.graph.output]
    whole = helper.make_graph(graph, "recognizer", given, outputs, list(weights.values()))
    opsets = {entry.domain: entry for part in (*backbones, head) for entry in part.opset_import}
    found = helper.make_model(whole, opset_imports=list(opsets.values()))
    found.ir_version = max(part.ir_version for part in (*backbones, head))
    checker.check_model(found)
    return found


def _through(
    graph: list[Any], weights: dict[str, Any], backbone: "onnx.ModelProto", each: Input, stream: int
) -> str:
    """The nodes of one stream; returns the name of its ``(B, T, D)`` features."""
    from onnx import helper

    begin, end = f"stream{stream}/frames", f"stream{stream}/features"
    place = f"backbone{each.backbone}"
    if each.temporal:
        _add(graph, weights, backbone, place, {"frames": each.name}, f"stream{stream}")
        return f"stream{stream}//out/features"
    flat = _constant(weights, f"flat{each.size}", [_FLAT, 3, each.size, each.size])
    graph.append(helper.make_node("Reshape", [each.name, flat], [begin], name=f"/{begin}"))
    _add(graph, weights, backbone, place, {"frames": begin}, f"stream{stream}")
    (output,) = backbone.graph.output
    dim = output.type.tensor_type.shape.dim[-1].dim_value
    shape, two = f"stream{stream}/shape", f"stream{stream}/batch_time"
    first, last = _constant(weights, "zero", [0]), _constant(weights, "two", [2])
    length = _constant(weights, f"length{dim}", [dim])
    graph += [
        helper.make_node("Shape", [each.name], [shape], name=f"/{shape}"),
        helper.make_node("Slice", [shape, first, last], [two], name=f"/{two}"),
        helper.make_node("Concat", [two, length], [f"{end}/shape"], axis=0, name=f"/{end}/shape"),
        helper.make_node(
            "Reshape", [f"stream{stream}//out/features", f"{end}/shape"], [end], name=f"/{end}"
        ),
    ]
    return end


def _same(head: "onnx.ModelProto") -> dict[str, str]:
    """The head's outputs are those of the whole."""
    return {value.name: value.name for value in head.graph.output}


def _all_true(graph: list[Any], weights: dict[str, Any], features: str) -> str:
    """A mask of ``(B, T)`` that hides nothing."""
    from onnx import TensorProto, helper

    first, last = _constant(weights, "zero", [0]), _constant(weights, "two", [2])
    graph += [
        helper.make_node("Shape", [features], ["mask/shape"], name="/mask/shape"),
        helper.make_node("Slice", ["mask/shape", first, last], ["mask/two"], name="/mask/two"),
        helper.make_node(
            "ConstantOfShape",
            ["mask/two"],
            ["mask/all"],
            value=helper.make_tensor("value", TensorProto.BOOL, [1], [True]),
            name="/mask/all",
        ),
    ]
    return "mask/all"


def _add(
    graph: list[Any],
    weights: dict[str, Any],
    part: "onnx.ModelProto",
    place: str,
    given: dict[str, str],
    use: str = "",
) -> None:
    """Append a part's nodes: its weights once for each place, its values once for each use."""
    use = use or place
    own = {weight.name for weight in part.graph.initializer}
    outputs = {value.name for value in part.graph.output}
    for weight in part.graph.initializer:
        renamed = _copied(weight)
        renamed.name = f"{place}/{weight.name}"
        weights[renamed.name] = renamed

    def name(of: str) -> str:
        if not of:
            return of  # an input that is left out
        if of in given:
            return given[of]
        if of in own:
            return f"{place}/{of}"
        return f"{use}//out/{of}" if of in outputs else f"{use}/{of}"

    for node in part.graph.node:
        renamed = _copied(node)
        _rename(renamed, name, use)
        graph.append(renamed)


def _rename(node: Any, name: Callable[[str], str], use: str) -> None:
    """Give a node's values other names, and those of the branches it may hold."""
    node.name = f"{use}{node.name or f'/{node.output[0]}'}"  # two of one name are refused
    node.input[:] = [name(each) for each in node.input]
    node.output[:] = [name(each) for each in node.output]
    for attribute in node.attribute:
        for branch in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
            for inner in branch.node:
                _rename(inner, name, use)
            for value in (*branch.initializer, *branch.input, *branch.output):
                value.name = name(value.name)


def _constant(weights: dict[str, Any], name: str, values: list[int]) -> str:
    from onnx import TensorProto, helper

    weights[name] = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
    return name


def _copied(message: Any) -> Any:
    found = type(message)()
    found.CopyFrom(message)
    return found
