"""`frameflow report`."""

from typing import Annotated

import typer

from frameflow.cli._common import RunFolder


def report(
    run: RunFolder,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Accuracy by this column of the manifest. Repeatable."),
    ] = None,
) -> None:
    """Write report.html and README.md of a run again, from its files and without its model."""
    from frameflow.inference.report import rewrite_report

    typer.echo(f"Report:  {rewrite_report(run, by=by or None)}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)
