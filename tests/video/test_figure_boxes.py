"""Where the person of a generated clip is."""

from pathlib import Path

import numpy as np
import pytest

from frameflow.video.decode import read_frames
from frameflow.video.probe import probe
from frameflow.video.synthetic import clip_seed, figure_boxes, make_dataset, render_clip


@pytest.mark.parametrize("action", ["step-left", "sit-down", "jumping-jacks"])
def test_what_changes_between_frames_lies_in_the_boxes(action: str) -> None:
    clip = render_clip(action, seed=2, group=3, frames=6).astype(int)
    boxes = figure_boxes(action, seed=2, group=3, frames=6)
    assert boxes.shape == (6, 4)
    inside = np.zeros(clip.shape[:3], bool)
    for frame, (left, top, wide, high) in zip(inside, boxes * [192, 144, 192, 144], strict=True):
        frame[int(top) : int(top + high) + 1, int(left) : int(left + wide) + 1] = True
    either = inside[1:] | inside[:-1]
    change = np.abs(np.diff(clip, axis=0)).max(axis=-1)
    assert change[either].mean() > 2.5 * change[~either].mean()
    assert 0.05 < inside.mean() < 0.5


def test_a_reversed_action_has_its_boxes_reversed() -> None:
    there, back = (figure_boxes(name, seed=1, frames=5) for name in ("step-right", "step-left"))
    np.testing.assert_array_equal(there, back[::-1])
    assert there[-1, 0] > there[0, 0]


def test_the_seed_of_a_clip_in_a_data_set_draws_it_again(tmp_path: Path) -> None:
    make_dataset(tmp_path, clips=3, groups=2, frames=3, seed=4, processes=1)
    seed, group = clip_seed("stand-up", 2, groups=2, seed=4)
    path = tmp_path / "stand-up" / "p00_01.mp4"
    written = read_frames(path, np.arange(probe(path).frames)).astype(int)
    drawn = render_clip("stand-up", seed=seed, group=group, frames=3).astype(int)
    assert np.abs(written - drawn).mean() < 6
