"""From videos to a trained and evaluated run."""

import csv
import logging
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import check_leaks
from frameflow.errors import FrameFlowError, LeakError, UsageError
from frameflow.training.crossval import crossval
from frameflow.training.pipeline import resume, train
from frameflow.training.run import Run

FILES = {
    "recipe.yaml",
    "manifest.csv",
    "model.safetensors",
    "model.json",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "results.json",
    "report.html",
    "README.md",
    "checkpoints",
    "tensorboard",
    "training.json",
}


def test_a_folder_of_class_folders_becomes_a_run(
    videos: Path, tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from frameflow.inference.predictor import load

    caplog.set_level(logging.INFO, logger="frameflow")
    run = train(videos, overrides=tiny, out=tmp_path / "run", engine="torch")
    assert {path.name for path in run.path.iterdir()} == FILES
    assert run.is_finished
    assert run.manifest.labels == ["blå", "green, dark", "red"]
    assert not check_leaks(run.manifest)
    assert run.metrics["samples"] == len(run.manifest.split("test"))
    assert run.metrics["top1"] > 0.6  # chance is 1/3
    assert run.recipe.train.epochs == 30
    assert "36 videos" in caplog.text
    test = run.manifest.split("test")[0]
    prediction = load(run.path, engine="torch").predict(run.manifest.path(test))
    with (run.path / "predictions.csv").open(encoding="utf-8") as file:
        rows = {row["video"]: row["predicted"] for row in csv.DictReader(file)}
    assert prediction.label == rows[test.video]
    assert str(run.report) in run.summary()


def test_the_same_run_twice(manifest: Manifest, tiny: list[str], tmp_path: Path) -> None:
    runs = [
        train(manifest, overrides=tiny, out=tmp_path / name, engine="torch", seed=seed)
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    ]
    one, two, other = ((run.path / "model.safetensors").read_bytes() for run in runs)
    assert one == two != other
    assert runs[0].recipe.train.seed == 3
    again = train(
        runs[0].path / "manifest.csv",
        recipe=runs[0].path / "recipe.yaml",
        out=tmp_path / "again",
        engine="torch",
    )
    assert (again.path / "model.safetensors").read_bytes() == one


def test_a_leak_is_refused_or_said(manifest: Manifest, tiny: list[str], tmp_path: Path) -> None:
    leaky = manifest.replace(
        Sample(s.video, s.label, split=("train", "val", "test")[index % 3], group=s.group)
        for index, s in enumerate(manifest)
    )
    out = tmp_path / "run"
    with pytest.raises(LeakError, match="LEAKY SPLIT"):
        train(leaky, overrides=tiny, out=out)
    assert not out.exists()
    run = train(leaky, overrides=tiny, out=out, engine="torch", allow_leak=True)
    assert run.metrics["leaky"]
    assert "LEAKY SPLIT" in (run.path / "report.html").read_text(encoding="utf-8")
    assert "LEAKY SPLIT" in run.summary()


def test_bad_videos_are_set_aside_and_listed(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    broken = {}
    for split in ("train", "val", "test"):
        sample = manifest.split(split)[0]
        broken[sample.video] = split
        manifest.path(sample).write_bytes(b"")
    manifest.path(manifest.split("train")[1]).unlink()
    broken[manifest.split("train")[1].video] = "train"
    run = train(manifest, overrides=[*tiny, "max_bad=0.2"], out=tmp_path / "run", engine="torch")
    with (run.path / "bad_videos.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {run.manifest.path(Sample(row["video"])).resolve(): row["split"] for row in rows}
    assert found == {(manifest.root / video).resolve(): split for video, split in broken.items()}
    assert all(row["reason"] for row in rows)
    with pytest.raises(FrameFlowError, match="max_bad"):
        train(manifest, overrides=[*tiny, "max_bad=0.05"], out=tmp_path / "strict")


def test_without_a_test_split_validation_is_scored_and_that_is_said(
    manifest: Manifest, tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = manifest.where(lambda sample: sample.split != "test")
    run = train(kept, overrides=tiny, out=tmp_path / "run", engine="torch")
    assert "There is no test split" in caplog.text
    assert run.metrics["split"] == "val"
    assert run.metrics["seen_in_training"]
    assert run.is_finished


def test_folds_and_classes(manifest: Manifest, tiny: list[str], tmp_path: Path) -> None:
    folds = manifest.replace(
        Sample(s.video, s.label, group=s.group, fold=int(s.group[1]) % 3) for s in manifest
    )
    run = train(
        folds, overrides=tiny, out=tmp_path / "run", engine="torch", fold=1, classes="red,blå"
    )
    assert run.manifest.labels == ["blå", "red"]
    assert {sample.fold for sample in run.manifest.split("test")} == {1}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["head.name=gruu"], "gruu"),
        (["head.hiden=3"], "hiden"),
        (["streams.0.backbone=resnet10x"], "resnet10x"),
        (["train.lr=-1"], "train.lr"),
    ],
)
def test_a_typo_is_told_before_any_work(
    manifest: Manifest, tiny: list[str], tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(manifest, overrides=tiny + overrides, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_class_leaves_nothing_behind(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="at least two classes"):
        train(manifest, overrides=tiny, classes="red", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


CHILD = """
import sys
import torch
torch.set_num_threads(1)
from frameflow.training.pipeline import resume, train
if sys.argv[1] == "resume":
    resume(sys.argv[2], engine="torch")
else:
    train(sys.argv[1], out=sys.argv[2], overrides=sys.argv[3:], engine="torch")
"""


def test_a_run_killed_at_any_step_resumes_to_the_same_numbers(
    manifest: Manifest, tiny: list[str], tmp_path: Path, start_child: Callable[..., Any]
) -> None:
    source = tmp_path / "clips.csv"
    manifest.write(source)
    overrides = [*tiny, "train.epochs=150", "train.patience=150"]
    broken = tmp_path / "broken"
    first = [str(source), str(broken), *overrides]
    # Each is killed as soon as this is there: while training, before scoring.
    for landmark in ("checkpoints", "model.json"):
        arguments = ["resume", str(broken)] if broken.exists() else first
        process = start_child(CHILD, *arguments)
        while not (broken / landmark).exists():
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Run(broken).is_finished
    resumed = resume(broken, engine="torch")
    whole = train(source, out=tmp_path / "whole", overrides=overrides, engine="torch")
    for name in ("model.safetensors", "predictions.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert [row.epoch for row in resumed.history] == list(range(1, 151))


def test_a_run_stopped_before_extraction_goes_on(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    whole = train(manifest, overrides=tiny, out=tmp_path / "whole", engine="torch")
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    for name in ("recipe.yaml", "manifest.csv"):
        shutil.copy(whole.path / name, stopped / name)
    resumed = resume(stopped, engine="torch")
    for name in ("model.safetensors", "predictions.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_resuming_a_finished_run_does_nothing(
    manifest: Manifest, tiny: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="frameflow")
    run = train(manifest, overrides=tiny, out=tmp_path / "run", engine="torch")
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert resume(run).path == run.path
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert "finished already" in caplog.text


def test_there_is_nothing_to_resume_before_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.csv"):
        resume(tmp_path)


@pytest.mark.parametrize("way", ["frozen", "cut", "end-to-end"])
def test_several_labels_a_clip(
    way: str, manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    """One label is a colour, the other the pattern of some groups."""
    several = manifest.replace(
        replace(s, label=f"{s.label}|odd" if s.group in {"g1", "g3", "g5"} else s.label)
        for s in manifest
    )
    learning = {
        "frozen": [],
        "cut": ["streams.0.cut=layer2", "train.learn=[{parts: ['*']}]", "train.epochs=2"],
        "end-to-end": ["train.learn=[{parts: ['*']}]", "train.epochs=2"],
    }[way]
    run = train(
        several, overrides=[*tiny, *learning, "multilabel=true"], out=tmp_path / way, engine="torch"
    )
    assert run.recipe.way == way
    assert run.recognizer().labels == ["blå", "green, dark", "odd", "red"]
    assert 0 < run.metrics["map"] <= 1
    result = crossval(
        several, recipe=run.recipe, folds=3, out=tmp_path / "cv", engine="torch",
        overrides=["split.val=0", "train.epochs=1"],
    )  # fmt: skip
    assert result.held_out.probabilities.shape == (36, 4)
    assert "present" in (tmp_path / "cv" / "predictions.csv").read_text(encoding="utf-8")
