"""Writing files so that they are whole or absent, and saying what is wrong where they cannot be."""

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from frameflow.errors import FrameFlowError

_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_whole(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file that other processes see whole or not at all, even after a power cut.

    Raises:
        OSError: it could not be written; nothing of it is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with open(unfinished, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_failure(folder: Path, error: OSError, *, kept: str) -> FrameFlowError:
    """The line for a user whose disk is full or whose folder may not be written.

    Args:
        folder: where writing failed.
        error: what the operating system said.
        kept: what is not lost, a sentence.
    """
    if error.errno in _FULL:
        return FrameFlowError(
            f"The disk is full: {_free(folder)} free in {folder}. {kept} Free some space, or name "
            f"another folder in FRAMEFLOW_HOME, and run the same command again."
        )
    return FrameFlowError(
        f"{folder} cannot be written ({error.strerror or error}). {kept} Name a folder that can be "
        f"written in FRAMEFLOW_HOME."
    )


def _free(folder: Path) -> str:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are"
    except OSError:
        return "nothing is"


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # folders cannot be opened on every system; the file itself is safe
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
