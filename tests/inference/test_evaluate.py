"""Evaluate writes what it found, the same each time, and keeps the first figures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import FrameFlowError, LeakError, UsageError
from frameflow.evaluation.predictions import read_predictions
from frameflow.inference.evaluate import describe, evaluate
from frameflow.inference.predictor import load

FILES = {"metrics.json", "predictions.csv", "results.json", "report.html", "README.md"}


def held(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


def test_writes_its_files_and_says_what_the_score_is(run: Path) -> None:
    metrics = evaluate(run, engine="torch")
    assert {p.name for p in run.iterdir()} >= FILES
    assert held(run) == metrics
    assert (metrics["split"], metrics["samples"], metrics["groups"]) == ("test", 9, 4)
    assert (metrics["views"], metrics["seed"], metrics["engine"]) == (1, 0, "torch")
    assert (metrics["leaky"], metrics["seen_in_training"]) == (False, False)
    (weights,) = metrics["weights"]
    assert weights["backbone"] == "resnet10t"
    assert len(weights["digest"]) == 16
    assert {"python", "torch", "numpy", "frameflow-video"} <= set(metrics["versions"])
    assert metrics["date"].endswith("+00:00")
    for fact in ("top-1", "9 samples of 4 groups", "1 view", "seed 0", "resnet10t", "interval"):
        assert fact in describe(metrics)


def test_predictions_equal_those_of_the_predictor(run: Path) -> None:
    evaluate(run, engine="torch")
    table = read_predictions(run / "predictions.csv")
    results = load(run, engine="torch").predict([run / s.video for s in table.samples])
    assert [r.label for r in results] == table.predicted  # type: ignore[union-attr]
    for result, row in zip(results, table.probabilities, strict=True):
        np.testing.assert_allclose(result.probabilities, row, atol=1e-5)  # type: ignore[union-attr]
    assert len(set(table.predicted)) > 1, "the clips must not all look alike to this test"


def test_scores_follow_from_the_predictions(run: Path) -> None:
    metrics = evaluate(run, engine="torch")
    table = read_predictions(run / "predictions.csv")
    hits = [s.label == label for s, label in zip(table.samples, table.predicted)]
    assert metrics["top1"] == pytest.approx(np.mean(hits))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))["samples"]
    assert [row["correct"] for row in results] == hits


def test_again_gives_the_same_numbers(run: Path) -> None:
    def numbers() -> dict[str, object]:
        metrics = evaluate(run, engine="torch")
        return {name: value for name, value in metrics.items() if name not in ("date", "timing")}

    first, table = numbers(), (run / "predictions.csv").read_bytes()
    assert numbers() == first
    assert (run / "predictions.csv").read_bytes() == table


def test_other_splits_and_views_have_their_own_folders(run: Path) -> None:
    evaluate(run, engine="torch")
    before = {name: (run / name).read_bytes() for name in FILES}
    assert evaluate(run, split="val", engine="torch")["seen_in_training"]
    assert evaluate(run, views=3, engine="torch")["views"] == 3
    assert {name: (run / name).read_bytes() for name in FILES} == before
    assert {p.name for p in (run / "evaluations" / "val").iterdir()} >= FILES
    assert held(run / "evaluations" / "test-views3")["views"] == 3
    page = (run / "evaluations" / "val" / "report.html").read_text(encoding="utf-8")
    assert "SEEN IN TRAINING" in page


def test_views_are_averaged_as_the_predictor_does(run: Path) -> None:
    evaluate(run, views=3, engine="torch")
    table = read_predictions(run / "evaluations" / "test-views3" / "predictions.csv")
    one = load(run, engine="torch", views=3).predict(run / table.samples[0].video)
    assert one.views == 3
    np.testing.assert_allclose(one.probabilities, table.probabilities[0], atol=1e-5)


def fresh(run: Path, name: str = "new") -> list[Sample]:
    """Clips that the run has not seen: copies would be, so they are drawn."""
    from frameflow.video.write import write_video

    samples = []
    for number, label in enumerate(["sitzt", "winkt", "sitzt", "winkt"]):
        video = f"{name}{number}.mp4"
        frames = np.random.default_rng(100 + number).integers(0, 255, (8, 48, 64, 3), np.uint8)
        write_video(run.parent / video, frames)
        samples.append(Sample(video, label, group=f"{name}{number // 2}"))
    return samples


def test_another_manifest_without_splits_is_scored_whole(
    run: Path, write_manifest: Callable[..., Path]
) -> None:
    path = write_manifest("foreign clips", fresh(run))
    metrics = evaluate(run, path, engine="torch")
    assert (metrics["split"], metrics["samples"], metrics["groups"]) == ("all", 4, 2)
    assert held(run / "evaluations" / "foreign-clips") == metrics
    assert not (run / "metrics.json").exists()
    assert any("No sample is of 1 of the 3 classes" in note for note in metrics["notes"])
    assert not metrics["seen_in_training"]


def test_manifests_of_the_same_name_do_not_overwrite_each_other(
    run: Path, write_manifest: Callable[..., Path]
) -> None:
    samples = fresh(run)
    path = write_manifest("m", samples)
    other = run.parent / "elsewhere"
    other.mkdir()
    Manifest(samples[:2], run.parent).write(other / "m.csv")
    for source in (path, other / "m.csv", path):
        evaluate(run, source, engine="torch")
    assert held(run / "evaluations" / "m")["samples"] == 4
    assert held(run / "evaluations" / "m-2")["samples"] == 2
    assert len(list((run / "evaluations").iterdir())) == 2


def test_a_manifest_in_memory(run: Path) -> None:
    metrics = evaluate(run, Manifest(fresh(run), run.parent), engine="torch")
    assert metrics["samples"] == 4


def test_unknown_labels_are_named(run: Path, write_manifest: Callable[..., Path]) -> None:
    samples = fresh(run)
    path = write_manifest("m", [*samples[:2], Sample(samples[2].video, "sitz", group="x")])
    with pytest.raises(UsageError, match=r"does not know 1 .* 'sitz' \(1 samples\).*mean 'sitzt'"):
        evaluate(run, path, engine="torch")


def test_samples_without_a_label_are_left_out_and_counted(
    run: Path, write_manifest: Callable[..., Path]
) -> None:
    samples = fresh(run)
    path = write_manifest("m", [*samples[:3], Sample(samples[3].video, "", group="x")])
    metrics = evaluate(run, path, engine="torch")
    assert (metrics["samples"], metrics["unlabelled"]) == (3, 1)
    path = write_manifest("n", [Sample(sample.video) for sample in samples])
    with pytest.raises(UsageError, match="has a label, so there is nothing to score"):
        evaluate(run, path, engine="torch")


def test_bad_videos_are_set_aside_and_listed(
    run: Path, write_manifest: Callable[..., Path]
) -> None:
    samples = [*fresh(run), *fresh(run, "more"), *fresh(run, "most")]
    (run.parent / samples[1].video).write_bytes(b"")
    metrics = evaluate(run, write_manifest("m", samples), engine="torch")
    (bad,) = metrics["bad_videos"]
    assert (bad["video"], bad["row"]) == (samples[1].video, 3)
    assert "empty" in bad["reason"]
    assert metrics["samples"] == 11
    folder = run / "evaluations" / "m"
    for name in ("report.html", "README.md"):
        assert "new1.mp4" in (folder / name).read_text(encoding="utf-8")
    assert samples[1].video in describe(metrics)


def test_too_many_bad_videos_stop_it(run: Path, write_manifest: Callable[..., Path]) -> None:
    samples = fresh(run)
    for sample in samples[1:]:
        (run.parent / sample.video).write_bytes(b"no video")
    with pytest.raises(FrameFlowError, match="3 of 4 videos cannot be read"):
        evaluate(run, write_manifest("m", samples), engine="torch")
    assert not (run / "evaluations").exists()


def test_a_manifest_that_shares_groups_or_clips_with_the_training_is_refused(
    run: Path, write_manifest: Callable[..., Path]
) -> None:
    samples = fresh(run)
    groups = [Sample(s.video, s.label, group="train0") for s in samples[:2]] + samples[2:]
    with pytest.raises(LeakError, match=r"1 groups of its training, with 2 clips \(train0\)"):
        evaluate(run, write_manifest("groups", groups), engine="torch")
    clips = [Sample("clips/15.mp4", "sitzt"), *samples]
    path = write_manifest("clips", clips)
    with pytest.raises(LeakError, match=r"1 clips that the run was trained on .*--allow-leak"):
        evaluate(run, path, engine="torch")
    metrics = evaluate(run, path, allow_leak=True, engine="torch")
    assert metrics["leaky"]
    assert "LEAKY SPLIT" in describe(metrics)
    for name in ("report.html", "README.md"):
        page = (run / "evaluations" / "clips" / name).read_text(encoding="utf-8")
        assert "LEAKY SPLIT" in page


def test_a_run_with_a_leaking_split_says_so_wherever_it_is_scored(run: Path) -> None:
    own = Manifest.read(run / "manifest.csv")
    leaking = [Sample(s.video, s.label, s.split, "test0" if s.row == 14 else s.group) for s in own]
    own.replace(leaking).write(run / "manifest.csv")
    assert evaluate(run, engine="torch")["leaky"]
    assert "LEAKY SPLIT" in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "tset"}, r"split \('tset'\) must be one of .*mean 'test'"),
        ({"views": 0}, r"views \(0\) must be > 0"),
    ],
)
def test_wrong_options_are_named(run: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate(run, engine="torch", **options)  # type: ignore[arg-type]


def test_an_empty_split_says_what_there_is(run: Path, write_manifest: Callable[..., Path]) -> None:
    samples = [Sample(s.video, s.label, "val", s.group) for s in fresh(run)]
    with pytest.raises(UsageError, match=r"in the test split \(it has 4 in val\)"):
        evaluate(run, write_manifest("m", samples), engine="torch")


def test_a_moved_run_is_scored_where_its_clips_are_found(run: Path, tmp_path: Path) -> None:
    first = evaluate(run, engine="torch")
    moved = tmp_path / "moved"
    shutil.copytree(run.parent, moved)
    shutil.rmtree(run.parent)
    assert evaluate(moved / run.name, engine="torch")["top1"] == first["top1"]


# Several labels a sample


def test_sets_are_scored_and_written(run_of_sets: Path) -> None:
    from frameflow.evaluation.multilabel import score_sets

    metrics = evaluate(run_of_sets, engine="torch")
    assert {p.name for p in run_of_sets.iterdir()} >= FILES
    assert held(run_of_sets) == metrics
    assert (metrics["multilabel"], metrics["samples"], metrics["groups"]) == (True, 9, 4)
    table = read_predictions(run_of_sets / "predictions.csv")
    again = score_sets(table.targets, table.probabilities, table.labels, resamples=1)
    assert metrics["map"] == pytest.approx(again.mean_average_precision)
    assert metrics["micro"]["f1"] == pytest.approx(again.micro.f1)
    assert metrics["exact_match"] == pytest.approx(again.exact_match)
    results = json.loads((run_of_sets / "results.json").read_text(encoding="utf-8"))["samples"]
    assert sum(row["correct"] for row in results) == round(9 * metrics["exact_match"])
    results = load(run_of_sets, engine="torch").predict(
        [run_of_sets / s.video for s in table.samples]
    )
    assert [set(r.present) for r in results] == [  # type: ignore[union-attr]
        set(table.present(row)) for row in range(len(table))
    ]
    for fact in ("test: mean average precision", "chance", "micro F1", "exact match", "interval"):
        assert fact in describe(metrics)


def test_label_sets_of_another_manifest_are_checked(
    run_of_sets: Path, write_manifest: Callable[..., Path]
) -> None:
    samples = [Sample("clips/00.mp4", "winkt|hüpft", "test"), Sample("clips/01.mp4", "winkt")]
    path = write_manifest("unknown", samples)
    with pytest.raises(UsageError, match=r"does not know 1 of the labels .*'hüpft'"):
        evaluate(run_of_sets, path, split="all", engine="torch")
    path = write_manifest("faulty", [Sample("clips/00.mp4", "winkt|")])
    with pytest.raises(UsageError, match="row 2: the labels 'winkt\\|' hold an empty one"):
        evaluate(run_of_sets, path, split="all", engine="torch")


def test_a_sample_with_none_is_scored_and_one_without_a_label_is_not(
    run_of_sets: Path, write_manifest: Callable[..., Path]
) -> None:
    cells = ["winkt", "none", ""]
    samples = [Sample(f"clips/{n:02d}.mp4", cell) for n, cell in enumerate(cells)]
    metrics = evaluate(run_of_sets, write_manifest("new", samples), engine="torch")
    assert (metrics["samples"], metrics["unlabelled"]) == (2, 1)
