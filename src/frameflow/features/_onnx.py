"""A backbone as an ONNX file: uint8 frames in, features out, normalisation inside the graph."""

import contextlib
import copy
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.features._files import write_whole
from frameflow.features.home import home

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone

OPSET = 17
MAKERS = ("torch", "timm", "torchvision", "transformers")  # of what a graph is made from


def onnx_bytes(backbone: "Backbone", *, chunk: int, frames: int | None = None) -> bytes:
    """The graph for ``(chunk, size, size, 3)`` uint8 frames, exported once and then remembered.

    With ``frames``, of a backbone that sees them together: ``(chunk, frames, size, size, 3)``.
    """
    path = graph_path(backbone, chunk=chunk, frames=frames)
    with contextlib.suppress(OSError):
        return path.read_bytes()
    graph = _export(backbone, (chunk,) if frames is None else (chunk, frames))
    with contextlib.suppress(OSError):  # a full or read-only disk costs the time only
        write_whole(path, [graph])
    return graph


def graph_path(backbone: "Backbone", *, chunk: int, frames: int | None = None) -> Path:
    """Where the graph is remembered."""
    made = {"chunk": chunk, "opset": OPSET} | versions(*MAKERS, "onnx")
    return (
        home()
        / "engines"
        / f"{backbone.name}-{short_digest(identity(backbone, frames) | made)}.onnx"
    )


def identity(backbone: "Backbone", frames: int | None = None) -> dict[str, object]:
    """What two backbones that compute the same have in common, over clips of ``frames``."""
    preprocess = backbone.preprocess
    clip = {} if frames is None else {"frames": frames}
    return clip | {
        "backbone": backbone.name,
        "weights": weights_digest(backbone),
        "layer": backbone.layer,
        "size": preprocess.size,
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
    }


def weights_digest(backbone: "Backbone") -> str:
    """16 hexadecimal digits over the weights as they are now, trained further or not."""
    from frameflow.models.weights import digest

    return digest(backbone.model.state_dict())


def versions(*names: str) -> dict[str, str]:
    """The versions of installed packages; those that are missing are left out."""
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def short_digest(values: object) -> str:
    """16 hexadecimal digits over JSON-able values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _export(backbone: "Backbone", before: tuple[int, ...]) -> bytes:
    """For frames of shape ``(*before, size, size, 3)``."""
    import torch
    from torch import Tensor, nn

    class FromPixels(nn.Module):
        """The arithmetic of `frameflow.models.backbones.normalise`, then the backbone."""

        scale: Tensor
        shift: Tensor

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model
            mean = torch.tensor(backbone.preprocess.mean).view(1, 3, 1, 1)
            std = torch.tensor(backbone.preprocess.std).view(1, 3, 1, 1)
            self.register_buffer("scale", 1 / (255 * std))
            self.register_buffer("shift", mean / std)

        def forward(self, frames: Tensor) -> Tensor:
            last = frames.ndim - 1  # counted from the front: ONNX knows no places from the back
            pixels = frames.permute(*range(last - 2), last, last - 2, last - 1).float()
            return self.model(pixels * self.scale - self.shift)

    size = backbone.preprocess.size
    frames = torch.zeros(*before, size, size, 3, dtype=torch.uint8)
    model = FromPixels(copy.deepcopy(backbone).cpu().float()).eval()
    file = io.BytesIO()
    # The tracing exporter: the newer one needs onnxscript and takes many times as long.
    with torch.no_grad(), quiet():
        torch.onnx.export(
            model,
            (frames,),
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=["frames"],
            output_names=["features"],
        )
    return file.getvalue()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Tracing warns of every shape it fixes; whoever traces checks what the graph says."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
