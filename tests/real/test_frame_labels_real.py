"""Camera videos of seals with a label for each frame: the table becomes a manifest."""

from collections import Counter
from pathlib import Path

from frameflow.config import Sampling
from frameflow.data.frame_labels import import_frame_labels
from frameflow.data.splits import check_leaks
from frameflow.video.clip import ClipRequest, read_clips


def test_every_labelled_frame_is_a_sample(real_data: Path) -> None:
    manifest = import_frame_labels(real_data / "seals" / "labels.csv")
    assert Counter(s.split for s in manifest) == {"train": 266, "val": 174, "test": 285}
    assert manifest.labels == ["noseal", "seal"]
    assert {(s.group, s.split) for s in manifest} == {
        ("s26-8164", "train"), ("s27-8212", "val"), ("s28-20", "test"),
    }  # fmt: skip
    assert not check_leaks(manifest)
    request = ClipRequest(Sampling(frames=20), size=(64, 64), fit="squash")
    third = manifest[2]
    (clip,) = read_clips(manifest.path(third), request, frame=third.frame)
    assert clip.mask.tolist() == [False] * 17 + [True] * 3
