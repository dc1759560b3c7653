"""From what the user names to splits that can be trained on."""

import logging
from pathlib import Path

import numpy as np
import pytest

from frameflow.config import Recipe, load_recipe
from frameflow.data.manifest import Manifest, ManifestError, Sample
from frameflow.data.splits import check_leaks
from frameflow.errors import UsageError
from frameflow.training.sources import (
    check_classes,
    fold_splits,
    name_of,
    read_source,
    warn_of_shared_scenes,
    with_splits,
)
from frameflow.video.write import write_video

RECIPE: Recipe = load_recipe("default", ["split.val=0.2", "split.test=0.2"])


def made(*, split: str = "", folds: int = 0, groups: int = 10, per_label: int = 40) -> Manifest:
    samples = []
    for label in ("jump", "run", "wave"):
        for number in range(per_label):
            group = number % groups
            samples.append(
                Sample(
                    f"{label}/{number}.mp4",
                    label,
                    split=split,
                    group=f"{label}{group}",
                    fold=group % folds if folds else None,
                )
            )
    return Manifest(samples, "/data/clips")


def splits(manifest: Manifest) -> dict[str, int]:
    return {name: len(manifest.split(name)) for name in ("train", "val", "test")}


def test_no_split_is_cut_by_group() -> None:
    found = with_splits(made(), RECIPE, fold=None)
    assert splits(found) == {"train": 72, "val": 24, "test": 24}
    assert not check_leaks(found)


def test_a_fold_is_the_test_and_validation_comes_from_the_rest() -> None:
    manifest = made(folds=5)
    found = with_splits(manifest, RECIPE, fold=2)
    assert {sample.fold for sample in found.split("test")} == {2}
    assert 2 not in {sample.fold for sample in found.split("val")}
    assert splits(found)["val"] > 0
    assert not check_leaks(found)
    with pytest.raises(UsageError, match="no fold 7"):
        with_splits(manifest, RECIPE, fold=7)


def test_folds_that_are_not_used_are_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    with_splits(made(folds=5), RECIPE, fold=None)
    assert "--fold K" in caplog.text


def test_validation_is_cut_from_train_never_from_test() -> None:
    manifest = made(split="train")
    halves = manifest.replace(
        sample if index % 10 < 8 else Sample(sample.video, sample.label, "test", sample.group)
        for index, sample in enumerate(manifest)
    )
    test = {sample.video for sample in halves.split("test")}
    found = with_splits(halves, RECIPE, fold=None)
    assert {sample.video for sample in found.split("test")} == test
    assert splits(found)["val"] > 0
    assert not check_leaks(found)


def test_own_splits_stay_and_rows_without_one_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    samples = [
        Sample(f"{i}.mp4", "run", name, f"g{i}") for i, name in enumerate(["train", "val", ""])
    ]
    found = with_splits(Manifest(samples, "/"), RECIPE, fold=None)
    assert [sample.split for sample in found] == ["train", "val"]
    assert "1 samples have no split" in caplog.text


def test_training_on_one_group_goes_without_validation(caplog: pytest.LogCaptureFixture) -> None:
    manifest = made(split="train").replace(
        Sample(sample.video, sample.label, "train", "one") for sample in made()
    )
    found = with_splits(manifest, RECIPE, fold=None)
    assert splits(found) == {"train": 120, "val": 0, "test": 0}
    assert "No validation split" in caplog.text


def test_a_fold_whose_rest_is_one_group_goes_without_validation() -> None:
    samples = [Sample(f"{i}.mp4", "ab"[i % 2], group=f"g{i % 2}", fold=i % 2) for i in range(8)]
    found = fold_splits(Manifest(samples, "/"), 0, val=0.2, seed=0)
    assert splits(found) == {"train": 4, "val": 0, "test": 4}


def test_no_training_sample_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"no training sample \(120 test\)"):
        with_splits(made(split="test"), RECIPE, fold=None)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([("run", "train"), ("run", "train"), ("run", "test")], "all 2 are 'run'"),
        ([("run", "train"), ("jump", "test")], "all 1 are 'run'"),
    ],
)
def test_one_class_cannot_be_trained(samples: list[tuple[str, str]], message: str) -> None:
    manifest = Manifest([Sample(f"{i}.mp4", *pair) for i, pair in enumerate(samples)], "/")
    with pytest.raises(UsageError, match=message):
        check_classes(manifest)


