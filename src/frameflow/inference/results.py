"""Results of predictions as files that grow row by row, and go on where they were stopped.

Every row is on disk as soon as its video is predicted, and whole or not at all as far as the
system allows: what a full disk cuts off is taken back, and what a kill or a power cut leaves is
mended by ``resume``. Rows say which model they are of and what the video was (its size and when
it was changed), so that a changed video is predicted again, and another model is refused.
"""

import csv
import hashlib
import io
import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from frameflow._files import write_text
from frameflow._places import path_of, url_in, url_of
from frameflow.data.labels import join_labels
from frameflow.errors import UsageError, VideoError, listing
from frameflow.inference._rows import Closing, RowFile, check_target, rows_of_csv
from frameflow.inference.prediction import Prediction, Result
from frameflow.remote import stamp_of

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor

__all__ = ["Columns", "CsvResults", "JsonArray", "JsonlResults", "check_target", "write_csv"]

_OTHER = "Name another file, or leave out --resume to begin anew."


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table of predictions has, known before the first one.

    Attributes:
        ranks: how many labels are ranked.
        multilabel: the labels above 0.5 stand before them.
        sets: the set and whether the model abstained stand behind.
        model: which model it is, see `model_id`; without it the table does not say what a video
            was, and cannot be resumed.
    """

    ranks: int
    multilabel: bool = False
    sets: bool = False
    model: str = ""

    @classmethod
    def of(cls, predictor: "Predictor", *, topk: int) -> "Columns":
        """Those of a run's predictions."""
        return cls(
            ranks=min(topk, len(predictor.labels)),
            multilabel=predictor.recognizer.recipe.multilabel,
            sets=predictor.has_sets,
            model=model_id(predictor),
        )

    @property
    def names(self) -> list[str]:
        ranked = [
            name for k in range(1, self.ranks + 1) for name in (f"label_{k}", f"probability_{k}")
        ]
        present = ["present"] if self.multilabel else []
        sets = ["set", "abstained"] if self.sets else []
        known = ["model", "bytes", "modified"] if self.model else []
        return ["video", *present, *ranked, *sets, *known, "error"]

    def row(self, result: Result) -> list[str]:
        """The cells of one result."""
        known = [self.model, *identity(_path(result))] if self.model else []
        if isinstance(result, VideoError):
            blank = [""] * (len(self.names) - len(known) - 2)
            return [result.path, *blank, *known, result.reason]
        cells = [cell for label, share in result.topk for cell in (label, f"{share:.6g}")]
        cells += [""] * (2 * self.ranks - len(cells))
        present = [join_labels(result.present)] if self.multilabel else []
        sets = [join_labels(result.set or ()), _yes(result.abstained)] if self.sets else []
        return [result.video, *present, *cells, *sets, *known, ""]


def write_csv(path: str | os.PathLike[str], results: Sequence[Result]) -> None:
    """Write results as a table: the video, the top k with their probabilities, or the error.

    In multi-label the labels above 0.5, joined by ``|``, stand before them. Where the model has
    prediction sets, that of the video follows, joined by ``|``, and whether it abstained.
    """
    predicted = [result for result in results if isinstance(result, Prediction)]
    columns = Columns(
        ranks=max((len(result.topk) for result in predicted), default=1),
        multilabel=any(result.multilabel for result in predicted),
        sets=any(result.set is not None for result in predicted),
    )
    rows = [columns.names, *map(columns.row, results)]
    write_text(Path(path), "".join(map(csv_line, rows)))


