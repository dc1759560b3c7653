"""Labels of single frames become samples that end at them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.data.frame_labels import import_frame_labels
from frameflow.data.manifest import Manifest, ManifestError
from frameflow.errors import UsageError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two videos of four frames, one a split, and ``labels.csv`` beside them."""
    from PIL import Image

    rows = ["video,frame,label,split"]
    for video, split in (("a-1", "train"), ("b-2", "valid")):
        (tmp_path / video).mkdir()
        for number in range(1, 5):
            name = f"{video}-{number:03d}.png"
            Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(tmp_path / video / name)
            rows.append(f"{video},{name},{'seal' if number > 2 else 'noseal'},{split}")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_row_becomes_the_clip_that_ends_at_its_frame(table: Path, tmp_path: Path) -> None:
    from frameflow.config import Sampling
    from frameflow.video.clip import ClipRequest, read_clips

    manifest = import_frame_labels(table)
    assert [s.frame for s in manifest][:2] == ["a-1-001.png", "a-1-002.png"]
    assert {(s.video, s.group, s.split) for s in manifest} == {
        ("a-1", "a-1", "train"), ("b-2", "b-2", "val"),
    }  # fmt: skip
    assert manifest.labels == ["noseal", "seal"]
    request = ClipRequest(Sampling(frames=3), size=(8, 8), fit="squash")
    (clip,) = read_clips(manifest.path(manifest[1]), request, frame=manifest[1].frame)
    assert clip.mask.tolist() == [False, True, True]
    assert [int(frame.mean()) for frame, real in zip(clip.frames, clip.mask) if real] == [40, 80]
    manifest.write(tmp_path / "sub" / "manifest.csv")
    again = Manifest.read(tmp_path / "sub" / "manifest.csv")
    assert [again.path(s).resolve() for s in again] == [
        manifest.path(s).resolve() for s in manifest
    ]


def test_the_videos_may_be_elsewhere(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    moved = table.rename(other / "labels.csv")
    with pytest.raises(ManifestError, match="there is no video a-1"):
        import_frame_labels(moved)
    assert len(import_frame_labels(moved, videos=tmp_path)) == 8
    with pytest.raises(UsageError, match="of the labelled videos"):
        import_frame_labels(moved, videos=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("a-1-003.png", "a-1-007.png"), "row 4.*no frame a-1-007.png"),
        (lambda t: t.replace("a-1-003.png", "a-1-002.png"), "row 4.*gives a-1 the label 'seal'"),
        (lambda t: t.replace("a-1-003.png", ""), r"no frame in 1 rows \(4\)"),
        (lambda t: t.replace("frame,", "moment,"), "has no column frame: .*video,frame,label"),
        (lambda t: t.replace("noseal,valid", ",valid"), "label is empty"),
    ],
)
def test_faults_are_named_by_row(table: Path, change: Callable[[str], str], said: str) -> None:
    table.write_text(change(table.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UsageError, match=f"(?s){said}"):
        import_frame_labels(table)


def test_a_video_in_two_splits_is_warned_of(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = table.read_text(encoding="utf-8").replace(
        "a-1-004.png,seal,train", "a-1-004.png,seal,test"
    )
    table.write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING, logger="frameflow"):
        import_frame_labels(table)
    assert "a-1 in more than one split" in caplog.text


def test_the_command(table: Path, tmp_path: Path, frameflow: Callable[..., Any]) -> None:
    out = tmp_path / "manifest.csv"
    said = frameflow("data", "import", "frames", table, "-o", out)
    assert said.code == 0, said.err
    assert "8 samples" in said.out
    assert len(Manifest.read(out)) == 8
    assert "does not exist" in frameflow("data", "import", "frames", tmp_path / "no.csv").error
