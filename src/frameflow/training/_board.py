"""TensorBoard events: scalars of each epoch, what was seen, and what was mistaken for what."""

from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from frameflow.training.examples import Batch
from frameflow.training.history import Epoch

_CLIPS, _FRAMES, _SIDE = 8, 8, 112  # of the picture of a batch: the most clips and frames, px
_CELL = 480  # px, about the side of the confusion matrix


class TensorBoard:
    """Scalars per epoch in ``<folder>/tensorboard``; does nothing where the folder is None.

    Args:
        folder: of the run.
        after: events later than this epoch, of a run that was killed, are dropped from view.
    """

    def __init__(self, folder: Path | None, *, after: int = 0) -> None:
        self._writer: Any = None
        self._shown = after > 0
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)

    def write(self, row: Epoch) -> None:
        """Add the figures of one epoch."""
        if self._writer is None:
            return
        for name, value in asdict(row).items():
            if name != "epoch" and value is not None:
                part, _, figure = name.partition("_")
                tag = f"{figure}/{part}" if figure else name
                self._writer.add_scalar(tag, value, row.epoch)

    def pictures(self, batch: Batch) -> None:
        """Show clips as they are learned from, augmented: one a row, its frames side by side.

        Args:
            batch: its inputs a list of ``(B, T, H, W, 3)`` uint8, one for each stream; others are
                left alone, as are all but the first call.
        """
        if self._writer is None or self._shown or not isinstance(batch.inputs, list):
            return
        self._shown = True
        for number, images in enumerate(batch.inputs):
            self._writer.add_image(
                f"clips/stream {number}", contact_sheet(images.numpy()), 0, dataformats="HWC"
            )

    def confusion(self, logits: np.ndarray, targets: np.ndarray, epoch: int) -> None:
        """Show which class was taken for which on validation; nothing where clips have several.

        Args:
            logits: ``(N, K)``.
            targets: ``(N,)``.
            epoch: whose weights they are of.
        """
        if self._writer is not None and targets.ndim == 1:
            counts = np.zeros((logits.shape[1], logits.shape[1]), dtype=np.int64)
            np.add.at(counts, (targets, logits.argmax(axis=1)), 1)
            self._writer.add_image(
                "confusion/val", confusion_picture(counts), epoch, dataformats="HWC"
            )

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def contact_sheet(clips: np.ndarray) -> np.ndarray:
    """``(B, T, H, W, 3)`` uint8 to one picture: a clip a row, frames evenly picked from it."""
    frames = np.linspace(0, clips.shape[1] - 1, min(_FRAMES, clips.shape[1])).round().astype(int)
    step = max(1, -(-max(clips.shape[2:4]) // _SIDE))
    small = clips[:_CLIPS, frames, ::step, ::step]
    rows, columns, height, width, _ = small.shape
    return small.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)


def confusion_picture(counts: np.ndarray) -> np.ndarray:
    """``(K, K)`` counts, true classes as rows, to a picture: darker is a larger share of a row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    light = 255 * (1 - shares[..., None] * np.array([0.97, 0.75, 0.4]))
    cell = max(4, _CELL // len(counts))
    picture = light.round().astype(np.uint8).repeat(cell, axis=0).repeat(cell, axis=1)
    picture[::cell] = picture[:, ::cell] = 200  # lines between the cells
    return picture
