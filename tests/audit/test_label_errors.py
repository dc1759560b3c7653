"""Changed labels are found: of single clips by clip folds, of whole scenes by group folds."""

from dataclasses import replace

import numpy as np
import pytest

from frameflow.audit.label_errors import confident_errors, find_label_errors
from frameflow.audit.vectors import ClipVectors, principal
from frameflow.data.manifest import Manifest, Sample

CLASSES, SCENES, CLIPS = 3, 8, 5


def made(*, groups: bool = True, seed: int = 0) -> tuple[Manifest, ClipVectors]:
    """Clips of three classes and 24 scenes, with a vector near that of class and scene."""
    rng = np.random.default_rng(seed)
    classes = 3.0 * rng.normal(size=(CLASSES, 24))
    scenes = 1.6 * rng.normal(size=(CLASSES * SCENES, 24))
    samples, rows = [], []
    for scene in range(CLASSES * SCENES):
        for clip in range(CLIPS):
            label = scene % CLASSES
            group = f"s{scene}" if groups else ""
            samples.append(Sample(f"{scene}_{clip}.mp4", f"class {label}", group=group))
            rows.append(classes[label] + scenes[scene] + 0.8 * rng.normal(size=24))
    values = principal([np.array(rows, dtype=np.float32)])
    return Manifest(samples, "."), vectors_of(values)


def vectors_of(values: np.ndarray) -> ClipVectors:
    return ClipVectors(np.arange(len(values)), values, [], None)  # type: ignore[arg-type]


def relabelled(manifest: Manifest, rows: list[int]) -> Manifest:
    def other(label: str) -> str:
        return f"class {(int(label[-1]) + 1) % CLASSES}"

    return manifest.replace(
        replace(s, label=other(s.label)) if row in rows else s for row, s in enumerate(manifest)
    )


def test_changed_labels_of_single_clips_come_first() -> None:
    manifest, vectors = made()
    wrong = [3, 31, 57, 88, 110]
    found = find_label_errors(relabelled(manifest, wrong), vectors)
    assert {suspect.row for suspect in found.clips[:5]} == set(wrong)
    assert all(s.said == manifest[s.row].label for s in found.clips[:5])
    assert all(s.label != s.said and s.probability > s.own for s in found.clips)
    odds = [suspect.odds for suspect in found.clips]
    assert odds == sorted(odds, reverse=True)
    assert 5 <= found.likely <= 8
    assert found.judged == 120


def test_a_scene_mislabelled_throughout_comes_first_among_scenes() -> None:
    manifest, vectors = made()
    rows = [row for row, sample in enumerate(manifest) if sample.group == "s7"]
    found = find_label_errors(relabelled(manifest, rows), vectors)
    assert found.scenes[0].group == "s7"
    assert found.scenes[0].rows == rows
    assert found.scenes[0].said == manifest[rows[0]].label
    assert found.accuracy is not None
    assert found.accuracy > 0.8


def test_sound_labels_are_not_doubted() -> None:
    manifest, vectors = made()
    found = find_label_errors(manifest, vectors)
    assert found.likely == 0
    assert len(found.clips) <= 2


def test_the_same_data_gives_the_same_list() -> None:
    manifest, vectors = made()
    mangled = relabelled(manifest, [3, 31])
    assert find_label_errors(mangled, vectors) == find_label_errors(mangled, vectors)


def test_without_groups_scenes_are_not_judged() -> None:
    manifest, vectors = made(groups=False)
    found = find_label_errors(relabelled(manifest, [3, 31]), vectors)
    assert {suspect.row for suspect in found.clips[:2]} == {3, 31}
    assert found.scenes == []
    assert found.accuracy is None


def test_clips_without_a_label_are_guessed_and_not_judged() -> None:
    manifest, vectors = made()
    part = manifest.replace(
        replace(s, label="") if row in (0, 64) else s for row, s in enumerate(manifest)
    )
    found = find_label_errors(part, vectors)
    assert found.judged == 118
    assert {row: label for row, (label, _) in found.guesses.items()} == {
        row: manifest[row].label for row in (0, 64)
    }


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([], "no label is in use"),
        (["a"] * 8, "one label is in use"),
        (["a", "b", "c"], "3 labelled clips of 3 classes are too few"),
    ],
)
def test_it_says_why_nothing_was_looked_for(labels: list[str], says: str) -> None:
    count = max(len(labels), 2)
    samples = [
        Sample(f"{row}.mp4", labels[row] if row < len(labels) else "") for row in range(count)
    ]
    values = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    found = find_label_errors(Manifest(samples, "."), vectors_of(values))
    assert says in found.reason
    assert found.clips == found.scenes == []


def test_samples_of_one_video_are_held_out_together_without_groups() -> None:
    manifest, vectors = made(groups=False)
    part = manifest.replace(
        replace(s, video=s.video.split("_")[0], start=float(row)) for row, s in enumerate(manifest)
    )
    found = find_label_errors(part, vectors)
    assert found.accuracy is not None
    assert found.accuracy > 0.8


def test_groups_that_share_one_video_are_one_scene() -> None:
    manifest, vectors = made()
    part = manifest.replace(
        replace(s, video="one.mp4", start=float(row)) for row, s in enumerate(manifest)
    )
    found = find_label_errors(part, vectors)
    assert found.accuracy is None, "nothing can be held out"
    assert found.judged == 120


def test_a_class_of_one_clip_brings_no_fault() -> None:
    manifest, vectors = made()
    lone = manifest.replace([replace(manifest[0], label="alone"), *manifest.samples[1:]])
    found = find_label_errors(lone, vectors)
    assert found.clips[0].row == 0, "nothing else looks like it: it is looked at first"
    assert np.isfinite([suspect.odds for suspect in found.clips]).all()


def test_confident_learning_counts_what_is_as_probable_as_is_usual() -> None:
    shares = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.85, 0.15]])
    # Usual for class 0: 0.8; for class 1: (0.8 + 0.6 + 0.15) / 3 = 0.52.
    assert confident_errors(shares, np.array([0, 0, 1, 1, 1])).tolist() == [False] * 4 + [True]
    sure = np.eye(3)[[0, 1, 2, 0]]
    assert not confident_errors(sure, np.array([0, 1, 2, 0])).any()
