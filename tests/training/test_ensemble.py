"""An ensemble is a run of its own, wherever a run works."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.data.manifest import Manifest
from frameflow.inference.predictor import load
from frameflow.inference.said import teacher_probabilities
from frameflow.training.ensemble import ensemble

pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture(scope="session")
def _members(
    tmp_path_factory: pytest.TempPathFactory,
    film: Callable[..., Path],
    frameflow: Callable[..., Any],
    fast: list[str],
) -> Path:
    """Clips, two runs that choose frames differently, one that does as the first, and BOTH."""
    root = tmp_path_factory.mktemp("members")
    for number, label in enumerate(("backhand", "serve")):
        for clip in range(15):
            path = root / "VIDEOS" / label / f"{clip:02d}.mp4"
            film(path, scene=700 + 8 * number + clip // 2, seed=700 + 50 * number + clip)
    film(root / "new_clip.mp4", scene=800, seed=800)
    film(root / "long.mp4", scene=801, seed=801, frames=48)
    manifest = root / "manifest.csv"
    assert frameflow("data", "scan", root / "VIDEOS", "-o", manifest).code == 0
    assert frameflow("data", "groups", manifest).code == 0
    assert frameflow("data", "split", manifest).code == 0
    for name, more in {
        "frames": [],
        "motion": ["sampling.frames=6", "streams.0.kind=difference", "head.name=mean"],
        "again": ["head.name=gru", "train.seed=1"],
    }.items():
        sets = [part for change in more for part in ("--set", change)]
        said = frameflow("train", manifest, "-o", root / name, *fast, *sets)
        assert said.code == 0, said.err
    said = frameflow(
        "ensemble", root / "frames", root / "motion", "-o", root / "BOTH", "--engine", "torch"
    )
    assert said.code == 0, said.err
    assert "frames" in said.out
    assert "log loss" in said.out
    return root


@pytest.fixture
def members(_members: Path) -> Path:
    """The folder with the runs, to be read only."""
    return _members


def test_it_says_the_mean_of_what_its_members_say(members: Path) -> None:
    manifest = Manifest.read(members / "manifest.csv").split("test")
    weights = json.loads((members / "BOTH" / "metrics.json").read_text())["ensemble"]["weights"]
    both, *each = (
        teacher_probabilities(members / name, manifest, engine="torch")
        for name in ("BOTH", "frames", "motion")
    )
    expected = sum(w * one.of(both.labels) for w, one in zip(weights, each))
    np.testing.assert_allclose(both.probabilities, expected, atol=1e-5)
    predictor = load(members / "BOTH", engine="torch")
    calibrated = predictor.calibrate(both.probabilities)
    for sample, row in zip(manifest, calibrated):
        found = predictor.predict(manifest.path(sample)).probabilities
        np.testing.assert_allclose(found, row, atol=1e-5)


def test_its_folder_is_that_of_a_run_and_needs_no_member(
    members: Path, tmp_path: Path, frameflow: Callable[..., Any]
) -> None:
    run = tmp_path / "moved"
    shutil.copytree(members / "BOTH", run)
    files = ("recipe.yaml", "manifest.csv", "model.safetensors", "predictions.csv", "results.json")
    assert all((run / name).is_file() for name in (*files, "report.html", "README.md"))
    assert (run / "members" / "motion" / "recipe.yaml").is_file()
    said = frameflow(
        "predict", run, members / "new_clip.mp4", "--engine", "torch", "--csv", tmp_path / "p.csv"
    )
    assert said.code == 0, said.err
    (row,) = csv.DictReader((tmp_path / "p.csv").open())
    assert row["label_1"] in ("backhand", "serve")
    card = (run / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((run / "metrics.json").read_text())
    for member in metrics["ensemble"]["members"]:
        row = next(line for line in card.splitlines() if line.startswith(f"| {member['name']} "))
        assert f"{member['weight']:.3f}" in row
    assert metrics["ensemble"]["sentence"] in card
    assert "adamw" not in card  # it was not trained
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "frameflow ensemble frames motion --weights" in report
    assert frameflow("report", run).code == 0


def test_it_is_calibrated_on_samples_that_no_member_learnt_from(members: Path) -> None:
    metrics = json.loads((members / "BOTH" / "metrics.json").read_text())
    held = metrics["calibration"]["fitted_on"]
    own = Manifest.read(members / "BOTH" / "manifest.csv", check_files=False)
    learnt = len(own) - len(own.split("test"))
    assert held.startswith(f"{learnt} training samples")
    assert "each predicted without its fold" in held
    assert metrics["ensemble"]["samples"] == learnt
    assert not metrics["leaky"]


def test_long_videos_have_timelines(
    members: Path, tmp_path: Path, frameflow: Callable[..., Any]
) -> None:
    said = frameflow(
        "timeline", members / "BOTH", members / "long.mp4", "--engine", "torch",
        "--csv", tmp_path / "t.csv", "--window", "1",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert (tmp_path / "t.csv").stat().st_size
    # A window of the whole clip, on the grid of its own frames, is the clip.
    from frameflow.inference.timeline.compute import timeline

    predictor = load(members / "BOTH", engine="torch")
    found = timeline(predictor, members / "new_clip.mp4", window=1.0, grid=12.0)
    alone = predictor.predict(members / "new_clip.mp4").probabilities
    np.testing.assert_allclose(found.probabilities[0], alone, atol=0.02)


def test_it_is_compared_explained_served_and_scored_elsewhere(
    members: Path, tmp_path: Path, frameflow: Callable[..., Any]
) -> None:
    said = frameflow("compare", members / "frames", members / "BOTH", "--json")
    assert said.code == 0, said.err
    run = tmp_path / "BOTH"
    shutil.copytree(members / "BOTH", run)
    other = Manifest.read(members / "manifest.csv").split("test")
    other.write(members / "other.csv")
    said = frameflow("evaluate", run, members / "other.csv", "--engine", "torch")
    assert said.code == 0, said.err
    frameflow("explain", run, members / "new_clip.mp4", "-o", tmp_path / "why.gif")
    from frameflow.inference.explain import explain
    from frameflow.serving.models import load_models

    found = explain(run, members / "new_clip.mp4")
    assert found.maps.shape[0] == 6  # the frames of the member with the most
    assert found.maps.max() > 0
    assert [kind for kind, _ in found.streams] == ["rgb", "difference"]
    (served,) = load_models([("both", run)], engine="torch", views=None)
    assert served.summary()["labels"] == ["backhand", "serve"]
    assert served.details()["head"]["options"]["members"].startswith("frames 0.")


def test_what_members_share_is_kept_and_computed_once(members: Path, tmp_path: Path) -> None:
    run = ensemble(
        [members / "frames", members / "again"], out=tmp_path / "alike", weights=[0.4, 0.6],
        engine="torch",
    )  # fmt: skip
    recognizer = run.recognizer()
    assert len(recognizer.backbones()) == 1
    assert recognizer.recipe.streams[0].sampling is None
    assert run.metrics["ensemble"]["rule"] == "given"
    assert run.metrics["ensemble"]["weights"] == pytest.approx([0.4, 0.6])
    size = (run.path / "model.safetensors").stat().st_size
    assert size < 1.5 * (members / "again" / "model.safetensors").stat().st_size


@pytest.mark.slow
def test_alike_members_are_one_file(members: Path, tmp_path: Path) -> None:
    from frameflow.export.pipeline import export

    run = ensemble(
        [members / "frames", members / "again"], out=tmp_path / "alike", weights="equal",
        engine="torch",
    )  # fmt: skip
    about = export(run.path, out=tmp_path / "onnx")
    assert about["agreement"]
    assert (tmp_path / "onnx" / "model.onnx").is_file()


# What cannot be put together -------------------------------------------------------------------


def refused(
    frameflow: Callable[..., Any], tmp_path: Path, *arguments: object, code: int = 2
) -> str:
    said = frameflow("ensemble", *arguments, "-o", tmp_path / "out", "--engine", "torch")
    assert said.code == code, said
    assert not (tmp_path / "out").exists()
    return str(said.error)


def test_runs_that_are_no_two(members: Path, tmp_path: Path, frameflow: Callable[..., Any]) -> None:
    one = members / "frames"
    assert "two runs or more, not 1" in refused(frameflow, tmp_path, one)
    assert "named twice" in refused(frameflow, tmp_path, one, members / "." / "frames")
    shutil.copytree(one, tmp_path / "copy")
    assert "the same model" in refused(frameflow, tmp_path, one, tmp_path / "copy")
    assert "is an ensemble itself" in refused(frameflow, tmp_path, one, members / "BOTH")
    (tmp_path / "copy" / "model.json").unlink()
    error = refused(frameflow, tmp_path, one, tmp_path / "copy")
    assert "its training did not end" in error.lower()
    assert "There is no run" in refused(frameflow, tmp_path, one, tmp_path / "nowhere")


def test_weights_that_are_none(
    members: Path, tmp_path: Path, frameflow: Callable[..., Any]
) -> None:
    pair = (members / "frames", members / "motion")
    for weights, message in {
        "0.5,0.3,0.2": "3 weights for 2 runs",
        "1": "1 weights for 2 runs",
        "-0.5,1.5": "each must be 0 or more",
        "nan,1": "each must be 0 or more",
        "0.5,0.6": "add up to 1.1",
        "equall": "must be validation, equal, or a number for each run",
    }.items():
        assert message in refused(frameflow, tmp_path, *pair, f"--weights={weights}")


def changed(members: Path, tmp_path: Path, change: Callable[[Any], Any], name: str) -> Path:
    """A copy of a run with another manifest."""
    run = tmp_path / name
    shutil.copytree(members / "motion", run)
    manifest = Manifest.read(members / "motion" / "manifest.csv")
    samples = [s for s in map(change, manifest) if s is not None]
    manifest.replace(samples).write(run / "manifest.csv")
    return run


def test_runs_of_other_test_clips(
    members: Path, tmp_path: Path, frameflow: Callable[..., Any]
) -> None:
    from dataclasses import replace

    turn = {"train": "test", "test": "train"}
    one = members / "frames"
    other = changed(
        members, tmp_path, lambda s: replace(s, split=turn.get(s.split, s.split)), "other"
    )
    error = refused(frameflow, tmp_path, one, other)
    assert "was trained on" in error
    assert "--allow-leak" in error
    first = next(s for s in Manifest.read(one / "manifest.csv") if s.split == "test").video
    name = Path(first).name
    fewer = changed(
        members,
        tmp_path,
        lambda s: None if s.split == "test" and s.video.endswith(name) else s,
        "fewer",
    )
    assert "are tested on different samples" in refused(frameflow, tmp_path, one, fewer)
    run = ensemble([one, other], out=tmp_path / "leaky", allow_leak=True, engine="torch")
    assert run.metrics["leaky"]
    assert "LEAKY SPLIT" in (run.path / "README.md").read_text(encoding="utf-8")


def test_runs_of_other_labels(members: Path, tmp_path: Path, frameflow: Callable[..., Any]) -> None:
    run = tmp_path / "renamed"
    shutil.copytree(members / "motion", run)
    model = json.loads((run / "model.json").read_text(encoding="utf-8"))
    model["labels"] = ["serve", "volley"]
    (run / "model.json").write_text(json.dumps(model), encoding="utf-8")
    error = refused(frameflow, tmp_path, members / "frames", run)
    assert "alone knows backhand" in error
    assert "alone knows volley" in error


def test_what_one_file_cannot_hold(members: Path, frameflow: Callable[..., Any]) -> None:
    for command in ("export", "bench"):
        error = frameflow(command, members / "BOTH").error
        assert "choose frames differently (4 uniform and 6 uniform)" in error


def test_a_recipe_cannot_ask_for_it(
    members: Path, tmp_path: Path, frameflow: Callable[..., Any]
) -> None:
    manifest = members / "manifest.csv"
    error = frameflow(
        "train", manifest, "--recipe", members / "BOTH" / "recipe.yaml", "-o", tmp_path / "x"
    ).error
    assert "`frameflow ensemble RUN RUN -o OUT`" in error
    error = frameflow(
        "train", manifest, "--set", "streams.0.sampling={frames: 4}", "-o", tmp_path / "x"
    ).error
    assert "for the members of an ensemble" in error
