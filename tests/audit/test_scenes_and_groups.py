"""Scenes are found from pixels, in any order, and groups keep what was known before."""

import itertools
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frameflow.audit.groups import find_groups
from frameflow.audit.scenes import Backgrounds, read_backgrounds, same_scene_pairs
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import random_clip_folds, use_fold
from frameflow.errors import UsageError


def partition(manifest: Manifest, names: list[str]) -> set[frozenset[str]]:
    parts: dict[str, set[str]] = {}
    for sample, name in zip(manifest, names, strict=True):
        parts.setdefault(name, set()).add(sample.video)
    return {frozenset(part) for part in parts.values()}


def test_groups_are_the_rooms(rooms: Manifest) -> None:
    found = find_groups(rooms)
    truth = partition(rooms, [sample.extra["room"] for sample in rooms])
    assert partition(found, [sample.group for sample in found]) == truth


def test_scenes_of_other_manifests_have_other_names(rooms: Manifest) -> None:
    """Or scoring one data set with a model of another would be refused as a leak."""
    here = find_groups(rooms.where(lambda sample: sample.extra["room"] < "2"))
    there = find_groups(rooms.where(lambda sample: sample.extra["room"] >= "2"))
    one, two = {s.group for s in here}, {s.group for s in there}
    assert len(one) == len(two) == 2
    assert not one & two


def test_the_order_of_rows_changes_nothing(rooms: Manifest) -> None:
    backwards = rooms.replace(reversed(rooms.samples))
    one, two = find_groups(rooms), find_groups(backwards)
    assert partition(one, [s.group for s in one]) == partition(two, [s.group for s in two])


def test_known_groups_are_kept_whole_and_joined(rooms: Manifest) -> None:
    # Clips 0 and 1 are of two rooms, yet known to belong together (one actor, say).
    given = rooms.replace(
        replace(sample, group="anna" if index < 2 else "") for index, sample in enumerate(rooms)
    )
    found = find_groups(given)
    anna = {s.extra["room"] for s in found if s.group == "anna"}
    assert anna == {"0", "1"}
    assert len([s for s in found if s.group == "anna"]) == 8
    assert len({s.group for s in found}) == 3


def test_samples_of_one_video_share_a_group_and_unreadable_ones_stand_alone(
    rooms: Manifest,
) -> None:
    spans = [
        Sample("clip00.mp4", "run", start=0.0, end=0.4),
        Sample("clip00.mp4", "walk", start=0.5, end=0.9),
        Sample("gone.mp4", "run"),
        Sample("empty1.mp4", "run"),
        Sample("empty2.mp4", "run"),
    ]
    for name in ("empty1.mp4", "empty2.mp4"):
        (rooms.root / name).write_bytes(b"")
    found = find_groups(rooms.replace(spans))
    assert found[0].group == found[1].group != found[2].group
    assert len({sample.group for sample in found[1:]} - {""}) == 4


def test_one_fixed_camera_is_said(rooms: Manifest, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="frameflow"):
        find_groups(rooms.where(lambda sample: sample.extra["room"] == "0"))
    assert "one scene (one fixed camera?)" in caplog.text


def test_dark_pictures_are_not_one_scene_for_being_dark() -> None:
    rng = np.random.default_rng(0)
    dark = rng.uniform(0, 12, (6, 32, 64, 3)).astype(np.float32)
    found = Backgrounds(np.arange(6), dark, {})
    assert same_scene_pairs(found) == []
    twice = Backgrounds(np.arange(2), np.stack([dark[0], dark[0] + 0.2]), {})
    assert len(same_scene_pairs(twice)) == 1


def test_blocks_miss_no_pair() -> None:
    rng = np.random.default_rng(1)
    bases = rng.uniform(0, 255, (300, 32, 64, 3)).astype(np.float32)
    pictures = np.concatenate([bases, bases + rng.normal(0, 3, bases.shape)]).astype(np.float32)
    pairs = same_scene_pairs(Backgrounds(np.arange(600), pictures, {}))
    assert {(p.one, p.two) for p in pairs} == {(i, i + 300) for i in range(300)}


@pytest.mark.parametrize(("name", "value"), [("max_difference", 0), ("min_correlation", 1.5)])
def test_limits_are_checked(name: str, value: float) -> None:
    empty = Backgrounds(np.arange(0), np.empty((0, 32, 64, 3), np.float32), {})
    assert same_scene_pairs(empty) == []
    with pytest.raises(UsageError, match=rf"{name} \({value}\)"):
        same_scene_pairs(empty, **{name: value})


def test_real_clips_leak_in_a_random_split_and_not_by_scene(real_data: Path) -> None:
    known = Manifest.read(real_data / "tennis7" / "manifest.csv")
    some = sorted({sample.group for sample in known})[::2]
    known = known.where(lambda sample: sample.group in some)
    hidden = known.replace(replace(sample, group="") for sample in known)
    pairs = same_scene_pairs(read_backgrounds(hidden))
    right = sum(known[p.one].group == known[p.two].group for p in pairs)
    possible = sum(n * (n - 1) // 2 for n in Counter(s.group for s in known).values())
    assert right / len(pairs) > 0.99
    assert right / possible > 0.15
    random = use_fold(random_clip_folds(hidden, 5, seed=0), 0)
    for manifest, leaks in ((use_fold(known, 0), False), (random, True)):
        split = [sample.split for sample in manifest]
        across = [p for p in pairs if split[p.one] != split[p.two]]
        assert bool(across) == leaks
    groups = [sample.group for sample in find_groups(hidden)]
    same = [
        known[i].group == known[j].group
        for i, j in itertools.combinations(range(len(known)), 2)
        if groups[i] == groups[j]
    ]
    assert sum(same) / len(same) > 0.99
