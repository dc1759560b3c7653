"""`frameflow explain`."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import RunFolder


def explain(
    run: RunFolder,
    video: Annotated[Path, typer.Argument(help="A video, or a folder of frames.")],
    label: Annotated[
        str | None, typer.Option(help="What to explain; default: what the run predicts.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .gif or a video, .mp4; default: explained.gif"),
    ] = None,
) -> None:
    """Show where and when a video speaks for a label: a map drawn over its frames."""
    from frameflow.inference.explain import explain as run_explain
    from frameflow.inference.explanation import check_ending

    path = Path("explained.gif") if out is None else out
    check_ending(path)
    found = run_explain(run, video, label)
    found.write(path)
    typer.echo(found.describe())
    typer.echo(f"Wrote {path}: {len(found.frames)} frames.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)
