"""The videos of a run that were set aside."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameflow._files import write_text

if TYPE_CHECKING:
    from frameflow.features.extract import BadVideo


@dataclass(frozen=True)
class Bad:
    """A video that was set aside."""

    video: str
    row: int
    split: str
    reason: str

    @classmethod
    def of(cls, bad: "BadVideo | Mapping[str, Any]", split: str) -> "Bad":
        values = bad if isinstance(bad, Mapping) else asdict(bad)
        return cls(values["video"], values["row"], split, values["reason"])


def write_bad(run: Path, bad: Sequence[Bad]) -> None:
    """``bad_videos.csv``, where there is any."""
    if not bad:
        return
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["video", "row", "split", "reason"])
    writer.writerows((entry.video, entry.row, entry.split, entry.reason) for entry in bad)
    write_text(run / "bad_videos.csv", file.getvalue())
