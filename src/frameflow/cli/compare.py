"""`frameflow compare` and `frameflow ablate`."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import AsJson, print_json, print_table


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs or cross-validations, the base first.")
    ],
    common: Annotated[
        bool, typer.Option("--common", help="Compare the samples that all runs share.")
    ] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a table to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """What differs between runs, and whether their scores differ by more than chance."""
    from frameflow._files import write_text
    from frameflow.evaluation import compare_words as words
    from frameflow.inference.compare import compare_runs

    found = compare_runs(runs, common=common)
    for path, text in ((csv, words.to_csv), (html, words.to_page)):
        if path is not None:
            write_text(path, text(found))
            typer.echo(f"Wrote {path}.", err=True)
    if as_json:
        print_json(words.to_dict(found))
        return
    typer.echo(words.heading(found))
    for table in (words.setting_table, words.figure_table, words.difference_table):
        header, rows = table(found)
        if rows:
            print_table(header, rows)
    for warning in found.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    for pair in found.pairs:
        typer.echo(words.sentence(found, pair))
        typer.echo(words.mcnemar_sentence(found, pair))
    for note in found.notes:
        typer.echo(note)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(compare)
