"""MMAction2's and PyTorchVideo's lists: ``path number``; of frame folders ``path frames number``.

They are what `frameflow.data.importers.lists` reads back.
"""

from pathlib import Path

from frameflow._files import write_text
from frameflow.data.containers import frame_names
from frameflow.data.exporters._shared import numbered, refuse_parts
from frameflow.data.importers.lists import read_label_map
from frameflow.data.manifest import SPLITS, Manifest, Sample
from frameflow.errors import UsageError

LABELS = "labels.txt"


def export_lists(
    manifest: Manifest, out: Path, *, form: str = "MMAction2", multilabel: bool = False
) -> list[Path]:
    """Write ``train.txt``, ``val.txt``, ``test.txt`` (``.csv`` for PyTorchVideo), ``all`` for
    samples without a split, and ``labels.txt`` with the names of the numbers.

    Args:
        manifest: whole videos, all files or all folders of frames; paths stay relative to its root.
        out: the folder.
        form: ``MMAction2`` or ``PyTorchVideo``.
        multilabel: a label cell holds several.

    Returns:
        The files written.

    Raises:
        UsageError: a sample that such a list cannot hold.
    """
    refuse_parts(manifest, f"a list of {form}", spans=False)
    unlabelled = sum(not sample.label for sample in manifest)
    if unlabelled:
        raise UsageError(
            f"{unlabelled:,} samples have no label, which a list of {form} cannot leave out."
        )
    spaced = [sample.video for sample in manifest if any(c.isspace() for c in sample.video)]
    if spaced:
        raise UsageError(
            f"{len(spaced):,} paths hold a space, such as {spaced[0]!r}, which ends the path in a "
            f"list of {form}: rename them."
        )
    folders = {manifest.path(sample).is_dir() for sample in manifest}
    if len(folders) > 1:
        raise UsageError("Some samples are files and some folders of frames: export each alone.")
    numbers = numbered(manifest.label_names(multilabel=multilabel))
    counted = folders == {True} and form == "MMAction2"
    suffix = ".txt" if form == "MMAction2" else ".csv"
    written = [_write_labels(out / LABELS, numbers)]
    for split in (*SPLITS, ""):
        lines = [
            _line(manifest, sample, numbers, counted=counted, multilabel=multilabel)
            for sample in manifest
            if sample.split == split
        ]
        if lines:
            written.append(_write_lines(out / f"{split or 'all'}{suffix}", lines))
    return written


def _line(
    manifest: Manifest, sample: Sample, numbers: dict[str, int], *, counted: bool, multilabel: bool
) -> str:
    labels = sample.label_names(multilabel=multilabel)
    parts = [sample.video, *(str(numbers[label]) for label in labels)]
    if counted:
        parts.insert(1, str(len(frame_names(manifest.path(sample)))))
    return " ".join(parts)


def _write_labels(path: Path, numbers: dict[str, int]) -> Path:
    """One name a line; with their numbers where the names themselves look like ``number name``."""
    _write_lines(path, list(numbers))
    if read_label_map(path) != {number: label for label, number in numbers.items()}:
        _write_lines(path, [f"{number} {label}" for label, number in numbers.items()])
    return path


def _write_lines(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(lines) + "\n")
    return path
