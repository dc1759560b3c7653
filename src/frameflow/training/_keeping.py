"""Whether decoded clips are kept, decided by what was measured, and keeping them."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from frameflow.errors import FrameFlowError
from frameflow.training.cache import FrameStore
from frameflow.video.clip import Clip

log = logging.getLogger(__name__)

_SHARE = 0.25  # of the free disk that may be taken without being asked
_FIRST = 8  # samples that are decoded and written before it is decided
_SHARD = 64 << 20  # bytes that a kill may lose


@dataclass(frozen=True, slots=True)
class Measured:
    """What a decision about keeping frames rests on.

    Attributes:
        samples: that are not kept yet.
        sample_bytes: of each.
        free: bytes of the disk.
        decode: seconds a sample takes to decode.
        write: seconds a sample takes to be written.
        epochs: at most.
    """

    samples: int
    sample_bytes: int
    free: int
    decode: float
    write: float
    epochs: int


def pays(measured: Measured) -> tuple[bool, str]:
    """Whether to keep decoded frames, and why, in a sentence.

    They are kept where they take at most a quarter of the free disk and save time: reading is
    counted as slow as writing, which on most disks it is not.
    """
    size = measured.samples * measured.sample_bytes
    of = f"{_amount(size)} of {_amount(measured.free)} free"
    if size > _SHARE * measured.free:
        return False, f"they would take {of}"
    again = measured.epochs - 1
    if again * measured.decode <= (1 + again) * measured.write:
        return False, (
            f"decoding takes {1e3 * measured.decode:.1f} ms a clip, keeping one "
            f"{1e3 * measured.write:.1f} ms, and there {_epochs(measured.epochs)}"
        )
    return True, (
        f"{of}; decoding takes {1e3 * measured.decode:.1f} ms a clip, "
        f"keeping one {1e3 * measured.write:.1f} ms"
    )


def _epochs(count: int) -> str:
    return "is 1 epoch" if count == 1 else f"are {count} epochs"


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


class Keeper:
    """Writes the clips of samples as they are decoded, shard by shard.

    Use it as a context manager; what is left is written at the end, also after an error.

    Args:
        stores: one for each request.
        choice: ``on`` keeps them whatever it costs; ``auto`` writes a few, measures, and decides.
        samples: how many will come.
        epochs: in which they are read.
    """

    def __init__(
        self,
        stores: Sequence[FrameStore],
        choice: Literal["auto", "on"],
        *,
        samples: int,
        epochs: int,
    ) -> None:
        self._stores = list(stores)
        self._samples, self._epochs = samples, epochs
        self._choice, self._decided = choice, choice == "on"
        self._active = True
        self._held: list[tuple[str, list[list[Clip]]]] = []
        self._decoding = 0.0

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        try:
            self._flush()
        except FrameFlowError:
            if error is None:
                raise

    def add(self, key: str, clips: list[list[Clip]], seconds: float) -> None:
        """One sample: for each store its clips, and how long it took to decode them.

        Raises:
            FrameFlowError: ``on``, and the disk is full or may not be written.
        """
        if not self._active:
            return
        self._held.append((key, clips))
        self._decoding += seconds
        full = len(self._held) * sum(store.sample_bytes for store in self._stores) >= _SHARD
        if full or (not self._decided and len(self._held) >= _FIRST):
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if not held or not self._active:
            return
        begun = time.perf_counter()
        written: list[tuple[FrameStore, Path]] = []
        try:
            for number, store in enumerate(self._stores):
                written.append((store, store.write([(key, own[number]) for key, own in held])))
        except FrameFlowError as error:
            if self._choice == "on":
                raise
            log.warning("Decoded frames are not kept any more: %s", error)
            self._active = False
            return
        if not self._decided:
            self._decide(len(held), time.perf_counter() - begun, written)

    def _decide(
        self, count: int, writing: float, written: Sequence[tuple[FrameStore, Path]]
    ) -> None:
        self._decided = True
        measured = Measured(
            samples=self._samples,
            sample_bytes=sum(store.sample_bytes for store in self._stores),
            free=shutil.disk_usage(self._stores[0].folder).free,
            decode=self._decoding / count,
            write=writing / count,
            epochs=self._epochs,
        )
        self._active, reason = pays(measured)
        if self._active:
            log.info("Decoded frames are kept: %s.", reason)
            return
        log.info("Decoded frames are not kept (train.cache: on keeps them): %s.", reason)
        for store, path in written:
            store.forget(path)
