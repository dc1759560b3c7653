"""A run that learns from another: what it keeps, what it says, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frameflow.config import load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import LeakError, UsageError
from frameflow.training import calibrate
from frameflow.training.crossval import crossval
from frameflow.training.pipeline import resume, train
from frameflow.training.run import Run
from frameflow.training.teacher import FOLDER, Teacher, rows_of

QUICK = ["train.epochs=3", "evaluation.resamples=50", "calibration.method=none"]
SET = "train.distill"


@pytest.fixture
def options(tiny: list[str]) -> list[str]:
    return [*tiny, *QUICK]


@pytest.fixture
def manifest(made_manifest: Manifest) -> Manifest:
    return made_manifest


@pytest.fixture(scope="module")
def _trained(
    made_manifest: Manifest, always_tiny: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("teachers") / "0" / "first"
    train(made_manifest, overrides=[*always_tiny, *QUICK], out=folder)
    return folder


@pytest.fixture
def teacher(_trained: Path, request: pytest.FixtureRequest) -> Run:
    """A copy that the test may change, as deep as the first: its manifest's paths hold."""
    folder = _trained.parents[1] / str(abs(hash(request.node.name))) / "first"
    shutil.copytree(_trained, folder)
    return Run(folder)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.recognizer().state_dict()


def assert_same(one: Run, other: Run) -> None:
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values()))


