"""Engines compute what PyTorch computes; one that does not is passed over."""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.errors import FrameFlowError, UsageError
from frameflow.features import _agreement, engines
from frameflow.features._agreement import compare, example_frames
from frameflow.features.engines import Engine, EngineKind, make_engine
from frameflow.features.home import home
from frameflow.models.backbones import Backbone, build_backbone, normalise

FAST: tuple[EngineKind, ...] = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("mobilenetv3_small_050", weights="none", size=64)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing is remembered yet."""
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def reference(backbone: Backbone, frames: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return backbone(normalise(frames, backbone.preprocess)).numpy()


def test_home_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("FRAMEFLOW_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert home() == tmp_path / "me" / ".cache" / "frameflow"


@pytest.mark.parametrize("kind", [*FAST, "torch", "auto"])
def test_an_engine_agrees_with_the_backbone(backbone: Backbone, kind: EngineKind) -> None:
    engine = make_engine(backbone, kind)
    frames = example_frames(64)
    found = engine(frames)
    assert found.dtype == np.float32
    assert found.shape == (len(frames), engine.dim) == (8, backbone.dim)
    np.testing.assert_allclose(found, reference(backbone, frames), rtol=1e-3, atol=1e-4)
    assert engine.precision == "float32"


def test_lite0_with_its_real_weights_agrees_on_every_engine() -> None:
    lite0 = build_backbone("lite0")
    frames = example_frames(224)
    expected = reference(lite0, frames)
    for kind in FAST:
        cosine, reason = compare(make_engine(lite0, kind)(frames), expected)
        assert reason == ""
        assert cosine > 0.99999


@pytest.mark.parametrize("kind", [*FAST, "torch"])
def test_a_frame_has_the_same_features_whatever_is_beside_it(
    backbone: Backbone, kind: EngineKind
) -> None:
    engine = make_engine(backbone, kind)
    frames = example_frames(64)
    whole = engine(frames)
    for count in (1, 3):
        np.testing.assert_array_equal(engine(frames[:count]), whole[:count])
    np.testing.assert_array_equal(engine(frames[::-1]), whole[::-1])
    assert engine(frames[:0]).shape == (0, engine.dim)


@pytest.mark.parametrize("kind", [*FAST, "torch"])
def test_threads_may_share_an_engine(backbone: Backbone, kind: EngineKind) -> None:
    engine = make_engine(backbone, kind)
    frames = example_frames(64)
    expected = engine(frames)
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(lambda i: engine(np.roll(frames, i, 0)), range(8))):
            np.testing.assert_array_equal(found, np.roll(expected, i, 0))


@pytest.mark.parametrize("shape", [(2, 32, 64, 3), (2, 64, 64), (64, 64, 3), (2, 3, 64, 64)])
def test_other_frames_are_refused(backbone: Backbone, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\(N, 64, 64, 3\)"):
        make_engine(backbone, "torch")(np.zeros(shape, np.uint8))


def test_an_unknown_engine_names_its_neighbours(backbone: Backbone) -> None:
    with pytest.raises(UsageError, match="Did you mean 'openvino'"):
        make_engine(backbone, "openvin")  # type: ignore[arg-type]


def test_the_backbone_is_left_as_it_is(backbone: Backbone) -> None:
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    make_engine(backbone, "openvino")
    make_engine(backbone, "torch")
    after = backbone.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not backbone.training


class Wrong(engines.TorchEngine):
    """An engine whose features are another's."""

    name = "openvino"

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return super().__call__(255 - frames)


@pytest.mark.usefixtures("own_home")
def test_auto_passes_over_what_disagrees_or_fails(
    backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Backbone) -> Engine:
        raise RuntimeError("no kernel for this machine\nand a long trace")

    monkeypatch.setattr(engines, "OpenVinoEngine", Wrong)
    monkeypatch.setattr(engines, "OnnxRuntimeEngine", broken)
    with caplog.at_level(logging.INFO):
        assert make_engine(backbone, "auto").name == "torch"
    assert "openvino is passed over: it does not agree with PyTorch" in caplog.text
    assert "onnxruntime is passed over: no kernel for this machine." in caplog.text
    with pytest.raises(FrameFlowError, match=r"'openvino' .* does not agree .* --engine auto"):
        make_engine(backbone, "openvino")


