"""Beginning with what another run has learnt."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from frameflow.data.manifest import Manifest
from frameflow.errors import LeakError, UsageError
from frameflow.training.pipeline import START, resume, train
from frameflow.training.run import Run

LEARNING = ["train.learn=[{parts: ['*']}]", "train.epochs=1", "train.cache='off'"]


@pytest.fixture
def first(manifest: Manifest, tiny: list[str], tmp_path: Path) -> Run:
    """A run whose backbone learnt, on the groups g1 to g3."""
    part = manifest.where(lambda sample: sample.group in {"g1", "g2", "g3"})
    split = part.replace(
        replace(sample, split="test" if sample.group == "g3" else "train") for sample in part
    )
    return train(split, overrides=[*tiny, *LEARNING, "split.val=0"], out=tmp_path / "first")


def other_groups(manifest: Manifest) -> Manifest:
    part = manifest.where(lambda sample: sample.group not in {"g1", "g2"})
    return part.replace(
        replace(sample, split={"g6": "test"}.get(sample.group, "train")) for sample in part
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.recognizer().backbones()[0].model.state_dict()


def test_backbone_and_head_are_taken(
    first: Run, manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    options = [*tiny, "train.epochs=1", "split.val=0"]
    second = train(other_groups(manifest), overrides=options, out=tmp_path / "2", init=first)
    learnt, plain = (
        weights(first),
        train(other_groups(manifest), overrides=options, out=tmp_path / "3"),
    )
    key = "conv1.0.weight"
    assert torch.equal(weights(second)[key], learnt[key])
    assert not torch.equal(weights(plain)[key], learnt[key])
    began = second.path / START
    assert torch.equal(
        Run(began).recognizer().head.classifier.weight, first.recognizer().head.classifier.weight
    )
    assert second.recognizer().extra["init"] == {"run": "first", "head": True, "leaky": False}
    assert "trained further" in second.metrics["weights"][0]["source"]
    again = "frameflow train 2/manifest.csv --recipe 2/recipe.yaml --init first --out again"
    assert again in (second.path / "report.html").read_text(encoding="utf-8")
    assert "Began with all of the run first." in (second.path / "README.md").read_text("utf-8")


def test_other_labels_bring_a_new_head(
    first: Run, manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    two = other_groups(manifest).where(lambda sample: sample.label != "red")
    run = train(two, overrides=[*tiny, "split.val=0"], out=tmp_path / "2", init=first)
    assert run.recognizer().extra["init"]["head"] is False
    assert len(run.recognizer().labels) == 2


def test_a_resumed_training_begins_as_the_first_did(
    first: Run, manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    options = [*tiny, "train.epochs=2", "split.val=0"]
    whole = train(other_groups(manifest), overrides=options, out=tmp_path / "2", init=first)
    for name in ("report.html", "model.safetensors", "model.json", "metrics.json"):
        (whole.path / name).unlink()
    again = resume(whole.path)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(again).values()))


def test_a_test_split_that_was_trained_on_is_refused(
    first: Run, manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    seen = manifest.replace(
        replace(s, split="test" if s.group in {"g1", "g6"} else "train") for s in manifest
    )
    with pytest.raises(LeakError, match=r"--init .*first has been trained on what is to be scored"):
        train(seen, overrides=tiny, out=tmp_path / "2", init=first)
    run = train(seen, overrides=tiny, out=tmp_path / "3", init=first, allow_leak=True)
    assert run.metrics["leaky"]
    assert "LEAKY SPLIT" in run.report.read_text(encoding="utf-8")


def test_the_same_split_again_is_no_leak(
    manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    run = train(manifest, overrides=tiny, out=tmp_path / "1")
    again = train(manifest, overrides=tiny, out=tmp_path / "2", init=run)
    assert not again.metrics["leaky"]


def test_another_backbone_is_refused(
    first: Run, manifest: Manifest, tiny: list[str], tmp_path: Path
) -> None:
    other = [*tiny, "streams.0.backbone=mobilenetv3_small_050", "streams.0.size=64"]
    with pytest.raises(UsageError, match=r"resnet10t.*--set streams.0.backbone=resnet10t"):
        train(other_groups(manifest), overrides=other, out=tmp_path / "2", init=first)


def test_no_run_is_told(manifest: Manifest, tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        train(manifest, overrides=tiny, out=tmp_path / "2", init=tmp_path / "nothing")
