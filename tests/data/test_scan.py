import logging
import os
from pathlib import Path

import pytest

from frameflow.data.scan import scan_folder
from frameflow.errors import UsageError


def found(root: Path) -> list[tuple[str, str, str]]:
    return [(s.video, s.label, s.split) for s in scan_folder(root).manifest]


def test_class_folders_of_any_depth_and_container(touch) -> None:
    root = touch("wave/a.mp4", "wave/b/c/d.MKV", "hop, skip/e.webm", "hop, skip/f.gif")
    assert found(root) == [
        ("hop, skip/e.webm", "hop, skip", ""),
        ("hop, skip/f.gif", "hop, skip", ""),
        ("wave/a.mp4", "wave", ""),
        ("wave/b/c/d.MKV", "wave", ""),
    ]


def test_a_folder_of_frame_images_is_one_video(touch) -> None:
    frames = [f"wave/clip/{number:04d}.jpg" for number in range(3)]
    assert found(touch(*frames, "jump/a.mp4")) == [
        ("jump/a.mp4", "jump", ""),
        ("wave/clip", "wave", ""),
    ]


def test_what_is_no_video_is_left_out_with_a_reason(touch) -> None:
    root = touch(
        "wave/a.mp4", "wave/notes.txt", "wave/photo.jpg", "wave/README", "loose.avi",
        "frames/1.jpg", ".hidden/b.mp4", "wave/.DS_Store", "wave/._a.mp4",
    )  # fmt: skip
    scan = scan_folder(root)
    assert scan.left_out == [
        ("frames", "frame images outside the class folders"),
        ("loose.avi", "a video outside the class folders"),
        ("wave/README", "not a video"),
        ("wave/notes.txt", "not a video (.txt)"),
        ("wave/photo.jpg", "an image, not in a folder of numbered frames"),
    ]
    assert [sample.video for sample in scan.manifest] == ["wave/a.mp4"]


# first folder -> the split it means
@pytest.mark.parametrize(
    ("folder", "split"),
    [("train", "train"), ("VAL", "val"), ("Valid", "val"), ("validation", "val"), ("Test", "test")],
)
def test_a_layer_of_splits(folder: str, split: str, touch) -> None:
    root = touch("Train/wave/a.mp4", "Train/jump/b.mp4", f"{folder}/wave/x/c.mp4")
    assert (f"{folder}/wave/x/c.mp4", "wave", split) in found(root)


def test_videos_beside_the_splits_are_left_out(touch) -> None:
    root = touch("train/wave/a.mp4", "test/wave/b.mp4", "extra/wave/c.mp4", "train/d.mp4")
    scan = scan_folder(root)
    assert len(scan.manifest) == 2
    assert scan.left_out == [
        ("extra/wave/c.mp4", "a video outside the split folders"),
        ("train/d.mp4", "a video outside the class folders"),
    ]


def test_a_class_may_be_called_train(touch) -> None:
    root = touch("train/a.mp4", "bus/b.mp4", "car/c.mp4")
    assert [label for _, label, _ in found(root)] == ["bus", "car", "train"]
    root = touch("train/day/a.mp4", "bus/day/b.mp4", folder="deep")
    assert found(root) == [("bus/day/b.mp4", "bus", ""), ("train/day/a.mp4", "train", "")]


def test_class_folders_without_videos_are_told(touch, caplog) -> None:
    root = touch("wave/a.mp4", "jump/b.mp4", "empty/notes.txt")
    with caplog.at_level(logging.INFO, "frameflow"):
        assert scan_folder(root).empty_classes == ["empty"]
    assert "1 class folder holds no video: empty." in caplog.text
    assert "Found 2 videos in 2 classes." in caplog.text
    root = touch("train/wave/a.mp4", "test/wave/b.mp4", folder="layered")
    (root / "test" / "jump").mkdir()
    assert scan_folder(root).empty_classes == ["test/jump"]


