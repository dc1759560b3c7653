"""Cutting a network in two at a layer that everything passes through, by `torch.fx`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

_METHOD = "encode_frames"  # what of the root is traced


@dataclass(frozen=True, slots=True)
class Halves:
    """The two parts of a network; both share its modules and parameters.

    Attributes:
        before: from the input to the layer's activations.
        after: from these to the output.
    """

    before: fx.GraphModule
    after: fx.GraphModule


class _Tracer(fx.Tracer):
    """Records the graph of calls, and the value that each module gives."""

    traced_func_name = _METHOD

    def __init__(self, look_into: Callable[[str, nn.Module], bool]) -> None:
        super().__init__()
        self.look_into = look_into
        self.given: dict[str, fx.Node | None] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not self.look_into(module_qualified_name, m)

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        given = super().call_module(m, forward, args, kwargs)
        name = self.path_of_module(m)
        once = name not in self.given and isinstance(given, fx.Proxy)
        self.given[name] = given.node if once else None
        return given


def halves(root: nn.Module, layer: str) -> Halves | None:
    """Cut the root's ``encode_frames`` behind a layer; None where values bypass it.

    Only what contains the layer is looked into. All else stays a module that is called, so that
    its training mode counts.

    Args:
        root: the network.
        layer: the name of a module within it.
    """
    containers = {layer[:place] for place in range(len(layer)) if layer[place] == "."}
    tracer = _Tracer(lambda name, _: name in containers)
    graph = tracer.trace(root)
    place = tracer.given.get(layer)
    if place is None or not _everything_passes(graph, place):
        return None
    return Halves(_before(root, graph, place), _after(root, graph, place))


def passed_layers(root: nn.Module) -> list[str]:
    """The layers of the root's ``encode_frames`` that everything passes, in order.

    Where several end at one place, the name of the outermost.
    """
    try:
        tracer = _Tracer(lambda name, module: _is_outer(name, module) or _is_timms(module))
        graph = tracer.trace(root)
    except Exception:  # a block whose code decides by values: stages and their blocks are left
        tracer = _Tracer(_is_outer)
        graph = tracer.trace(root)
    order = {node: place for place, node in enumerate(graph.nodes)}
    outermost: dict[fx.Node, str] = {}
    for name, node in tracer.given.items():
        if node is not None and _everything_passes(graph, node):
            known = outermost.get(node)
            if known is None or name.count(".") < known.count("."):
                outermost[node] = name
    return [outermost[node] for node in sorted(outermost, key=order.__getitem__)]


def _is_outer(name: str, module: nn.Module) -> bool:
    return name == "model" or isinstance(module, nn.Sequential)


def _is_timms(module: nn.Module) -> bool:
    return type(module).__module__.startswith("timm.models.")


def _everything_passes(graph: fx.Graph, place: fx.Node) -> bool:
    """Whether nothing after the place uses what was computed before it, but for the place."""
    early = set(_up_to(graph, place))
    computed = {node for node in early if node.op != "get_attr" and node is not place}
    late = (node for node in graph.nodes if node not in early)
    return not any(computed & set(node.all_input_nodes) for node in late)


def _before(root: nn.Module, graph: fx.Graph, place: fx.Node) -> fx.GraphModule:
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in _up_to(graph, place):
        copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(copies[place])
    return fx.GraphModule(root, part, "Before")


def _after(root: nn.Module, graph: fx.Graph, place: fx.Node) -> fx.GraphModule:
    part = fx.Graph()
    early = set(_up_to(graph, place))
    copies = {place: part.placeholder("activations")}
    for node in graph.nodes:
        constant = node.op == "get_attr" and any(user not in early for user in node.users)
        if node not in early or constant:
            copies[node] = part.node_copy(node, copies.__getitem__)
    return fx.GraphModule(root, part, "After")


def _up_to(graph: fx.Graph, place: fx.Node) -> Iterator[fx.Node]:
    for node in graph.nodes:
        yield node
        if node is place:
            return