@pytest.mark.usefixtures("own_home")
def test_auto_goes_on_where_a_remembered_engine_no_longer_works(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Backbone) -> Engine:
        raise RuntimeError("gone")

    first = make_engine(backbone, "auto").name
    for name in ("OpenVinoEngine", "OnnxRuntimeEngine"):
        monkeypatch.setattr(engines, name, broken)
    assert first != "torch"
    assert make_engine(backbone, "auto").name == "torch"


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize("kind", FAST)
def test_an_engine_that_is_not_installed_says_how_to_get_it(
    backbone: Backbone, kind: EngineKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, kind, None)
    with pytest.raises(UsageError, match=f"pip install {kind}"):
        make_engine(backbone, kind)
    assert make_engine(backbone, "auto").name not in (kind, "auto")


def test_checks_are_made_once_and_remembered(
    backbone: Backbone, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_engine(backbone, "auto")
    monkeypatch.setattr(_agreement, "_in_process", {})  # as in the next process
    monkeypatch.setattr(_agreement, "_measure", lambda *_: pytest.fail("checked twice"))
    assert make_engine(backbone, "auto").name == first.name
    assert make_engine(backbone, "openvino").name == "openvino"
    (file,) = own_home.glob("engines/*.json")
    content = json.loads(file.read_text())
    assert content["backbone"] == "mobilenetv3_small_050"
    assert set(content["engines"]) == {"openvino", "onnxruntime", "torch"}


def test_other_weights_are_checked_again(own_home: Path, backbone: Backbone) -> None:
    make_engine(backbone, "auto")
    other = build_backbone("mobilenetv3_small_050", weights="none", size=64)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)  # as if it had been trained further
    frames = example_frames(64)
    found = make_engine(other, "auto")(frames)
    np.testing.assert_allclose(found, reference(other, frames), rtol=1e-3, atol=1e-4)
    assert len(list(own_home.glob("engines/*.json"))) == 2


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize("content", ["", "[]", '{"engines": {"openvino": {"odd": 1}}}'])
def test_a_damaged_memory_is_made_again(
    backbone: Backbone, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _agreement._path(backbone)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    monkeypatch.setattr(_agreement, "_in_process", {})
    assert make_engine(backbone, "auto").dim == backbone.dim
    assert "frames_per_second" in path.read_text()


@pytest.mark.usefixtures("own_home")
def test_a_busy_machine_is_no_slow_backbone(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(self: engines.TorchEngine, frames: np.ndarray, found: np.ndarray) -> None:
        time.sleep(0.6)  # others have the processor
        run(self, frames, found)

    run = engines.TorchEngine._run
    monkeypatch.setattr(engines.TorchEngine, "_run", waits)
    monkeypatch.setattr(_agreement, "_LONG", 0.5)
    found = _agreement._measure(backbone, ["onnxruntime"], None)
    assert found["onnxruntime"].agrees, found["onnxruntime"].reason


def test_pytorch_is_measured_by_itself(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the engine compared before it was found to do."""
    monkeypatch.setattr(_agreement, "_speed", lambda *_: 123456.0)
    found = _agreement._measure(backbone, ["onnxruntime", "torch"], None)
    assert found["onnxruntime"].frames_per_second == 123456.0
    assert 0 < found["torch"].frames_per_second < 123456.0


@pytest.mark.parametrize("kind", FAST)
def test_a_damaged_graph_is_exported_again(
    backbone: Backbone, kind: EngineKind, own_home: Path
) -> None:
    make_engine(backbone, kind)
    (graph,) = own_home.glob("engines/*.onnx")
    whole = graph.read_bytes()
    graph.write_bytes(whole[: len(whole) // 2])
    assert make_engine(backbone, kind).name == kind
    assert len(graph.read_bytes()) == len(whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x, ""),
        (lambda x: x * 1.02, "longer or shorter"),
        (lambda x: x + np.float32(0.1), "cosine"),
        (lambda x: x * np.float32("nan"), "not numbers"),
    ],
)
def test_agreement_is_direction_and_length(change: object, said: str) -> None:
    expected = np.random.default_rng(0).normal(size=(8, 100)).astype(np.float32)
    cosine, reason = compare(change(expected), expected)  # type: ignore[operator]
    assert (said in reason) if said else reason == ""
    assert cosine <= 1.000001
