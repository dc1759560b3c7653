"""What a score rests on, beside the figures: versions, date, what training set aside."""

import csv
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from frameflow.errors import UsageError

_PACKAGES = ("frameflow-video", "torch", "timm", "numpy", "av", "onnxruntime", "openvino")


def versions() -> dict[str, str]:
    """Python and the packages that figures depend on; those that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def bad_in_training(run: Path, *, besides: str) -> list[dict[str, str | int]]:
    """The videos that the training set aside: ``bad_videos.csv`` but for the split ``besides``.

    Raises:
        UsageError: the file is damaged.
    """
    path = run / "bad_videos.csv"
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [
                {name: row[name] for name in ("video", "split", "reason")}
                | {"row": int(row["row"])}
                for row in csv.DictReader(file)
                if row["split"] not in {besides, "test"} and besides != "all"
            ]
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error!r}): remove it to go on without it.") from None
