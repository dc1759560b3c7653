"""The manifest: a table of samples, each a video or a part of one, with a label or none."""

import logging
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path, PurePath
from typing import Any, Literal

from frameflow._places import below, join, path_of, shown, url_in, url_of
from frameflow.data._faults import Fault, ManifestError, check_samples
from frameflow.data._parse import KNOWN, REGION, parse
from frameflow.data._sample import NONE, SPLITS, Region, Sample
from frameflow.data._table import (
    is_parquet,
    read_table,
    write_atomically,
    write_csv,
    write_parquet,
)
from frameflow.errors import UsageError

__all__ = ["SPLITS", "Fault", "Manifest", "ManifestError", "Region", "Sample"]

log = logging.getLogger(__name__)

_ARROW_TYPES = {"start": "double", "end": "double", "fold": "int64"} | dict.fromkeys(
    REGION, "double"
)


class Manifest:
    """Samples, and the folder their paths start from. Methods return new manifests.

    Args:
        samples: the rows.
        root: the folder that relative paths are relative to; its URL where it lies elsewhere.
        columns: the names of the further columns in order; by default as the samples bring them.
        source: the file this was read from, so that messages can name it.

    Attributes:
        root, source: paths of this machine; of what lies elsewhere the places of copies, which
            `frameflow._places.shown` turns back into URLs.
        url: of the root, where it lies elsewhere.

    Example:
        >>> clips = [Sample("wave/1.mp4", "wave", "train"), Sample("jump/1.mp4", "jump", "test")]
        >>> manifest = Manifest(clips, root=".")
        >>> manifest.labels, len(manifest.split("train"))
        (['jump', 'wave'], 1)
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        root: str | os.PathLike[str],
        *,
        columns: Sequence[str] | None = None,
        source: Path | None = None,
    ) -> None:
        self.samples = list(samples)
        self.root = path_of(root).absolute()
        self.url = url_of(self.root)
        self.source = source
        names = dict.fromkeys(columns or ())
        for sample in self.samples:
            if sample.extra:
                names.update(dict.fromkeys(sample.extra))
        self.columns = list(names)

    def __getstate__(self) -> dict[str, Any]:
        # Places of copies differ from machine to machine: what lies elsewhere goes by its URL.
        source = None if self.source is None else shown(self.source)
        return {**self.__dict__, "root": shown(self.root), "source": source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        source = None if state["source"] is None else path_of(state["source"])
        self.__dict__.update(state, root=path_of(state["root"]), source=source)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __repr__(self) -> str:
        return (
            f"Manifest({len(self)} samples, {len(self.labels)} labels, root={shown(self.root)!r})"
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, check_files: bool = True) -> "Manifest":
        """Read a manifest from a CSV or Parquet file and check it.

        Args:
            path: a file or URL ending in ``.csv`` or ``.parquet``; its folder becomes the root.
            check_files: whether each video must exist.

        Raises:
            ManifestError: rows break the rules; the message names each with its cure.
            UsageError: the file is missing, empty, no such table, or lacks a column.
        """
        path = path_of(path)
        samples, columns, faults = parse(read_table(path), path)
        manifest = cls(samples, path.parent, columns=columns, source=path)
        manifest._refuse(faults, check_files=check_files)
        return manifest

    def validate(self, *, check_files: bool = True) -> None:
        """Check every sample.

        Raises:
            ManifestError: some break the rules; the message names each with its cure.
        """
        self._refuse([], check_files=check_files)

    def _refuse(self, faults: list[Fault], *, check_files: bool) -> None:
        name = shown(self.source or "The manifest")
        if not self.samples and not faults:
            raise UsageError(f"{name} has no rows: it must name at least one video.")
        faults = faults + check_samples(self.samples, self.root, check_files=check_files)
        if faults:
            from_file = any(sample.row for sample in self.samples) or not self.samples
            raise ManifestError(name, faults, unit="row" if from_file else "sample")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest as CSV or Parquet, by the ending of ``path``, which may be a URL.

        Relative paths are rewritten to be relative to the folder of ``path``, or to be URLs where
        it lies elsewhere than they do. The file appears whole or not at all. Columns that no
        sample uses are left out.

        Raises:
            UsageError: the ending is neither ``.csv`` nor ``.parquet``.
            FrameFlowError: the file cannot be written.
        """
        path = path_of(path)
        parquet = is_parquet(path)
        columns = self._columns(path.parent)
        if parquet:
            write_atomically(path, lambda target: write_parquet(target, columns, _ARROW_TYPES))
        else:
            write_atomically(path, lambda target: write_csv(target, columns))

    def _columns(self, folder: Path) -> dict[str, list[Any]]:
        """The table, without the optional columns that are empty throughout."""
        samples = self.samples
        columns: dict[str, list[Any]] = {
            "video": self._videos_from(folder),
            "label": [sample.label for sample in samples],
        }
        for name in KNOWN[2:-4]:
            values = [getattr(sample, name) for sample in samples]
            if any(value not in (None, "") for value in values):
                columns[name] = values
        if any(sample.region is not None for sample in samples):
            for name in REGION:
                columns[name] = [s.region and getattr(s.region, name) for s in samples]
        for name in self.columns:
            columns[name] = [sample.extra.get(name, "") for sample in samples]
        return columns

    def _videos_from(self, folder: Path) -> list[str]:
        videos = [sample.video for sample in self.samples]
        if self.url or url_of(folder):
            return [self._video_from(folder, video) for video in videos]
        # Both resolved: `..` after a symbolic link leads out of what the link points to.
        root, target = os.path.realpath(self.root), os.path.realpath(folder)
        if root == target:
            return videos
        try:
            prefix = PurePath(os.path.relpath(root, target)).as_posix()
        except ValueError:  # on another drive of Windows
            prefix = PurePath(root).as_posix()
        if set(prefix.split("/")) == {".."}:
            # The target lies inside the root, perhaps beside some videos: no detour to these.
            return [
                video
                if os.path.isabs(video) or url_in(video)  # noqa: PTH117
                else PurePath(os.path.relpath(os.path.join(root, video), target)).as_posix()  # noqa: PTH118
                for video in videos
            ]
        return [
            video if url_in(video) else posixpath.normpath(posixpath.join(prefix, video))
            for video in videos
        ]

    def _video_from(self, folder: Path, video: str) -> str:
        """The name of a video where the manifest or the folder lies elsewhere, by a URL."""
        if url_in(video) or os.path.isabs(video):  # noqa: PTH117
            return video
        root, target = self.url, url_of(folder)
        if root is None:
            return os.path.normpath(self.root / video)
        url = join(root, video)
        start = f"{(target or '').rstrip('/')}/"
        return url.removeprefix(start) if target else url

    def path(self, sample: Sample) -> Path:
        """Where the video of a sample is; of one that lies elsewhere, where its copy goes."""
        if self.url is None and ":/" not in sample.video:
            return self.root / sample.video
        return below(self.root, sample.video)

    @property
    def labels(self) -> list[str]:
        """The labels in use, sorted; unlabelled samples bring none."""
        return self.label_names()

    def label_names(self, *, multilabel: bool = False) -> list[str]:
        """The labels in use, sorted.

        Args:
            multilabel: a label cell holds several, joined by ``|``.

        Example:
            >>> both = Manifest([Sample("1.mp4", "wave|run"), Sample("2.mp4", "none")], root=".")
            >>> both.label_names(multilabel=True), both.label_names()
            (['run', 'wave'], ['none', 'wave|run'])
        """
        if not multilabel:
            return sorted({sample.label for sample in self.samples} - {""})
        return sorted({name for sample in self.samples for name in sample.labels})

    @property
    def has_splits(self) -> bool:
        """Whether any sample has a split."""
        return any(sample.split for sample in self.samples)

    @property
    def has_groups(self) -> bool:
        """Whether any sample has a group."""
        return any(sample.group for sample in self.samples)

    @property
    def has_folds(self) -> bool:
        """Whether any sample has a fold."""
        return any(sample.fold is not None for sample in self.samples)

    def replace(self, samples: Iterable[Sample]) -> "Manifest":
        """The same root, columns and source with other samples."""
        return Manifest(samples, self.root, columns=self.columns, source=self.source)

    def where(self, keep: Callable[[Sample], bool]) -> "Manifest":
        """The samples for which ``keep`` is true."""
        return self.replace(filter(keep, self.samples))

    def split(self, name: str) -> "Manifest":
        """The samples of one split.

        Raises:
            UsageError: ``name`` is none of train, val, test.
        """
        if name not in SPLITS:
            raise UsageError(f"split ({name!r}) must be one of {', '.join(SPLITS)}.")
        return self.where(lambda sample: sample.split == name)

    def summary(self, *, multilabel: bool = False) -> dict[str, dict[str, int]]:
        """How many samples of each label each split has.

        Args:
            multilabel: a label cell holds several; a sample counts for each of them.

        Returns:
            ``{label: {split: count}}``, labels sorted; the label ``""`` (if any) is unlabelled and
            comes last, before it ``none`` in multi-label; the split ``""`` counts samples without
            one. Every label has every split that occurs, in the order train, val, test, none.

        Example:
            >>> Manifest([Sample("1.mp4", "wave", "train")], root=".").summary()
            {'wave': {'train': 1}}
        """
        counts, labels = self._tally("split", multilabel)
        occurring = {split for _, split in counts}
        splits = [split for split in (*SPLITS, "") if split in occurring]
        return {label: {split: counts[label, split] for split in splits} for label in labels}

    def _tally(self, part: str, multilabel: bool) -> tuple[Counter[tuple[str, Any]], list[str]]:
        """Samples by label and part, and the labels in the order of tables."""
        place = attrgetter(part)
        counts = Counter(
            (name, place(sample))
            for sample in self.samples
            for name in sample.strata(multilabel=multilabel)
        )
        found = {label for label, _ in counts}
        labels = self.label_names(multilabel=multilabel)
        labels += [name for name in (NONE, "") if name in found and name not in labels]
        return counts, labels

    def counts(
        self, by: Literal["split", "fold"] = "split", *, multilabel: bool = False
    ) -> tuple[list[str], list[list[Any]]]:
        """The samples per label and split or fold as a table to print.

        Args:
            by: what the columns are.
            multilabel: a label cell holds several; a sample counts for each of them.

        Returns:
            The header, and one row per label, its name and numbers; the last row counts all
            samples. The column ``none`` is there where samples have no split or fold.

        Example:
            >>> Manifest([Sample("1.mp4", "wave", "train")], root=".").counts()
            (['label', 'train', 'all'], [['wave', 1, 1], ['all', 1, 1]])
        """
        cells, labels = self._tally(by, multilabel)
        samples = Counter(map(attrgetter(by), self.samples))
        found = set(samples)
        if by == "split":
            parts: list[Any] = [name for name in (*SPLITS, "") if name in found]
        else:
            parts = [*sorted(found - {None}), *(found & {None})]
        numbers = [[cells[label, key] for key in parts] for label in labels]
        numbers.append([samples[key] for key in parts])
        names = [label or "(no label)" for label in labels] + ["all"]
        header = ["label", *("none" if key in ("", None) else str(key) for key in parts), "all"]
        rows = [[name, *row, sum(row)] for name, row in zip(names, numbers)]
        return header, rows

    def describe(self, *, multilabel: bool = False) -> str:
        """One line on what is in it.

        Example:
            >>> Manifest([Sample("1.mp4", "wave", "train", "g1")], root=".").describe()
            '1 sample, 1 label, 1 group, 1 train.'
        """

        def number(count: int, what: str) -> str:
            return f"{count:,} {what}{'s' if count != 1 else ''}"

        labels = self.label_names(multilabel=multilabel)
        groups = len({sample.group for sample in self.samples} - {""})
        folds = len({sample.fold for sample in self.samples} - {None})
        splits = Counter(sample.split for sample in self.samples)
        parts = [number(len(self), "sample"), number(len(labels), "label")]
        parts += [number(groups, "group")] if groups else []
        parts += [number(folds, "fold")] if folds else []
        parts += [f"{splits[name]:,} {name}" for name in SPLITS if splits[name]]
        return ", ".join(parts) + "."