def test_one_class_is_told(touch, caplog) -> None:
    scan_folder(touch("wave/a.mp4"))
    assert "only one class, 'wave': training needs two." in caplog.text
    scan_folder(touch("UCF-101/wave/a.mp4", "UCF-101/jump/b.mp4", folder="above"))
    assert "If the class folders lie in 'UCF-101', scan that." in caplog.text


def test_links_are_followed_once(touch) -> None:
    root = touch("wave/a.mp4", "jump/b.mp4")
    elsewhere = touch("c.mp4", folder="elsewhere")
    (root / "run").symlink_to(elsewhere)
    (root / "wave" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "wave")
    (root / "jump" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    scan = scan_folder(root)
    assert [sample.video for sample in scan.manifest] == ["jump/b.mp4", "run/c.mp4", "wave/a.mp4"]
    assert scan.left_out == [
        ("again", "a link to wave, which is read already"),
        ("jump/gone.mp4", "a link that leads nowhere"),
        ("wave/loop", "a link to the folder itself, which is read already"),
    ]


def test_names_that_no_manifest_can_hold_are_left_out(touch) -> None:
    root = touch("wave/a.mp4")
    Path(os.fsdecode(os.fsencode(root / "wave") + b"/\xff.mp4")).touch()
    scan = scan_folder(root)
    assert [reason for _, reason in scan.left_out] == ["its name is not UTF-8: rename it"]
    scan.manifest.write(root / "manifest.csv")


def test_bad_paths(touch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist: give the folder that holds the class"):
        scan_folder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is a file: give the folder"):
        scan_folder(touch("a.mp4") / "a.mp4")
    with pytest.raises(UsageError, match="holds 1 video, but not in a class folder: put each"):
        scan_folder(touch("a.mp4"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no videos: put each video in a folder named"):
        scan_folder(tmp_path / "empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_no_permission(touch) -> None:
    root = touch("wave/a.mp4", "locked/b.mp4")
    (root / "locked").chmod(0)
    try:
        assert scan_folder(root).left_out == [("locked", "permission denied")]
        root.chmod(0)
        with pytest.raises(UsageError, match="cannot be opened: Permission denied"):
            scan_folder(root)
    finally:
        root.chmod(0o700)
        (root / "locked").chmod(0o700)


def names(classes: dict[str, list[int]]) -> list[str]:
    return [
        f"{c}/v_{c}_g{n:02d}_c{k:02d}.avi" for c, ns in classes.items() for n in ns for k in (1, 2)
    ]


# the group numbers of each class -> the group of the first class's first clip
NUMBERINGS = {
    "restarts": ({"A": [1, 2], "B": [1, 3], "C": [1]}, "A_g01"),
    "one scene everywhere": ({"A": [1, 2], "B": [2, 3], "C": [3, 4]}, "g01"),
    "the lowest is missing in one of five": (
        {"A": [1], "B": [1], "C": [1, 4], "D": [1], "E": [2, 3]},
        "A_g01",
    ),
    "the lowest is missing in two of five": (
        {"A": [1], "B": [1], "C": [1, 4], "D": [2], "E": [2, 3]},
        "g01",
    ),
    "one class": ({"A": [1, 2]}, "g01"),
}


@pytest.mark.parametrize("case", NUMBERINGS)
def test_groups_from_names(case: str, touch, caplog) -> None:
    classes, group = NUMBERINGS[case]
    with caplog.at_level(logging.INFO, "frameflow"):
        manifest = scan_folder(touch(*names(classes))).manifest
    assert manifest[0].group == manifest[1].group == group
    expected = "start anew in every class" if "_" in group else "same scene in every class"
    assert expected in caplog.text


def test_the_numbering_can_be_said(touch) -> None:
    root = touch(*names({"A": [1, 2], "B": [2]}))
    assert scan_folder(root, groups="class").manifest[0].group == "A_g01"
    assert not scan_folder(root, groups="none").manifest.has_groups


def test_names_without_a_group_are_counted(touch, caplog) -> None:
    manifest = scan_folder(touch(*names({"A": [1], "B": [1]}), "A/other.mp4")).manifest
    assert [sample.group for sample in manifest if "other" in sample.video] == [""]
    assert "1 of 5 videos have no group in their name." in caplog.text
