"""What all commands share: messages, errors, exit codes, tables and JSON."""

import errno
import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frameflow.errors import FrameFlowError
from frameflow.progress import processes_started, speaks

if TYPE_CHECKING:
    from frameflow.data.manifest import Manifest

Videos = Annotated[
    str, typer.Argument(help="A folder of class folders, or a manifest (.csv, .parquet).")
]
ManifestFile = Annotated[Path, typer.Argument(help="A manifest (.csv or .parquet).")]
OutManifest = Annotated[Path, typer.Option("--out", "-o", help="The manifest to write.")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]
RecipeName = Annotated[str, typer.Option("--recipe", help="A name or a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change one key: train.lr=0.001. Repeatable.")
]
Fold = Annotated[int | None, typer.Option(help="This fold of the manifest is the test split.")]
Classes = Annotated[
    str | None, typer.Option(help="Use only these: a number (the first so many) or A,B,C.")
]
InnerFolds = Annotated[int, typer.Option(help="Folds of the train and val samples.")]
StudyFolder = Annotated[
    Path, typer.Option("--out", "-o", help="A folder; what was stopped there goes on.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of all that is random.")]
EngineName = Annotated[
    Literal["auto", "torch", "onnxruntime", "openvino"],
    typer.Option("--engine", help="What runs the frozen backbone."),
]
RunnerName = Annotated[
    Literal["local", "ray"],
    typer.Option("--runner", help="Work in this process, or in those of a Ray cluster."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="ray: auto or HOST:PORT; default: a cluster of this machine."),
]
Workers = Annotated[int | None, typer.Option("--workers", help="ray: so many processes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs, nothing else.")]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Go on with a leaking split; every report says so.")
]
Store = Annotated[
    str | None,
    typer.Option(help="Where features are stored: a folder or URL; default: FRAMEFLOW_STORE."),
]


_INTERRUPTED = 130
_FIRST = 3  # seconds


class _Lines(logging.Handler):
    """Log records as plain lines on stderr, so stdout stays free for results."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        typer.echo(text, err=True)


def show_steps(*, debug: bool = False) -> None:
    """Let the package's log speak to the user."""
    log = logging.getLogger("frameflow")
    log.handlers[:] = [_Lines()]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False


def forgive_encodings() -> None:
    """A letter that the terminal cannot show must not end the work: it is shown as ``?``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run_app(app: Callable[[], Any], *, debug: bool) -> None:
    """Run, and turn every error into a line or two and an exit code."""
    try:
        app()
    except FrameFlowError as error:
        _fail(str(error), error.exit_code, debug=debug)
    except SystemExit as end:
        # The parser has caught Ctrl-C, and says nothing.
        if end.code == _INTERRUPTED and processes_started() == 1:
            typer.echo("Stopped.", err=True)
        raise
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): the rest is not wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(_explain(error), 1, debug=debug)
    except Exception as error:
        _fail(
            f"{type(error).__name__}: {error}\nThis is a fault in FrameFlow, not in your data; "
            "`frameflow --debug ...` shows where.",
            1,
            debug=debug,
        )


def _fail(message: str, code: int, *, debug: bool = False) -> None:
    if not speaks():  # the first process tells what all find; it ends the others meanwhile
        time.sleep(_FIRST)
    if debug:
        traceback.print_exc()
    typer.echo(f"Error: {message}", err=True)
    sys.exit(code)


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"The disk is full: {error.filename or error}. Free some space and run it again."
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."


def use_store(context: typer.Context, store: str | None) -> None:
    """Until the command ends features are stored there."""
    from frameflow.features.home import stored_at

    context.with_resource(stored_at(store))


def print_json(value: Any) -> None:
    """Strict JSON on stdout: NaN would be a fault."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # letters that stdout does not know are escaped: nothing is lost
        text = json.dumps(value, indent=2, allow_nan=False)
    typer.echo(text)


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """A table on stdout, wide enough for its content where stdout is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    rows = [[_cell(value) for value in row] for row in rows]
    for index, name in enumerate(header):
        numeric = bool(rows) and all(_is_number(row[index]) for row in rows)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def print_counts(
    manifest: "Manifest",
    *,
    by: Literal["split", "fold"],
    labels: bool = True,
    multilabel: bool = False,
) -> None:
    """A table of clips per label and split or fold."""
    header, rows = manifest.counts(by, multilabel=multilabel)
    print_table(header, rows if labels else rows[-1:])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%"))
    except ValueError:
        return text == "-"
    return True