def test_what_the_splits_lack_is_said(caplog: pytest.LogCaptureFixture) -> None:
    pairs = [("run", "train")] * 2 + [("jump", "train"), ("wave", "val")]
    check_classes(Manifest([Sample(f"{i}.mp4", *pair) for i, pair in enumerate(pairs)], "/"))
    assert "No training sample is of 'wave'" in caplog.text
    assert "Only one training clip is of 'jump'" in caplog.text
    assert "There is no test split" in caplog.text


def test_healthy_splits_need_no_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    check_classes(with_splits(made(), RECIPE, fold=None))
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("classes", ["2", 2, "jump,run", ["jump", "run"]])
def test_classes_are_chosen_by_number_or_name(classes: str | int | list[str]) -> None:
    assert read_source(made(), classes=classes).labels == ["jump", "run"]


def test_a_label_with_a_comma_can_be_chosen() -> None:
    manifest = Manifest([Sample("1.mp4", "clean, jerk"), Sample("2.mp4", 'the "wave"')], "/")
    assert read_source(manifest, classes=["clean, jerk"]).labels == ["clean, jerk"]
    assert read_source(manifest, classes=['the "wave"']).labels == ['the "wave"']


def test_a_missing_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_source(tmp_path / "none")


def test_names_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.clips").mkdir()
    monkeypatch.chdir(tmp_path / "my.clips")
    assert name_of(".") == "my.clips"
    assert name_of("clips/tennis.csv") == "tennis"
    assert name_of("tennis/manifest.csv") == "tennis"
    assert name_of(made()) == "clips"


def test_shared_scenes_are_told_where_no_groups_are_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    for scene in range(3):
        room = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        for clip in range(2):
            frames = np.repeat(room[None], 6, axis=0)
            frames[np.arange(6), 10 + clip : 14 + clip, 10:14] = 255
            write_video(tmp_path / f"{scene}{clip}.mp4", frames, rate=6)
    apart = [
        Sample(f"{s}{c}.mp4", "a", "test" if s == 2 else "train") for s in range(3) for c in (0, 1)
    ]
    mixed = [Sample(f"{s}{c}.mp4", "a", "test" if c else "train") for s in range(3) for c in (0, 1)]
    with caplog.at_level(logging.INFO, logger="frameflow"):
        warn_of_shared_scenes(Manifest(apart, tmp_path))
        assert "another split" not in caplog.text
        warn_of_shared_scenes(Manifest(mixed, tmp_path))
    assert "6 clips show a scene that stands in another split too" in caplog.text


# Several labels a sample


def several(cells: list[str], *, split: str = "train") -> Manifest:
    return Manifest([Sample(f"{n}.mp4", cell, split) for n, cell in enumerate(cells)], ".")


def test_several_labels_are_split_each() -> None:
    cells = ["run|wave", "run", "wave|jump", "jump", "none"]
    samples = [Sample(f"{n}.mp4", cells[n % 5], group=f"g{n // 2}", row=n + 2) for n in range(100)]
    recipe = load_recipe(RECIPE, ["multilabel=true"])
    found = with_splits(Manifest(samples, "."), recipe, fold=None)
    for name in ("train", "val", "test"):
        assert found.split(name).label_names(multilabel=True) == ["jump", "run", "wave"]


@pytest.mark.parametrize("cells", [["run", "run"], ["none"] * 3, ["run|wave", "wave|run"]])
def test_labels_that_all_samples_share_teach_nothing(cells: list[str]) -> None:
    with pytest.raises(UsageError, match="some samples have and others have not"):
        check_classes(several(cells), multilabel=True)


def test_one_label_that_is_there_or_not_can_be_learnt(caplog: pytest.LogCaptureFixture) -> None:
    check_classes(several(["run", "none", "run", "none"]), multilabel=True)
    assert "sample is of" not in caplog.text
    check_classes(several(["run", "run|wave", "run|wave"]), multilabel=True)
    assert "Every training sample is of 'run'" in caplog.text


def test_joined_labels_without_multilabel_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    check_classes(several(["run|wave", "run", "jump"]))
    assert "set multilabel: true" in caplog.text


def test_faulty_label_sets_are_refused_where_they_are_read() -> None:
    manifest = several(["run|", "run"])
    assert read_source(manifest) is manifest
    with pytest.raises(ManifestError, match="hold an empty one"):
        read_source(manifest, multilabel=True)
