"""Frame labels as people really have them."""

from pathlib import Path

from frameflow.audit.frame_labels import check_labels


def test_every_frame_of_the_seals_has_its_label(real_data: Path) -> None:
    report = check_labels(real_data / "seals" / "labels.csv")
    assert report.ok
    assert [(video.frames, video.labelled) for video in report.videos] == [
        (266, 266), (174, 174), (285, 285),
    ]  # fmt: skip