def test_a_run_keeps_what_its_teacher_said(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    options = [*options, "head.name=conv1d", f"{SET}.weight=0.8"]
    run = train(manifest, overrides=options, out=tmp_path / "2", teacher=teacher)
    alone = train(manifest, overrides=options[:-1], out=tmp_path / "3")
    assert not torch.equal(
        run.recognizer().head.classifier.weight, alone.recognizer().head.classifier.weight
    )
    about = run.metrics["teacher"]
    assert about["run"] == "first"
    assert (
        about["digest"] == json.loads((teacher.path / "model.json").read_text())["tensors_digest"]
    )
    assert (about["clips"], about["learnt"], about["refitted"]) == (24, 24, 24)
    assert (about["weight"], about["temperature"], about["leaky"]) == (0.8, 2.0, False)
    for page in (run.report, run.path / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert "first (recipe default, digest" in text.replace("\\", "")
        assert "refits without their group speak of 24" in text
    assert "--teacher 2/teacher --out again" in run.report.read_text(encoding="utf-8")

    # Neither going on nor repeating needs the teacher itself.
    shutil.rmtree(teacher.path)
    for name in ("report.html", "model.safetensors", "model.json", "metrics.json"):
        (run.path / name).rename(tmp_path / name)
    shutil.rmtree(run.path / "checkpoints")
    resumed = resume(run.path)
    again = train(run.path / "manifest.csv", recipe=run.path / "recipe.yaml", out=tmp_path / "4")
    before = Teacher.load(run.path / FOLDER)
    np.testing.assert_array_equal(
        Teacher.load(again.path / FOLDER).probabilities, before.probabilities
    )
    shutil.copy(tmp_path / "model.json", tmp_path / "first.json")
    for name in ("model.safetensors", "model.json"):
        (run.path / name).replace(tmp_path / f"resumed-{name}")
        (tmp_path / name).replace(run.path / name)
    assert_same(Run(run.path), again)
    assert resumed.metrics["teacher"] == about
    assert (tmp_path / "resumed-model.safetensors").read_bytes() == (
        run.path / "model.safetensors"
    ).read_bytes()


def test_the_teacher_speaks_of_what_it_has_learnt_through_refits(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(calibrate, "FEW", 25)
    few = train(manifest, overrides=options, out=tmp_path / "2", teacher=teacher)
    assert few.metrics["teacher"]["refitted"] == 0
    assert "too sure" in few.report.read_text(encoding="utf-8")
    monkeypatch.undo()
    held = train(manifest, overrides=options, out=tmp_path / "3", teacher=teacher)
    sure, fair = (Teacher.load(run.path / FOLDER) for run in (few, held))
    assert sure.keys == fair.keys
    assert not np.allclose(sure.probabilities, fair.probabilities)


def test_it_is_said_where_the_teachers_clips_are_gone(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    """Of these it is not known whether the student's are among them."""
    own = teacher.path / "manifest.csv"
    own.write_text(own.read_text(encoding="utf-8").replace("_g02_", "_g99_"), encoding="utf-8")
    run = train(
        manifest, overrides=[*options, f"{SET}.folds=0"], out=tmp_path / "2", teacher=teacher
    )
    assert (run.metrics["teacher"]["learnt"], run.metrics["teacher"]["gone"]) == (18, 6)
    assert "6 clips it learnt from could not be compared" in run.report.read_text(encoding="utf-8")


def test_backbones_learn_from_a_teacher_and_from_its_features(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    options = [*options, "train.learn=[{parts: ['*']}]", "train.epochs=2", "train.cache='off'",
               f"{SET}.folds=0", f"{SET}.features=0.5", f"{SET}.views=2", "views.test=1",
               "augment.flip=true", "augment.mixup=0.2"]  # fmt: skip
    run = train(manifest, overrides=options, out=tmp_path / "2", teacher=teacher)
    held = Teacher.load(run.path / FOLDER)
    assert held.features is not None
    assert len(held.features) == 24
    assert run.metrics["teacher"]["views"] == 2
    assert run.metrics["teacher"]["features"] == 0.5


@pytest.mark.slow
def test_activations_behind_a_cut_are_taught(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    cut = ["streams.0.cut=layer3", "train.learn=[{parts: [layer4]}]", "train.epochs=1"]
    run = train(manifest, overrides=[*options, *cut], out=tmp_path / "2", teacher=teacher)
    assert run.metrics["teacher"]["weight"] == 0.5


def seen(manifest: Manifest) -> Manifest:
    return manifest.replace(
        replace(s, split={"g1": "test", "g6": "val"}.get(s.group, "train")) for s in manifest
    )


def test_a_teacher_that_has_seen_the_test_split_is_refused(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    with pytest.raises(LeakError, match=r"--teacher .*first has been trained on what is to be"):
        train(seen(manifest), overrides=options, out=tmp_path / "2", teacher=teacher)
    assert not (tmp_path / "2").exists()
    run = train(
        seen(manifest), overrides=options, out=tmp_path / "2", teacher=teacher, allow_leak=True
    )
    assert run.metrics["leaky"]
    text = run.report.read_text(encoding="utf-8")
    assert "LEAKY SPLIT" in text
    assert "it has seen clips or groups that are scored" in text
    # What it said is refused as it is itself.
    with pytest.raises(LeakError, match="--teacher"):
        train(seen(manifest), overrides=options, out=tmp_path / "3", teacher=run.path / FOLDER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: shutil.rmtree(run.path), "There is no run"),
        (lambda run: (run.path / "model.safetensors").unlink(), "is no finished run"),
        (lambda run: (run.path / "manifest.csv").unlink(), "manifest.csv is missing"),
    ],
)
def test_no_teacher_is_told_at_once(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path,
    change: Callable[[Run], object], message: str,
) -> None:  # fmt: skip
    change(teacher)
    with pytest.raises(UsageError, match=message):
        train(manifest, overrides=options, out=tmp_path / "2", teacher=teacher.path)
    assert not (tmp_path / "2").exists()


def test_what_does_not_fit_together_is_told(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    other = manifest.replace(replace(s, label=f"{s.label} too") for s in manifest)
    with pytest.raises(UsageError, match=r"has no label in common.*'?red"):
        train(other, overrides=options, out=tmp_path / "2", teacher=teacher)
    several = [*options, "multilabel=true"]
    with pytest.raises(UsageError, match=r"gives a clip one label, this recipe several"):
        train(manifest, overrides=several, out=tmp_path / "2", teacher=teacher)
    with pytest.raises(UsageError, match=r"train\.distill\.temperature \(0\)"):
        load_recipe("default", [f"{SET}.temperature=0"])
    with pytest.raises(UsageError, match=r"a teacher \(train.distill\) needs train.solver: epochs"):
        train(manifest, overrides=[*options, "train.solver=ridge"], teacher=teacher)
    with pytest.raises(UsageError, match=r"learns from another run too.*--teacher RUN"):
        train(manifest, overrides=[*options, f"{SET}.weight=0.5"])
    with pytest.raises(UsageError, match=r"Cross-validation.*--fold K --teacher RUN"):
        crossval(manifest, overrides=[*options, f"{SET}.weight=0.5"])
    compiled = [*options, f"{SET}.features=1", "train.compile=true", "head.name=conv1d"]
    with pytest.raises(UsageError, match=r"needs train\.compile: false"):
        train(manifest, overrides=compiled, out=tmp_path / "2", teacher=teacher)
    fixed = [*options, f"{SET}.features=1"]
    with pytest.raises(UsageError, match="nothing learns before the last layer"):
        train(manifest, overrides=fixed, out=tmp_path / "2", teacher=teacher)
    assert not (tmp_path / "2").exists()


def test_labels_are_matched_by_name(manifest: Manifest) -> None:
    """The teacher knows another order, one label more and one less."""
    held = Teacher(
        ("wave", "red", "blå"), False, ("a", "b", "c"),
        np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], np.float32),
        None, {"run": "r"}, manifest,
    )  # fmt: skip
    samples = [manifest[0]] * 4
    labels = ["blå", "green", "red"]
    given = [replace(s, label=label) for s, label in zip(samples, ["red", "green", "blå", "red"])]
    recipe = load_recipe("default", [f"{SET}.temperature=1"])
    found = rows_of(held, ["a", "b", "c", "unknown"], given, recipe, labels)
    np.testing.assert_allclose(found[0], [0.4, 0, 0.6], atol=1e-6)
    assert np.isnan(found[[1, 3]]).all()  # of a label it does not know; a clip it has not seen
    np.testing.assert_allclose(found[2], [0.75, 0, 0.25], atol=1e-6)
    several = recipe.model_copy(update={"multilabel": True})
    found = rows_of(replace(held, multilabel=True), list("abc"), given[:3], several, labels)
    np.testing.assert_allclose(found[0, [0, 2]], [0.2, 0.3], atol=1e-6)
    assert np.isnan(found[:, 1]).all()
    with pytest.raises(UsageError, match="says nothing of these clips"):
        rows_of(held, ["x"] * 4, given, recipe, labels)
    wants = load_recipe("default", [f"{SET}.features=1"])
    with pytest.raises(UsageError, match="has no features"):
        rows_of(held, list("abcd"), given, wants, labels)


def test_damaged_words_of_a_teacher_are_told(tmp_path: Path, manifest: Manifest) -> None:
    held = Teacher(("a", "b"), False, ("x",), np.ones((1, 2)), None, {}, manifest)
    held.save(tmp_path / FOLDER)
    assert Teacher.load(tmp_path / FOLDER).labels == ("a", "b")
    (tmp_path / FOLDER / "said.safetensors").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"teacher, what a teacher said, is damaged"):
        Teacher.load(tmp_path / FOLDER)


@pytest.mark.slow
def test_several_labels_a_clip(manifest: Manifest, options: list[str], tmp_path: Path) -> None:
    both = manifest.replace(
        replace(s, label="red|blå" if s.label == "red" else s.label) for s in manifest
    )
    options = [*options, "multilabel=true"]
    first = train(both, overrides=options, out=tmp_path / "1")
    run = train(both, overrides=options, out=tmp_path / "2", teacher=first)
    held = Teacher.load(run.path / FOLDER)
    assert held.multilabel
    assert run.metrics["teacher"]["clips"] == 24


def test_the_command_line(
    frameflow: Callable[..., Any], small_clips: Path, small_run: Path, fast: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(small_clips)
    said = frameflow("train", "manifest.csv", "--teacher", small_run, "-o", "new", *fast)
    assert said.code == 0, said.err
    assert json.loads((small_clips / "new" / "metrics.json").read_text())["teacher"]["run"] == "RUN"
    said = frameflow("train", "manifest.csv", "--teacher", small_run, "--find-lr")
    assert "--teacher" in said.error
    said = frameflow("train", "--resume", "new", "--teacher", small_run)
    assert "--resume" in said.error
    said = frameflow("train", "manifest.csv", "--recipe", "default-distilled")
    assert "--teacher RUN" in said.error


@pytest.mark.slow
def test_the_members_of_an_ensemble_are_refitted(
    teacher: Run, manifest: Manifest, options: list[str], tmp_path: Path
) -> None:
    from frameflow.training.ensemble import ensemble

    other = train(
        manifest, overrides=[*options, "train.seed=1", "train.lr=0.1"], out=tmp_path / "o"
    )
    both = ensemble([teacher, other], out=tmp_path / "both", weights=[0.25, 0.75])
    said = []
    for number, run in enumerate((teacher, other, both)):
        taught = train(manifest, overrides=options, out=tmp_path / f"{number}", teacher=run)
        assert taught.metrics["teacher"]["refitted"] == 24
        said.append(Teacher.load(taught.path / FOLDER))
    assert said[0].keys == said[2].keys
    mean = 0.25 * said[0].probabilities + 0.75 * said[1].probabilities
    np.testing.assert_allclose(said[2].probabilities, mean, atol=1e-5)
