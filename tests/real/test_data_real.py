"""The tables on real folders and lists."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from frameflow.data.manifest import Manifest
from frameflow.data.scan import scan_folder
from frameflow.data.splits import add_folds, check_leaks, split_manifest, use_fold
from frameflow.data.ucf101 import import_ucf101


def need(folder: Path) -> Path:
    if not folder.exists():
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.fixture(scope="module")
def tennis(real_data: Path) -> Manifest:
    return Manifest.read(need(real_data / "tennis7" / "manifest.csv"))


def test_a_scan_finds_the_scenes_of_tennis7(tennis: Manifest) -> None:
    scan = scan_folder(tennis.root)
    given = {sample.video: sample for sample in tennis}
    assert len(scan.manifest) == 371
    assert all(given[sample.video].label == sample.label for sample in scan.manifest)
    pairs = {(sample.group, given[sample.video].group) for sample in scan.manifest}
    assert (
        len(pairs) == len({found for found, _ in pairs}) == len({scene for _, scene in pairs}) == 90
    )
    assert scan.left_out == [("manifest.csv", "not a video (.csv)")]


def test_tennis7_splits_within_two_points(tennis: Manifest) -> None:
    for seed in range(3):
        parts = split_manifest(tennis, val=0.15, test=0.2, seed=seed)
        assert check_leaks(parts) == []
        for counts in parts.summary().values():
            assert abs(counts["test"] / 53 - 0.2) < 0.02
            assert abs(counts["val"] / 53 - 0.15) < 0.02


def test_tennis7_folds(tennis: Manifest) -> None:
    manifest = add_folds(tennis, 5)
    folds = {(sample.group, sample.fold) for sample in manifest}
    assert len(folds) == 90
    counts = Counter((sample.label, sample.fold) for sample in manifest)
    # One scene holds 21 of the 53 backhands.
    assert all(8 <= count <= 14 for (label, _), count in counts.items() if label != "Backhand")
    given = use_fold(tennis, 0)
    assert check_leaks(given) == []
    assert all((sample.split == "test") == (sample.fold == 0) for sample in given)


def test_frame_labelled_seals(real_data: Path, tmp_path: Path) -> None:
    folder = need(real_data / "seals")
    manifest = Manifest.read(folder / "labels.csv")
    assert len(manifest) == 725
    assert len({sample.video for sample in manifest}) == 3
    assert check_leaks(manifest) == []
    manifest.write(tmp_path / "m.parquet")
    assert [s.frame for s in Manifest.read(tmp_path / "m.parquet")] == [s.frame for s in manifest]


@pytest.fixture(scope="module")
def ucf(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Empty files named as the videos in circulation are, and the official lists."""
    lists = need(real_data / "ucfTrainTestlist")
    root = tmp_path_factory.mktemp("UCF-101")
    for name in ("trainlist01.txt", "testlist01.txt"):
        for line in (lists / name).read_text().split():
            if "/" in line:
                path = root / line.replace("v_HandStandPushups", "v_HandstandPushups")
                path.parent.mkdir(exist_ok=True)
                path.touch()
    return root, lists


@pytest.mark.parametrize(
    ("fold", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)]
)
def test_the_official_lists(fold: int, train: int, test: int, ucf: tuple[Path, Path]) -> None:
    manifest = import_ucf101(*ucf, fold=fold, val_share=0.15)
    assert len(manifest) == 13_320
    assert len(manifest.labels) == 101
    assert len({sample.group for sample in manifest}) == 2525
    assert len(manifest.split("test")) == test
    assert len(manifest.split("train")) + len(manifest.split("val")) == train
    assert abs(len(manifest.split("val")) / train - 0.15) < 0.005
    assert check_leaks(manifest) == []
    for counts in manifest.summary().values():
        assert abs(counts["val"] / (counts["train"] + counts["val"]) - 0.15) < 0.04


def test_a_scan_of_ucf101_numbers_groups_by_class(ucf: tuple[Path, Path]) -> None:
    scanned = scan_folder(ucf[0]).manifest
    listed = {s.video: replace(s, split="", extra={}) for s in import_ucf101(*ucf, val_share=0)}
    assert {sample.video: sample for sample in scanned} == listed


def test_ucf101_splits_and_folds(ucf: tuple[Path, Path]) -> None:
    manifest = scan_folder(ucf[0]).manifest
    parts = split_manifest(manifest, val=0.15, test=0.2)
    assert check_leaks(parts) == []
    for counts in parts.summary().values():
        total = sum(counts.values())
        assert abs(counts["test"] / total - 0.2) < 0.03
        assert abs(counts["val"] / total - 0.15) < 0.03
    sizes = Counter(sample.fold for sample in add_folds(manifest, 5))
    assert max(sizes.values()) - min(sizes.values()) <= 5
