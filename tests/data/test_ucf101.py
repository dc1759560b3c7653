import logging
from collections import Counter
from pathlib import Path

import pytest

from frameflow.data.splits import check_leaks
from frameflow.data.ucf101 import categories, import_ucf101
from frameflow.errors import UsageError

CLASSES = {"Archery": "Archery", "HandstandPushups": "HandStandPushups", "YoYo": "YoYo"}


def clips(groups: range, *, folder: str = "{0}/", lists: bool = True) -> list[tuple[str, str]]:
    """(class, path) of two clips a group; the lists and the videos spell one class differently."""
    return [
        (name, f"{folder.format(name)}v_{spelt if lists else name}_g{group:02d}_c{clip:02d}.avi")
        for name, spelt in CLASSES.items()
        for group in groups
        for clip in (1, 2)
    ]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Lists as the official ones are: CRLF, label numbers in train lists only. Test: g01, g02."""
    folder = tmp_path / "ucfTrainTestlist"
    folder.mkdir()
    numbers = {name: place for place, name in enumerate(CLASSES, start=1)}

    def write(name: str, lines: list[str]) -> None:
        (folder / name).write_bytes("".join(f"{line}\r\n" for line in lines).encode())

    write("classInd.txt", [f"{number} {name}" for name, number in numbers.items()])
    write("trainlist01.txt", [f"{path} {numbers[n]}" for n, path in clips(range(3, 13))])
    write("testlist01.txt", [path for _, path in clips(range(1, 3))])
    return folder


@pytest.mark.parametrize("folder", ["{0}/", "", "UCF-101/{0}/"])
def test_class_folders_and_flat_folders(folder: str, lists: Path, touch) -> None:
    root = touch(*(path for _, path in clips(range(1, 13), folder=folder, lists=False)))
    manifest = import_ucf101(root, lists, fold=1, val_share=0.2)
    counts = {label: list(c.values()) for label, c in manifest.summary().items()}
    assert counts == {name: [16, 4, 4] for name in CLASSES}
    assert check_leaks(manifest) == []
    assert {s.group for s in manifest.split("test")} == {
        f"{name}_g{group:02d}" for name in CLASSES for group in (1, 2)
    }
    manifest.validate()


def test_the_five_categories_are_a_column(lists: Path, touch) -> None:
    root = touch(*(path for _, path in clips(range(1, 13), lists=False)))
    manifest = import_ucf101(root, lists)
    assert manifest.columns == ["category"]
    found = {sample.label: sample.extra["category"] for sample in manifest}
    assert found == {
        "Archery": "Sports",
        "HandstandPushups": "Body-Motion Only",
        "YoYo": "Human-Object Interaction",
    }
    assert sorted(Counter(categories().values()).values()) == [5, 10, 16, 20, 50]


def test_both_spellings_and_other_endings_match(lists: Path, touch) -> None:
    listed = [path for _, path in clips(range(1, 13))]
    root = touch(*(path.replace(".avi", ".MP4") for path in listed))
    assert len(import_ucf101(root, lists)) == 72
    manifest = import_ucf101(root, lists.parent)  # the folder above the lists will do
    assert manifest.labels == sorted(CLASSES)


def test_frame_folders_match(lists: Path, touch) -> None:
    folders = [path.removesuffix(".avi") for _, path in clips(range(1, 13))]
    root = touch(*(f"{folder}/image_{n:05d}.jpg" for folder in folders for n in (1, 2)))
    assert import_ucf101(root, lists)[0].video == "Archery/v_Archery_g03_c01"


def test_missing_videos_are_counted_and_listed(lists: Path, touch, caplog) -> None:
    there = [path for _, path in clips(range(1, 13))]
    root = touch(*there[1:-7], "YoYo/v_YoYo_g99_c01.avi")
    with pytest.raises(UsageError) as caught:
        import_ucf101(root, lists)
    assert "8 of the 72 videos are not in" in str(caught.value)
    assert "YoYo/v_YoYo_g10_c01.avi" in str(caught.value)
    assert "and 3 more." in str(caught.value)
    assert "--allow-missing" in str(caught.value)
    with caplog.at_level(logging.INFO, "frameflow"):
        assert len(import_ucf101(root, lists, allow_missing=True)) == 64
    assert "8 of the 72 videos are not in" in caplog.text
    assert "Left out 1 videos that the lists do not name" in caplog.text


def test_the_seed_chooses_validation_and_zero_cuts_none(lists: Path, touch) -> None:
    root = touch(*(path for _, path in clips(range(1, 13))))
    first, again, other = (import_ucf101(root, lists, seed=seed) for seed in (0, 0, 1))
    assert first.samples == again.samples
    assert first.samples != other.samples
    assert first.split("test").samples == other.split("test").samples
    assert len(import_ucf101(root, lists, val_share=0).split("val")) == 0


def test_what_is_refused(lists: Path, touch, tmp_path: Path) -> None:
    root = touch("Archery/v_Archery_g01_c01.avi")
    with pytest.raises(UsageError, match=r"fold \(4\) must be 1, 2 or 3"):
        import_ucf101(root, lists, fold=4)
    with pytest.raises(UsageError, match="holds none of the 72 videos"):
        import_ucf101(touch("a.avi", folder="other"), lists, allow_missing=True)
    with pytest.raises(UsageError, match=r"no classInd\.txt in .*: give the folder"):
        import_ucf101(root, root)
    with pytest.raises(UsageError, match="does not exist: give the folder of the UCF101 videos"):
        import_ucf101(tmp_path / "nowhere", lists)
    with pytest.raises(UsageError, match=r"trainlist02\.txt cannot be read \(No such file"):
        import_ucf101(root, lists, fold=2)


# a broken line of trainlist01.txt, and what is said of it
BROKEN = {
    "no group": ("Archery/clip.avi 1", "trainlist01.txt, line 1: 'Archery/clip.avi 1' is not like"),
    "bad number": ("Archery/v_Archery_g01_c01.avi one", "is not like Class/v_Class"),
    "unknown class": ("Archry/v_Archry_g01_c01.avi 1", "Did you mean 'Archery'?"),
    "other number": ("Archery/v_Archery_g01_c01.avi 3", "has the number 3 here and 1 in classInd"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lists(case: str, lists: Path, touch) -> None:
    line, said = BROKEN[case]
    (lists / "trainlist01.txt").write_text(line)
    with pytest.raises(UsageError) as caught:
        import_ucf101(touch("a.avi"), lists)
    assert said in str(caught.value)
