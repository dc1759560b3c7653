"""A run records when, how long and on what it was trained, over all its sessions."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.training._record import FILE, Recorder, peak_memory_gb
from frameflow.training.history import Epoch, Fitted
from frameflow.training.pipeline import resume, train
from frameflow.training.run import Run


def fitted(ends: list[int], best: int) -> Fitted:
    history = [Epoch(i + 1, 0.1, 1.0, 0.5, 0.9, 0.6, seconds=0.5) for i in range(ends[-1])]
    return Fitted(history, best, 0.9, ends=ends)


def test_what_a_run_says_of_its_training(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    overrides = [*tiny, "train.epochs=3", "train.rounds=[1.0, 0.1]", "train.patience=null"]
    run = train(manifest, overrides=overrides, out=tmp_path / "run", engine="torch")
    record = run.metrics["training"]
    described = json.loads((run.path / "model.json").read_text(encoding="utf-8"))["extra"]
    size = (run.path / "model.safetensors").stat().st_size
    assert record == described["training"] | {"model_bytes": size}
    assert record["data"] == "colour clips"
    start, end = (datetime.fromisoformat(record[name]) for name in ("start", "end"))
    assert start <= end
    assert start.utcoffset() is not None
    assert record["seconds"] == pytest.approx(sum(row.seconds for row in run.history), abs=1e-3)
    assert record["extraction_seconds"] > 0
    assert (record["epochs"], record["rounds"], record["round_epochs"]) == (6, 2, [3, 3])
    assert record["best_round"] == (1 if record["best_epoch"] <= 3 else 2)
    best = run.history[record["best_epoch"] - 1]
    assert record["best"]["val_loss"] == best.val_loss == min(row.val_loss for row in run.history)  # type: ignore[type-var]
    splits = {name: len(run.manifest.split(name)) for name in ("train", "val")}
    assert record["samples"] == splits
    recognizer = run.recognizer()
    head = sum(p.numel() for p in recognizer.head.parameters())
    backbone = sum(p.numel() for p in recognizer.streams.parameters())
    assert record["parameters_learning"] == head
    assert record["parameters"] == head + backbone
    assert (record["device"], record["precision"], record["sessions"]) == ("cpu", "float32", 1)
    assert 0.05 < record["peak_memory_gb"] < 100
    assert run.metrics["timing"]["seconds"] > 0
    assert run.metrics["audit"]["groups_across"] == 0


def test_a_backbone_that_learns_counts(manifest: Manifest, tiny: list[str], tmp_path: Path) -> None:
    overrides = [*tiny, "train.learn=[{parts: [layer4]}]", "train.epochs=1"]
    run = train(manifest, overrides=overrides, out=tmp_path / "run", engine="torch")
    recognizer = run.recognizer()
    model = recognizer.backbones()[0].model
    layer4 = sum(p.numel() for name, p in model.named_parameters() if name.startswith("layer4"))
    record = run.metrics["training"]
    # Norms whose statistics are fixed stay as they are.
    learning = record["parameters_learning"] - sum(p.numel() for p in recognizer.head.parameters())
    assert 0.9 * layer4 < learning <= layer4
    assert record["parameters_learning"] < record["parameters"]


def test_sessions_add_up(manifest: Manifest, tiny: list[str], tmp_path: Path) -> None:
    run = train(manifest, overrides=[*tiny, "train.epochs=2"], out=tmp_path / "run", engine="torch")
    before = run.metrics["training"]
    (run.path / "report.html").unlink()  # killed while it was scored
    again = resume(run.path, engine="torch").metrics["training"]
    assert again["sessions"] == 2
    for name in ("start", "end", "seconds", "epochs", "best"):
        assert again[name] == before[name], name
    assert again["extraction_seconds"] > before["extraction_seconds"]


def test_a_session_that_was_killed_is_remembered(tmp_path: Path) -> None:
    first = Recorder(tmp_path)
    with first.extraction():
        pass
    held = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert len(held["sessions"]) == 1
    held["sessions"][0] |= {"start": "2026-01-01T00:00:00+00:00", "extraction_seconds": 7.0}
    held["sessions"][0]["peak_memory_gb"] = 1e6
    (tmp_path / FILE).write_text(json.dumps(held), encoding="utf-8")
    second = Recorder(tmp_path)
    with second.extraction():
        pass
    from frameflow.config import load_recipe
    from frameflow.models.recognizer import build_recognizer

    overrides = ["streams.0.backbone=resnet10t", "streams.0.weights=none", "streams.0.size=32"]
    recognizer = build_recognizer(load_recipe("default", overrides), ["a", "b"])
    record = second.finish(recognizer, fitted([4, 6], best=5), {"train": 3, "val": 2})
    assert record["start"] == "2026-01-01T00:00:00+00:00"
    assert record["end"] > record["start"]
    assert record["extraction_seconds"] == pytest.approx(7.0, abs=0.1)
    assert record["peak_memory_gb"] == 1e6
    assert (record["seconds"], record["best_round"], record["round_epochs"]) == (3.0, 2, [4, 2])


def test_a_run_without_a_record_is_scored_as_ever(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    from frameflow.inference.evaluate import evaluate

    run = train(manifest, overrides=[*tiny, "train.epochs=1"], out=tmp_path / "run", engine="torch")
    shutil.copytree(run.path, tmp_path / "old")
    path = tmp_path / "old" / "model.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    del described["extra"]["training"], described["extra"]["audit"]
    path.write_text(json.dumps(described), encoding="utf-8")
    metrics = evaluate(tmp_path / "old", engine="torch")
    assert metrics["training"] is None
    assert metrics["audit"]["groups_across"] == 0
    assert Run(tmp_path / "old").metrics == metrics


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"is damaged.*remove it"):
        Recorder(tmp_path)


def test_memory_is_in_gigabytes() -> None:
    held = peak_memory_gb()
    assert held is not None
    assert 0.01 < held < 1000
