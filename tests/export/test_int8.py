"""8 bits: what is calibrated on, what is kept, and the arithmetic of ranges and biases."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from frameflow.data.manifest import Manifest
from frameflow.errors import FrameFlowError, UsageError
from frameflow.export import int8 as module
from frameflow.export.graphs import backbone_graph
from frameflow.export.pipeline import export
from frameflow.export.quantise import _best_range, _rounded, correct_biases, quantised
from frameflow.export.runners import open_file
from frameflow.models.recognizer import Recognizer

pytestmark = pytest.mark.usefixtures("_one_thread")
Make = Callable[..., Recognizer]
Save = Callable[..., Path]


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_8_bits_are_smaller_and_say_what_they_lose(
    form: Any, recognizer: Make, make_run: Save
) -> None:
    run = make_run(recognizer())
    about = export(run, form=form, quantise=True, calibrate_with=3, min_agreement=0.5)
    folder = run / "exports" / form
    ending = "onnx" if form == "onnx" else "bin"
    assert about["files"][f"model.int8.{ending}"] < 0.4 * about["files"][f"model.{ending}"]
    small = about["int8"]
    assert small["calibrated_on"] == "3 training clips"
    assert small["held_out"]["clips"] == 3
    assert small["held_out"]["which"] == "validation clips"
    assert small["test"]["clips"] == 4
    assert 0 < small["test"]["max_difference"] < 0.2
    assert json.loads((folder / "export.json").read_text("utf-8"))["int8"] == small
    name = "model.int8.onnx" if form == "onnx" else "model.int8.xml"
    assert open_file(folder / name).metadata["precision"] == "int8"


def test_the_head_stays_in_float32(recognizer: Make, make_run: Save) -> None:
    run = make_run(recognizer("head.name=gru", "head.hidden=8"))
    export(run, quantise=True, min_agreement=0.0)
    whole = onnx.load(run / "exports" / "onnx" / "model.int8.onnx")
    of_head = [node for node in whole.graph.node if node.name.startswith("head/")]
    assert of_head
    assert not [node for node in of_head if node.op_type.endswith("QuantizeLinear")]
    assert not (run / "exports" / "onnx" / "head.int8.onnx").exists()


def test_only_training_clips_calibrate(
    recognizer: Make, make_run: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = module._calibration_frames

    def watch(graphs: Any, chosen: Manifest) -> Any:
        seen.extend(chosen)
        return real(graphs, chosen)

    monkeypatch.setattr(module, "_calibration_frames", watch)
    export(make_run(recognizer()), quantise=True, calibrate_with=99, min_agreement=0.0)
    assert {sample.split for sample in seen} == {"train"}
    assert 2 <= len(seen) <= 4, "half of the seven stay for those who have no validation"


def test_what_loses_too_much_is_not_kept(
    recognizer: Make, make_run: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(model: onnx.ModelProto, batches: Any) -> onnx.ModelProto:
        found = quantised(model, batches)
        for weight in found.graph.initializer:
            if weight.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.INT32):
                values = np.zeros_like(numpy_helper.to_array(weight))
                weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        return found

    made = recognizer()
    with torch.no_grad():  # clips with features are one thing, those without another
        made.head.classifier.weight.zero_()
        made.head.classifier.weight[0] = 1.0
        made.head.classifier.bias.copy_(torch.tensor([-0.01, 0.0, -0.01]))
    made.extra.pop("calibration")
    monkeypatch.setattr(module, "quantised", blind)
    run = make_run(made)
    with pytest.raises(FrameFlowError, match="less than --min-agreement 1, so nothing"):
        export(run, quantise=True, min_agreement=1.0)
    assert not (run / "exports" / "onnx").exists()


def test_8_bits_need_training_clips(recognizer: Make, make_run: Save) -> None:
    run = make_run(recognizer(), videos=False)
    with pytest.raises(UsageError, match="0 of their videos are here"):
        export(run, quantise=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibrate_with": 1}, "calibrate-with \\(1\\) must be 2 clips or more"),
        ({"min_agreement": 1.5}, "min-agreement \\(1.5\\) must be a share"),
        ({"form": "onyx"}, "format \\('onyx'\\) must be one of onnx, openvino. Did you mean"),
    ],
)
def test_options_out_of_range(
    options: dict[str, Any], message: str, recognizer: Make, make_run: Save
) -> None:
    with pytest.raises(UsageError, match=message):
        export(make_run(recognizer(), videos=False), **options)


# The arithmetic ----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(1, 50))
@settings(max_examples=30, deadline=None)
def test_the_best_range_is_never_worse_than_the_whole(seed: int, outlier: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.append(rng.normal(size=500), outlier).astype(np.float32)
    low, high = float(values.min()), float(values.max())

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return float(
            ((np.clip(np.rint((values - low) / step), 0, 255) * step + low - values) ** 2).mean()
        )

    found = _best_range(values, low, high)
    assert error(*found) <= error(low, high)
    assert low <= found[0] < found[1] <= high


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_rounded_weights_are_within_half_a_step(seed: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(5, 3, 2, 2)).astype(np.float32)
    step = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    assert (np.abs(_rounded(weight) - weight) <= 0.501 * step).all()


def test_corrected_biases_bring_the_means_back(recognizer: Make) -> None:
    """With rounded weights and corrected biases the features' means are nearer than without."""
    (backbone,) = recognizer().backbones()
    model = backbone_graph(backbone, frames=4)
    frames = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32) + 0.5

    def batches() -> Iterator[np.ndarray]:
        yield from np.split(frames, 4)

    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    correct_biases(corrected, batches)
    truth = means(model, frames)
    off, near = (np.abs(means(coarse(each), frames) - truth).mean() for each in (model, corrected))
    assert near < 0.7 * off


def coarse(model: onnx.ModelProto) -> onnx.ModelProto:
    found = onnx.ModelProto()
    found.CopyFrom(model)
    for weight in found.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.ndim == 4:
            rounded = _rounded(values).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(rounded, weight.name))
    return found


def means(model: onnx.ModelProto, frames: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"frames": frames})[0].mean(axis=0))
