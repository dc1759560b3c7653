"""`frameflow bench` and `frameflow export` as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frameflow.export import bench as module
from frameflow.features.engines import computes_bfloat16
from frameflow.models.recognizer import Recognizer

Make = Callable[..., Recognizer]
Save = Callable[..., Path]


@pytest.mark.slow
def test_a_table_of_engines(
    recognizer: Make, make_run: Save, frameflow: Callable[..., Any]
) -> None:
    run = make_run(recognizer())
    assert frameflow("export", run, "--int8", "--min-agreement", "0").code == 0
    clip = run.parent / "clips" / "00.mp4"
    said = frameflow("bench", run, "--repeat", 2, "--video", clip, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    kinds = [(row["engine"], row["precision"]) for row in found["rows"]]
    expected = [("torch", "float32"), ("onnxruntime", "float32"), ("openvino", "float32"),
                ("onnxruntime", "int8"), ("openvino", "int8")]  # fmt: skip
    assert [kind for kind in kinds if kind[1] != "bfloat16"] == expected
    assert computes_bfloat16() == (("torch", "bfloat16") in kinds)
    assert found["test_clips"] == 4
    assert len(found["decode_seconds"]) == 5
    for row in found["rows"]:
        assert row["error"] is None
        assert 0 < row["median_seconds"] <= row["p95_seconds"]
        assert row["clips_per_second"] > 0
        assert row["peak_bytes"] > 2**20
        if row["precision"] == "float32":
            assert row["agreement"] == 1.0
            assert row["accuracy"] == found["rows"][0]["accuracy"]
    peaks = {kind: row["peak_bytes"] for kind, row in zip(kinds, found["rows"])}
    assert peaks["onnxruntime", "float32"] < 0.7 * peaks["torch", "float32"], "without PyTorch"
    sizes = {kind: row["file_bytes"] for kind, row in zip(kinds, found["rows"])}
    assert sizes["onnxruntime", "int8"] < 0.4 * sizes["onnxruntime", "float32"]


def test_without_an_export_or_videos(
    recognizer: Make, make_run: Save, frameflow: Callable[..., Any]
) -> None:
    run = make_run(recognizer(), videos=False)
    said = frameflow("bench", run, "--repeat", 1, "--engine", "onnxruntime")
    assert said.code == 0, said.err
    assert "onnxruntime" in said.out
    assert "openvino" not in said.out
    assert "Note: no accuracy: the videos of the run's test split are not here." in said.out
    assert "Note: exported for this measurement only" in said.out
    assert not (run / "exports").exists()


def test_a_missing_engine_is_said(
    recognizer: Make,
    make_run: Save,
    frameflow: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(recognizer(), videos=False)
    real = module.importlib.util.find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr(
        module.importlib.util,  # type: ignore[attr-defined]
        "find_spec",
        lambda name, *rest: None if name == "openvino" else real(name, *rest),
    )
    said = frameflow("bench", run, "--engine", "openvino")
    assert said.code == 2
    assert said.error == "The engine 'openvino' is not installed: pip install openvino."
    assert frameflow("bench", run, "--engine", "tensorrt").code == 2


def test_a_folder_that_is_no_export(
    recognizer: Make, make_run: Save, frameflow: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run(recognizer(), videos=False)
    said = frameflow("bench", run, "--export", tmp_path)
    assert said.code == 2
    assert "is no export" in said.error


def test_export_prints_json_and_nothing_else(
    recognizer: Make, make_run: Save, frameflow: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run(recognizer(), videos=False)
    said = frameflow("export", run, "--format", "openvino", "-o", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    about = json.loads(said.out)
    assert about["files"].keys() == {
        "backbone.bin", "backbone.xml", "head.bin", "head.xml", "model.bin", "model.xml",
    }  # fmt: skip
    assert about["agreement"]["real"] is False
    assert frameflow("export", tmp_path / "nowhere").code == 2
