"""Let torchvision be imported where its compiled operators do not load.

The plain PyPI build of torchvision beside a CPU build of torch cannot load its compiled
library, and since 0.26 `import torchvision` (and so `import timm`) then stops at ``operator
torchvision::nms does not exist``. Nothing here uses those operators: declaring their schemas is
enough for the import to go through.
"""

import importlib
from typing import Any

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: Any = None  # the schemas live as long as this object


def allow_torchvision() -> None:
    """Make ``import torchvision`` work; to be called before the first import of timm.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: it fails for a reason of its own.
    """
    global _library
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError as error:
        if _library is not None or "torchvision::" not in str(error):
            raise
    _library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            _library.define(schema)
    importlib.import_module("torchvision")
