"""``results.json`` of runs: every flat key, with the value that the run has."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frameflow.data.manifest import Manifest
from frameflow.evaluation.results_json import KEYS
from frameflow.training.pipeline import train

SMALL = [
    "streams.0.backbone=resnet10t",
    "streams.0.weights=none",
    "streams.0.size=32",
    "train.epochs=2",
    "train.patience=null",
    "evaluation.resamples=20",
]
NO_UNITS = {f"layer_{place}_size": None for place in (1, 2, 3)}
NO_SEQUENCE = {
    "convolution_kernel_size": None, "sequence_model": None, "sequence_model_layers": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "overrides", "expected"),
    [
        (
            "default",
            ["head.name=mean", "sampling.frames=4"],
            NO_UNITS | NO_SEQUENCE | {"sequence_length": 4, "pooling": "own", "dropout": 0.2},
        ),
        (
            "lrcn-frozen",
            ["sampling.frames=4"],
            {
                "sequence_model": "LSTM", "sequence_model_layers": 2, "layer_1_size": 256,
                "layer_2_size": 256, "layer_3_size": None, "dropout": 0.2, "pooling": "max",
                "convolution_kernel_size": None, "batch_size": 32, "architecture": "lrcn-frozen",
                "fit_num_epochs": 6, "fit_stopped_epoch1": 2, "fit_stopped_epoch3": 2,
            },
        ),
        (
            "frozen-conv1d",
            ["sampling.frames=4"],
            {
                "sequence_model": "Convolution1D", "sequence_model_layers": 1,
                "convolution_kernel_size": 3, "layer_1_size": 256, "layer_2_size": None,
                "dropout": 0.4, "fit_stopped_epoch1": 2, "fit_stopped_epoch2": None,
            },
        ),
        (
            "resnet18-bilstm-attention",
            ["sampling.frames=4", "train.learn=[{parts: [layer4]}]", "train.workers=0"],
            {
                "sequence_model": "bilstm-attention", "convolution_kernel_size": None,
                "frame_size": [32, 32], "sequence_length": 4,
            },
        ),
        (
            "image-mlp-frozen",
            [],
            {
                "layer_1_size": 256, "layer_2_size": 512, "layer_3_size": 256,
                "sequence_length": 1, "pooling": "max", "sequence_model": None,
                "sequence_model_layers": None, "num_features": 512,
            },
        ),
    ],
)  # fmt: skip
def test_every_key_has_its_value(
    recipe: str, overrides: list[str], expected: dict[str, Any], manifest: Manifest, tmp_path: Path
) -> None:
    run = train(
        manifest, recipe=recipe, overrides=[*SMALL, *overrides], out=tmp_path / "a run",
        engine="torch",
    )  # fmt: skip
    found = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    assert list(found)[: len(KEYS)] == list(KEYS)
    assert {name: found[name] for name in expected} == expected
    metrics, history = run.metrics, run.history
    record, recognizer = metrics["training"], run.recognizer()
    best = history[record["best_epoch"] - 1]
    sizes = {name: len(run.manifest.split(name)) for name in ("train", "val", "test")}
    same = {
        "data_total_rows_train": sizes["train"],
        "data_total_rows_valid": sizes["val"],
        "data_total_rows_test": sizes["test"],
        "fit_train_acc": best.train_top1,
        "fit_train_loss": best.train_loss,
        "fit_val_acc": best.val_top1,
        "fit_val_loss": best.val_loss,
        "fit_test_acc": metrics["top1"],
        "fit_num_epochs": len(history),
        "fit_dt_train_start": record["start"],
        "fit_dt_train_end": record["end"],
        "fit_dt_train_duration_seconds": record["seconds"],
        "fit_dt_test_start": metrics["timing"]["start"],
        "fit_dt_test_end": metrics["timing"]["end"],
        "frame_size": [32, 32],
        "num_features": recognizer.dim,
        "model_param_count": sum(p.numel() for p in recognizer.parameters()),
        "model_id": "a run",
        "path_model": ".",
        "pretrained_model_name": None,
        "model_weights_path": None,
        "verbose": None,
    }
    assert {name: found[name] for name in same} == same
    assert found["labels"] == recognizer.labels
    assert len(found["samples"]) == sizes["test"]


def test_a_split_that_was_seen_is_no_test(manifest: Manifest, tmp_path: Path) -> None:
    from frameflow.inference.evaluate import evaluate

    overrides = [*SMALL, "head.name=mean", "sampling.frames=2", "train.epochs=1"]
    run = train(manifest, overrides=overrides, out=tmp_path / "run", engine="torch")
    evaluate(run.path, split="val", engine="torch")
    folder = run.path / "evaluations" / "val"
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert (
        found["fit_test_acc"] is found["data_total_rows_test"] is found["fit_dt_test_end"] is None
    )
    assert found["fit_train_loss"] == run.metrics["training"]["best"]["train_loss"]
    assert (folder / found["path_model"]).resolve() == run.path.resolve()


def test_several_labels_a_clip(manifest: Manifest, tmp_path: Path) -> None:
    several = manifest.replace(
        replace(s, label=f"{s.label}|odd" if s.group in {"g1", "g3", "g5"} else s.label)
        for s in manifest
    )
    overrides = [*SMALL, "multilabel=true", "sampling.frames=2", "train.epochs=1"]
    run = train(several, overrides=overrides, out=tmp_path / "run", engine="torch")
    found = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    assert found["fit_test_acc"] == run.metrics["exact_match"]
    assert found["multilabel"] is True


def test_the_docs_name_every_key() -> None:
    page = Path(__file__).parents[2] / "docs" / "run-folder.md"
    table = page.read_text(encoding="utf-8").split("<!-- results -->")[1].split("<!-- /results")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", table) == list(KEYS)
