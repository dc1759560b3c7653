"""bfloat16 on a CPU: over clips alone, where it agrees with float32 and pays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.config import Recipe, load_recipe
from frameflow.features import _agreement, engines
from frameflow.features._agreement import Check, compare, example_clip, example_frames
from frameflow.features._writer import targets_of
from frameflow.features.encode import ClipEncoder
from frameflow.features.engines import TorchEngine, make_engine
from frameflow.models.backbones import Backbone, build_backbone
from frameflow.models.clips import build_clip_backbone
from frameflow.models.recognizer import build_streams

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in float16")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path))
    monkeypatch.setattr(engines, "computes_bfloat16", lambda: True)


@pytest.fixture(scope="module")
def video_model() -> Backbone:
    return build_clip_backbone("test-swin3d", weights="none")


def speeds(monkeypatch: pytest.MonkeyPatch, **frames_per_second: float) -> None:
    """Engines that agree and are as fast as this; the others are not there."""

    def measure(_: Backbone, kinds: list[str], __: int | None) -> dict[str, Check]:
        speed = frames_per_second
        return {k: Check(k, k in speed, frames_per_second=speed.get(k, 0.0)) for k in kinds}

    monkeypatch.setattr(_agreement, "_measure", measure)


def test_it_agrees(video_model: Backbone) -> None:
    clip = example_clip(32, 4)
    exact = TorchEngine(video_model, frames=4)
    rounded = TorchEngine(video_model, frames=4, bfloat16=True)
    assert (exact.precision, rounded.precision) == ("float32", "bfloat16")
    found, expected = rounded(clip), exact(clip)
    assert found.dtype == np.float32
    assert not np.array_equal(found, expected)
    assert compare(found, expected)[1] == ""


@pytest.mark.parametrize(
    ("measured", "precision"),
    [
        ({"torch": 10.0, "bfloat16": 30.0}, "bfloat16"),
        ({"torch": 10.0, "bfloat16": 12.0}, "float32"),  # too little for what is rounded
        ({"torch": 10.0, "openvino": 30.0, "bfloat16": 35.0}, "float32"),
        ({"torch": 10.0}, "float32"),  # it did not agree
    ],
)
def test_it_is_taken_where_it_pays(
    measured: dict[str, float],
    precision: str,
    video_model: Backbone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speeds(monkeypatch, **measured)
    assert make_engine(video_model, "auto", frames=4).precision == precision
    assert make_engine(video_model, "torch", frames=4).precision == "float32"


def test_processors_without_it_are_not_asked(
    video_model: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "computes_bfloat16", lambda: False)
    speeds(monkeypatch, torch=1.0, bfloat16=100.0)
    assert make_engine(video_model, "auto", frames=4).precision == "float32"


def test_frames_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, torch=1.0, bfloat16=100.0)
    image = build_backbone("resnet10t", weights="none", size=32)
    assert make_engine(image, "auto").precision == "float32"
    assert len(make_engine(image, "auto")(example_frames(32))) == 8


def recipe_of(*streams: str) -> Recipe:
    return load_recipe("default", [f"streams=[{', '.join(streams)}]", "sampling.frames=4"])


def test_each_stream_s_features_are_stored_under_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds(monkeypatch, torch=1.0, bfloat16=100.0)
    shifted = "{backbone: resnet10t, weights: none, size: 32, shift: 8}"
    image = "{backbone: resnet10t, weights: none, size: 32}"
    recipe = recipe_of(image, shifted)
    encoder = ClipEncoder(recipe.streams, build_streams(recipe), recipe.sampling)
    assert encoder.precisions == ("float32", "bfloat16")
    assert encoder.precision == "float32, bfloat16"
    targets = targets_of(encoder, [False], tmp_path)
    assert [target.store.spec.precision for target in targets] == ["float32", "bfloat16"]
    torch_only = ClipEncoder(recipe.streams, encoder.backbones, recipe.sampling, engine="torch")
    assert torch_only.precision == "float32"


def test_backbones_that_take_long_are_not_exported(
    video_model: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_agreement, "_LONG", 0.0)
    monkeypatch.setattr(engines, "onnx_bytes", lambda *_, **__: pytest.fail("exported"))
    found = _agreement._measure(video_model, ["openvino", "onnxruntime", "torch", "bfloat16"], 4)
    assert [kind for kind, check in found.items() if check.agrees] == ["torch", "bfloat16"]
    assert found["openvino"].reason == "comparing it would take minutes"
    assert found["bfloat16"].frames_per_second > 0
