"""What runs an exported file: ONNX Runtime or OpenVINO, and the frames as a file takes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from frameflow.errors import UsageError
from frameflow.features._openvino import openvino_core

if TYPE_CHECKING:
    from frameflow.models.backbones import Preprocess

FileEngine = Literal["onnxruntime", "openvino"]


class Runner(Protocol):
    """Runs one file.

    Attributes:
        metadata: what `frameflow.export.metadata` wrote into the file.
    """

    metadata: dict[str, str]

    def __call__(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Inputs by name to outputs in the file's order."""
        ...


def open_file(
    path: Path, engine: FileEngine | None = None, *, precision: str = "float32"
) -> Runner:
    """The runner of a file.

    Args:
        path: ``.onnx`` or ``.xml``.
        engine: the usual one of the ending where None; OpenVINO reads both.
        precision: ``bfloat16`` lets OpenVINO compute in it.

    Raises:
        UsageError: the engine is not installed, or cannot read such files.
    """
    usual: FileEngine = "openvino" if path.suffix == ".xml" else "onnxruntime"
    chosen = engine or usual
    if path.suffix == ".xml" and chosen != "openvino":
        raise UsageError(f"{path.name} is for OpenVINO, not for {chosen}.")
    try:
        if chosen == "openvino":
            return _OpenVino(path, "bf16" if precision == "bfloat16" else "f32")
        return _OnnxRuntime(path)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"The engine {chosen!r} is not installed ({error.name}): pip install {chosen}."
        ) from None


class _OnnxRuntime:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(self._session.run(None, dict(feed)))


class _OpenVino:
    def __init__(self, path: Path, precision: str) -> None:
        core = openvino_core()
        model = core.read_model(path)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._model = core.compile_model(model, "CPU", settings)
        self.metadata = {}
        if path.suffix == ".onnx":  # its metadata are not among what OpenVINO reads
            import onnx

            props = onnx.load(path, load_external_data=False).metadata_props
            self.metadata = {entry.key: entry.value for entry in props}
        elif model.has_rt_info(["frameflow"]):
            known = model.rt_info["frameflow"]
            self.metadata = {str(key): str(value.value) for key, value in known.items()}

    def __call__(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found = self._model(dict(feed))
        return [np.array(found[output]) for output in self._model.outputs]


def normalised(images: np.ndarray, preprocess: "Preprocess") -> np.ndarray:
    """``(..., H, W, 3)`` uint8 to ``(..., 3, H, W)`` float32, as `models.backbones.normalise`."""
    mean = np.array(preprocess.mean, dtype=np.float32)
    std = np.array(preprocess.std, dtype=np.float32)
    found = images.astype(np.float32) * (1 / (255 * std)) - mean / std
    return np.ascontiguousarray(np.moveaxis(found, -1, -3))


def feed_of(
    names: Sequence[str],
    preprocesses: "Sequence[Preprocess]",
    images: Sequence[np.ndarray],
    mask: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """The inputs of a whole file.

    Args:
        names: of the streams' inputs.
        preprocesses: of their backbones.
        images: for each stream ``(B, T, H, W, 3)`` uint8.
        mask: ``(B, T)`` bool; None where the file takes none.
    """
    feed = {
        name: normalised(part, preprocess)
        for name, part, preprocess in zip(names, images, preprocesses)
    }
    return feed if mask is None else feed | {"mask": mask}
