"""Synthetic actions: what the pairs promise, what groups share, what is written."""

import csv
from pathlib import Path

import numpy as np
import pytest

from frameflow.video.decode import read_frames
from frameflow.video.probe import probe
from frameflow.video.synthetic import action_names, make_dataset, render_clip, reversed_pairs


def test_at_least_eight_actions_with_several_reversed_pairs() -> None:
    names = action_names()
    assert len(names) == len(set(names)) >= 8
    assert len(reversed_pairs()) >= 4


@pytest.mark.parametrize(("forward", "backward"), reversed_pairs())
def test_a_pair_is_an_exact_time_reversal(forward: str, backward: str) -> None:
    one = render_clip(forward, seed=3, group=1, frames=9)
    two = render_clip(backward, seed=3, group=1, frames=9)
    np.testing.assert_array_equal(one, two[::-1])
    assert not np.array_equal(one, two), "an action that is its own reversal separates nothing"


@pytest.mark.parametrize("action", action_names())
def test_the_person_moves(action: str) -> None:
    clip = render_clip(action, seed=0, group=0, frames=8).astype(int)
    assert clip.shape == (8, 144, 192, 3)
    changed = (np.abs(clip[0] - clip[4]) > 60).any(axis=-1).mean()
    assert 0.005 < changed < 0.5, "a person moves, the room does not"


def test_seed_and_group_change_the_clip_and_the_same_ones_repeat_it() -> None:
    clip = render_clip("wave", seed=0, group=0, frames=4)
    np.testing.assert_array_equal(clip, render_clip("wave", seed=0, group=0, frames=4))
    assert not np.array_equal(clip, render_clip("wave", seed=1, group=0, frames=4))
    other = render_clip("wave", seed=0, group=1, frames=4).astype(int)
    assert np.abs(other[:, :40] - clip[:, :40]).mean() > 5, "another group is another room"


def test_unknown_action_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"action \('fly'\) must be one of step-right"):
        render_clip("fly", seed=0)


def test_dataset_on_disk(tmp_path: Path) -> None:
    manifest = make_dataset(tmp_path, clips=2, groups=2, frames=6, processes=1)
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(action_names())
    assert {row["label"] for row in rows} == set(action_names())
    for label in action_names():
        assert len({row["group"] for row in rows if row["label"] == label}) == 2
    first = tmp_path / rows[0]["video"]
    assert (probe(first).frames, probe(first).width) == (6, 192)
    drawn = render_clip(rows[0]["label"], seed=0, group=0, frames=6).astype(int)
    error = np.abs(read_frames(first, range(6)).astype(int) - drawn).mean()
    assert error < 8, "H.264 is lossy, but shows the same picture"
    # A pair's clips are drawn apart: no clip of one is the mirror in time of one of the other.
    again = first.stat().st_mtime_ns
    make_dataset(tmp_path, clips=2, groups=2, frames=6, processes=1)
    assert first.stat().st_mtime_ns == again, "clips that are there are kept"
