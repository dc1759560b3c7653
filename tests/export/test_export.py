"""Exports agree with their run, or are not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from frameflow.errors import FrameFlowError, UsageError
from frameflow.export import graphs as graphs_module
from frameflow.export.agreement import Reference, same_answer
from frameflow.export.pipeline import export
from frameflow.export.runners import open_file
from frameflow.export.samples import generated
from frameflow.inference.predictor import load
from frameflow.models.recognizer import Recognizer

pytestmark = pytest.mark.usefixtures("_one_thread")
Make = Callable[..., Recognizer]
Save = Callable[..., Path]


def compare(recognizer: Recognizer, folder: Path, name: str, *, batch: int = 2) -> None:
    """A whole file against the recognizer, on clips the export has not seen."""
    reference = Reference(recognizer)
    examples = generated(recognizer, 12)[-batch:]
    images = [np.concatenate(parts) for parts in zip(*(e.images for e in examples))]
    mask = np.concatenate([e.mask for e in examples])
    mask[0, -1] = False
    expected = reference.probabilities(reference.features(images), mask)
    found = open_file(folder / name)(reference.feed(images, mask))[0]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert same_answer(found, expected, several=recognizer.recipe.multilabel).all()


def test_the_files_predict_as_the_run_does(recognizer: Make, make_run: Save) -> None:
    from frameflow.export.int8 import sample_probabilities
    from frameflow.export.samples import read_example, reader

    made = recognizer()
    run = make_run(made)
    about = export(run)
    folder = run / "exports" / "onnx"
    assert about["agreement"]["real"]
    assert about["agreement"]["clips"] == 8
    assert sorted(about["files"]) == ["backbone.onnx", "head.onnx", "model.onnx"]
    clip = run.parent / "clips" / "12.mp4"
    whole = open_file(folder / "model.onnx")
    found = sample_probabilities(Reference(made), whole, read_example(reader(made), clip))
    expected = load(run, engine="torch").predict(str(clip)).probabilities
    np.testing.assert_allclose(found, expected, atol=2e-3)  # stored features are in float16
    backbone, head = (open_file(folder / name) for name in ("backbone.onnx", "head.onnx"))
    frames = np.random.default_rng(0).normal(size=(7, 3, 32, 32)).astype(np.float32)
    (features,) = backbone({"frames": frames})
    assert features.shape == (7, 512)
    said = head({"features": features[None], "mask": np.ones((1, 7), dtype=bool)})[0]
    np.testing.assert_allclose(said.sum(), 1, atol=1e-5)


def test_metadata_tells_all_that_a_program_needs(recognizer: Make, make_run: Save) -> None:
    made = recognizer("sampling.strategy=dense", "sampling.stride=3", "streams.0.fit=crop")
    made.extra["refusal"] = {
        "alpha": 0.1, "quantile": 0.8, "threshold": 0.4, "answered": 0.95, "at_error": None,
        "samples": 9, "units": 9, "over": "clips", "fitted_on": "9 clips",
    }  # fmt: skip
    run = make_run(made)
    export(run)
    about = json.loads((run / "exports" / "onnx" / "export.json").read_text("utf-8"))
    for name in ("model", "backbone", "head"):
        model = onnx.load(run / "exports" / "onnx" / f"{name}.onnx")
        told = {entry.key: entry.value for entry in model.metadata_props}
        assert json.loads(told["labels"]) == made.labels == about["labels"]
        assert json.loads(told["sampling"])["stride"] == 3
        assert json.loads(told["refusal"])["threshold"] == 0.4
        (stream,) = json.loads(told["inputs"])
        preprocess = made.backbones()[0].preprocess
        assert stream["size"] == 32
        assert stream["fit"] == "crop"
        assert stream["mean"] == list(preprocess.mean)
        assert stream["std"] == list(preprocess.std)
        assert json.loads(told["versions"])["torch"]
        assert told["part"] == {"model": "whole"}.get(name, name)


OTHERS: dict[str, list[str]] = {
    "two streams": [
        "streams=[{backbone: resnet10t, weights: none, size: 32}, "
        "{kind: difference, backbone: resnet10t, weights: none, size: 32}]",
        "head.name=late-fusion", "head.of=statistics",
    ],
    "shift": ["streams.0.shift=8", "head.name=gru", "head.hidden=8"],
    "cut": ["streams.0.cut=layer3", "train.learn=[{parts: [layer4]}]", "head.name=average"],
    "grid of TensorFlow padding": [
        "streams.0.backbone=lite0", "streams.0.size=40", "streams.0.grid=3",
        "head.name=statistics", "head.centre=true",
    ],
    "layers without names": ["streams.0.backbone=mobilenetv3_small_050", "streams.0.size=64"],
    "one length": ["head.name=mlp-concat", "head.hidden=[8]"],
    "c3d": ["streams.0.backbone=c3d-small", "sampling.frames=8", "head.name=mean"],
}  # fmt: skip


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("kind", OTHERS)
def test_all_kinds_of_models_export(
    kind: str, form: Any, recognizer: Make, make_run: Save, tmp_path: Path
) -> None:
    made = recognizer(*OTHERS[kind])
    run = make_run(made, videos=False)
    about = export(run, form=form, out=tmp_path / "out")
    assert not about["agreement"]["real"], "there are no videos"
    assert about["fixed_frames"] == (kind in ("shift", "one length", "c3d"))
    compare(made, tmp_path / "out", "model.onnx" if form == "onnx" else "model.xml")


def test_streams_that_share_a_backbone_share_its_weights(
    recognizer: Make, make_run: Save, tmp_path: Path
) -> None:
    run = make_run(recognizer(*OTHERS["two streams"]), videos=False)
    files = export(run, out=tmp_path / "out")["files"]
    assert "backbone_2.onnx" not in files
    assert files["model.onnx"] < 1.2 * (files["backbone.onnx"] + files["head.onnx"])
    whole = onnx.load(tmp_path / "out" / "model.onnx")
    assert [given.name for given in whole.graph.input] == ["rgb", "difference", "mask"]


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_several_labels_are_each_on_their_own(
    form: Any, recognizer: Make, make_run: Save, tmp_path: Path
) -> None:
    made = recognizer("multilabel=true", "head.name=average")
    run = make_run(made)
    export(run, form=form, out=tmp_path / "out")
    compare(made, tmp_path / "out", "model.onnx" if form == "onnx" else "model.xml")


def test_openvino_files_know_their_labels(recognizer: Make, make_run: Save, tmp_path: Path) -> None:
    made = recognizer()
    export(make_run(made, videos=False), form="openvino", out=tmp_path / "out")
    told = open_file(tmp_path / "out" / "model.xml").metadata
    assert json.loads(told["labels"]) == made.labels
    assert json.loads(told["inputs"])[0]["size"] == 32


# What does not agree is not there ----------------------------------------------------------------


def damage(model: onnx.ModelProto) -> onnx.ModelProto:
    """One weight of the largest table is another."""
    largest = max(model.graph.initializer, key=lambda weight: len(weight.raw_data))
    values = onnx.numpy_helper.to_array(largest).copy()
    values.ravel()[:: max(1, values.size // 50)] += 3
    largest.CopyFrom(onnx.numpy_helper.from_array(values, largest.name))
    return model


@pytest.mark.parametrize("part", ["backbone_graph", "head_graph"])
@pytest.mark.parametrize("before", [False, True])
def test_a_damaged_graph_is_not_written(
    part: str, before: bool, recognizer: Make, make_run: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recognizer())
    folder = run / "exports" / "onnx"
    if before:
        export(run)
        (folder / "model.onnx").touch()
    kept = {path: path.read_bytes() for path in folder.glob("*")}
    real = getattr(graphs_module, part)
    monkeypatch.setattr(graphs_module, part, lambda *a, **k: damage(real(*a, **k)))
    with pytest.raises(FrameFlowError, match="does not agree with the model") as caught:
        export(run)
    assert caught.value.exit_code == 1
    assert {path: path.read_bytes() for path in folder.glob("*")} == kept
    assert not before or kept
    assert [path.name for path in (run / "exports").iterdir()] == (["onnx"] if before else [])


def test_a_mask_that_is_ignored_is_noticed(
    recognizer: Make, make_run: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check looks at hidden frames, which no clip of the run has."""
    real = graphs_module.Deciding.forward

    def blind(self: Any, features: Any, mask: Any) -> Any:
        return real(self, features, mask.logical_or(mask.logical_not()))

    run = make_run(recognizer())
    monkeypatch.setattr(graphs_module.Deciding, "forward", blind)
    with pytest.raises(FrameFlowError, match="does not agree"):
        export(run)


