"""Files that are there whole or not at all, and JSON without NaN."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write beside the target and rename, so that a reader never sees half a file."""
    write_parts(path, [text])


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """As `write_text`, of a text that need not be held in memory at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", encoding="utf-8", newline="") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Strict JSON: a NaN or an infinity is a ValueError, never in a file."""
    separators = None if indent is not None else (",", ":")
    text = json.dumps(
        value, indent=indent, ensure_ascii=False, allow_nan=False, separators=separators
    )
    write_text(path, text + "\n")
