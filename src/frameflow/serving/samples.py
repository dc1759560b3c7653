"""Videos that the operator lays out for visitors to try."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frameflow.errors import UsageError
from frameflow.serving.faults import missing

_MOST = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """One of them.

    Attributes:
        id: its place in the list, so that no name becomes a path.
        path: of the file.
        label: the folder it lies in, which is its label where the model has one of that name.
    """

    id: str
    path: Path
    label: str


class Samples:
    """The videos of a folder and the folders in it, by name, 50 at most.

    Raises:
        UsageError: the folder holds no video.
    """

    def __init__(self, folder: Path | None) -> None:
        from frameflow.inference.paths import expand_paths

        paths = [] if folder is None else [p for p in expand_paths(folder) if p.is_file()]
        if folder is not None and not paths:
            raise UsageError(f"--samples {folder} holds no video file.")
        self._samples = {
            f"s{number}": Sample(f"s{number}", path.resolve(), path.parent.name)
            for number, path in enumerate(paths[:_MOST])
        }

    def listed(self, labels: set[str]) -> list[dict[str, Any]]:
        """What the page is told, with labels that a model knows."""
        return [
            {"id": each.id, "name": each.path.name}
            | ({"label": each.label} if each.label in labels else {})
            for each in self._samples.values()
        ]

    def get(self, name: str) -> Sample:
        """The sample of that id.

        Raises:
            Refused: 404, there is none.
        """
        if name not in self._samples:
            raise missing("unknown_sample", "There is no sample of that id.")
        return self._samples[name]