@pytest.mark.parametrize("opset", [13, 21, 999])
def test_an_opset_out_of_range_says_which_there_are(
    opset: int, recognizer: Make, make_run: Save
) -> None:
    run = make_run(recognizer(), videos=False)
    with pytest.raises(UsageError, match=f"opset \\({opset}\\) must be 14 to 20"):
        export(run, opset=opset)


@pytest.mark.parametrize("opset", [14, 18, 20])
def test_other_opsets(opset: int, recognizer: Make, make_run: Save) -> None:
    changes = ("head.name=self-attention", "head.width=16")
    run = make_run(recognizer(*changes), videos=False)
    export(run, opset=opset)
    model = onnx.load(run / "exports" / "onnx" / "model.onnx")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]


def test_a_folder_of_other_files_is_left_alone(
    recognizer: Make, make_run: Save, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        export(make_run(recognizer(), videos=False), out=tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_what_the_exporter_cannot_write_is_said(
    recognizer: Make, make_run: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def strange(self: Any, features: Any, mask: Any) -> Any:
        logits = self.head(features, mask)
        spectrum = torch.linalg.svdvals(logits)
        return logits * spectrum.sum(), logits

    monkeypatch.setattr(graphs_module.Deciding, "forward", strange)
    with pytest.raises(FrameFlowError, match="cannot export the head mean to ONNX opset 17"):
        export(make_run(recognizer(), videos=False))