def model_id(predictor: "Predictor") -> str:
    """Twelve digits that change with whatever changes what a run says, its views included."""
    recognizer = predictor.recognizer
    if recognizer.folder is None:
        raise UsageError("The model was not loaded from a run, so results cannot name it.")
    saved = json.loads((recognizer.folder / "model.json").read_text(encoding="utf-8"))
    extra = recognizer.extra
    said = [saved.get("tensors_digest"), recognizer.labels, predictor.encoder.views]
    said += [recognizer.recipe.model_dump(mode="json"), extra.get("calibration")]
    text = json.dumps([*said, extra.get("refusal")], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def identity(video: str | os.PathLike[str]) -> tuple[str, str]:
    """The bytes of a file and when it was changed (UTC), in words; empty where it is not there.

    At a URL what changes with its content stands for the time.
    """
    try:
        if url := url_of(video) or url_in(video):
            stamp = stamp_of(path_of(url))
            return stamp.partition(":")[0], stamp
        found = Path(video).stat()
    except (OSError, ValueError, VideoError):
        return "", ""
    seconds, rest = divmod(found.st_mtime_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    size = "" if Path(video).is_dir() else str(found.st_size)
    return size, f"{moment}.{rest:09d}Z"


def _place(video: str | os.PathLike[str]) -> str:
    """One spelling for a video: of a path the absolute one, links as they are."""
    return url_of(video) or url_in(video) or os.path.abspath(video)  # noqa: PTH100


class _Results(Closing):
    """A file of results; ``with`` closes it.

    Args:
        path: of the file.
        columns: what a result says.
        resume: keep what the file has, mended: half of a last row goes, and so do videos that
            failed or that have changed, for these are to be tried again.

    Attributes:
        path: as given.
        kept: how many results the file had already.
        written: how many were added.

    Raises:
        UsageError: the file is of another model or has other columns, or is damaged.
        FrameFlowError: it cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], columns: Columns, *, resume: bool = False
    ) -> None:
        self.path, self.columns = Path(path), columns
        self.written = 0
        self._done: dict[str, tuple[str, str]] = {}
        check_target(self.path)
        self._begin = self._head()
        if resume and self.path.exists() and self.path.stat().st_size:
            self._mend()
            self._file = RowFile(self.path, append=True)
        else:
            self._file = RowFile(self.path)
            self._file.write(self._begin)
        self.kept = len(self._done)

    def has(self, video: str | os.PathLike[str]) -> bool:
        """Whether the file has this video as it is now."""
        known = self._done.get(_place(video))
        return known is not None and known == identity(video)

    def write(self, result: Result) -> None:
        """Add a result; it is on disk when this returns.

        Raises:
            FrameFlowError: it cannot be written; the rows before it are.
        """
        self._file.write(self._line(result))
        self.written += 1

    def close(self) -> None:
        self._file.close()

    def _mend(self) -> None:
        """Leave out what is to be tried again, and remember the rest."""
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with RowFile(beside) as file:
                file.write(self._begin)
                for video, known, line in self._saved():
                    place = _place(video)
                    now = identity(video)
                    if place in self._done or (any(now) and now != known):
                        continue
                    self._done[place] = known
                    file.write(line)
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)

    @abstractmethod
    def _head(self) -> str:
        """What the file begins with."""

    @abstractmethod
    def _line(self, result: Result) -> str:
        """What is added for a result."""

    @abstractmethod
    def _saved(self) -> Iterator[tuple[str, tuple[str, str], str]]:
        """Video, identity and line of each result that needs no second try."""


class CsvResults(_Results):
    """Results as a table, see `Columns`."""

    def _head(self) -> str:
        return csv_line(self.columns.names)

    def _line(self, result: Result) -> str:
        return csv_line(self.columns.row(result))

    def _saved(self) -> Iterator[tuple[str, tuple[str, str], str]]:
        rows = rows_of_csv(self.path)
        header, names = next(rows, None), self.columns.names
        if header is None:
            return  # not even its header was written whole
        _check_header(self.path, header, names)
        model, size, modified = (names.index(name) for name in ("model", "bytes", "modified"))
        for cells in rows:
            _check_model(self.path, cells[model], self.columns.model)
            if not cells[-1]:
                yield cells[0], (cells[size], cells[modified]), csv_line(cells)


class JsonlResults(_Results):
    """Results as JSON, one object a line: a program can read it while it grows."""

    def _head(self) -> str:
        return ""

    def _line(self, result: Result) -> str:
        size, modified = identity(_path(result))
        known = {"model": self.columns.model, "bytes": size, "modified": modified}
        return as_json({**to_dict(result), **known}) + "\n"

    def _saved(self) -> Iterator[tuple[str, tuple[str, str], str]]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                whole = line.endswith(b"\n")
                try:
                    found = json.loads(line)
                    known = (str(found["bytes"]), str(found["modified"]))
                    video, model = found["video"], found["model"]
                    ranks = self.columns.ranks if "error" in found else len(found["topk"])
                except (ValueError, KeyError, TypeError):
                    if not whole or not file.peek(1):
                        return  # half of the last line: its video is predicted again
                    raise UsageError(
                        f"{self.path}, line {number} is no result of `frameflow predict --jsonl`: "
                        f"delete it, or name another file."
                    ) from None
                _check_model(self.path, model, self.columns.model)
                _check_ranks(self.path, ranks, self.columns.ranks)
                if whole and "error" not in found:
                    yield video, known, line.decode("utf-8")


class JsonArray:
    """A JSON array on a stream that grows with every result; ``with`` ends it, come what may."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._first = True

    def write(self, result: Result) -> None:
        """Add a result."""
        text = as_json(to_dict(result), indent=2, encoding=self._stream.encoding)
        text = text.replace("\n", "\n  ")
        self._stream.write(("[\n  " if self._first else ",\n  ") + text)
        self._stream.flush()
        self._first = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, OSError):  # nobody reads any more
            return
        self._stream.write("[]\n" if self._first else "\n]\n")
        self._stream.flush()


class JsonLines:
    """Results as JSON lines on a stream, such as a pipe to another program."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, result: Result) -> None:
        """Add a result."""
        self._stream.write(as_json(to_dict(result), encoding=self._stream.encoding) + "\n")
        self._stream.flush()


def to_dict(result: Result) -> dict[str, Any]:
    """A result for JSON: a prediction, or ``video`` and ``error``."""
    if isinstance(result, VideoError):
        return {"video": result.path, "error": result.reason}
    return result.to_dict()


def as_json(value: Any, *, indent: int | None = None, encoding: str | None = None) -> str:
    """Strict JSON; letters that the encoding does not know are escaped, so nothing is lost."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    with suppress(UnicodeEncodeError):
        text.encode(encoding or "utf-8")
        return text
    return json.dumps(value, indent=indent, allow_nan=False)


def csv_line(cells: Sequence[str]) -> str:
    """One row of a CSV file."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(cells)
    return file.getvalue()


def _check_header(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    if list(header) == list(names):
        return
    _check_ranks(path, sum(name.startswith("label_") for name in header), _ranks(names))
    raise UsageError(
        f"{path} cannot be resumed: its columns are {listing(header, most=4)}, and this run writes "
        f"{listing(names, most=4)}. {_OTHER}"
    )


def _check_ranks(path: Path, has: int, asked: int) -> None:
    if has != asked and has:
        raise UsageError(
            f"{path} cannot be resumed: it ranks {has} labels, and {asked} are asked for. "
            f"Add --topk {has}, or name another file."
        )


def _check_model(path: Path, has: str, own: str) -> None:
    if has != own:
        raise UsageError(
            f"{path} cannot be resumed: it is of another model, or of another number of views "
            f"({has or 'unknown'}, here {own}). {_OTHER}"
        )


def _ranks(names: Sequence[str]) -> int:
    return sum(name.startswith("label_") for name in names)


def _path(result: Result) -> str:
    return result.path if isinstance(result, VideoError) else result.video


def _yes(value: bool) -> str:
    return "yes" if value else "no"
