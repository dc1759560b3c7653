"""Pictures for TensorBoard."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny_clips import EVERYTHING, TinyVideos, fit_tiny, tiny_module

from frameflow.training._board import TensorBoard, confusion_picture, contact_sheet
from frameflow.training.examples import Batch


@hypothesis_settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.integers(1, 20), st.integers(4, 300), st.integers(4, 300))
def test_a_sheet_has_a_row_for_each_clip(clips: int, frames: int, height: int, width: int) -> None:
    values = np.zeros((clips, frames, height, width, 3), np.uint8)
    values += np.arange(clips, dtype=np.uint8)[:, None, None, None, None]
    sheet = contact_sheet(values)
    rows, columns = min(clips, 8), min(frames, 8)
    tall, wide = sheet.shape[0] // rows, sheet.shape[1] // columns
    assert sheet.shape == (rows * tall, columns * wide, 3)
    assert max(tall, wide) <= 112
    assert [int(sheet[row * tall, 0, 0]) for row in range(rows)] == list(range(rows))


def test_frames_of_a_clip_stand_side_by_side_from_first_to_last() -> None:
    values = np.zeros((1, 20, 4, 4, 3), np.uint8)
    values += np.arange(20, dtype=np.uint8)[None, :, None, None, None]
    assert contact_sheet(values)[0, ::4, 0].tolist() == [0, 3, 5, 8, 11, 14, 16, 19]


def test_a_larger_share_is_darker() -> None:
    picture = confusion_picture(np.array([[9, 1, 0], [0, 5, 5], [0, 0, 0]])).astype(int)
    cell = len(picture) // 3
    middle = picture[cell // 2 :: cell, cell // 2 :: cell].sum(axis=2)
    assert middle[0, 0] < middle[1, 1] == middle[1, 2] < middle[0, 1] < middle[0, 2]
    assert (middle[2] == 3 * 255).all()  # no clip is of this class


def images_of(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), {"images": 0}).Reload()
    return {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}


def test_a_training_on_videos_shows_its_clips_and_its_mistakes(tmp_path: Path) -> None:
    fitted = fit_tiny(tiny_module(), TinyVideos(), tmp_path)
    shown = images_of(tmp_path)
    assert shown == {"clips/stream 0": [0], "confusion/val": [fitted.best_epoch]}


@pytest.mark.parametrize(
    "inputs", [torch.zeros(2, 3, 4), [torch.zeros(2, 3, 8, 8, 3, dtype=torch.uint8)]]
)
def test_features_are_no_pictures(
    tmp_path: Path, inputs: torch.Tensor | list[torch.Tensor]
) -> None:
    with TensorBoard(tmp_path) as board:
        board.pictures(Batch(inputs, torch.ones(2, 3), torch.zeros(2)))
    assert bool(images_of(tmp_path)) == isinstance(inputs, list)


def test_a_resumed_training_draws_the_confusion_of_an_epoch_before(tmp_path: Path) -> None:
    """The best epoch was one of a process that is gone, so validation is scored again."""
    settings = EVERYTHING.model_copy(update={"epochs": 3, "rounds": (1.0,)})

    class Stopping(TinyVideos):
        calls = 0

        def batch(self, rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
            self.calls += 1
            if self.calls > 8:
                raise OSError
            return super().batch(rows, rng)

    with pytest.raises(OSError):
        fit_tiny(tiny_module(), Stopping(workers=0), tmp_path, settings=settings)
    # From here on it only gets worse.
    training = TinyVideos(workers=0)
    training.images = 255 - training.images
    fitted = fit_tiny(tiny_module(), training, tmp_path, settings=settings, resume=True)
    assert fitted.best_epoch == 1
    assert images_of(tmp_path)["confusion/val"] == [1]
