"""`frameflow compare` and `frameflow ablate`."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import (
    AllowLeak,
    AsJson,
    Classes,
    EngineName,
    Fold,
    InnerFolds,
    Overrides,
    RecipeName,
    StudyFolder,
    Videos,
    print_json,
    print_table,
)


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


def ablate(
    videos: Videos,
    over: Annotated[
        list[str],
        typer.Option("--over", help="A key and its values: head=mean,gru. Repeatable."),
    ],
    out: StudyFolder,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train each with so many seeds.")] = 3,
    folds: InnerFolds = 5,
    one_at_a_time: Annotated[
        bool,
        typer.Option("--one-at-a-time", help="Each value alone, rather than all combinations."),
    ] = False,
    fold: Fold = None,
    classes: Classes = None,
    engine: EngineName = "auto",
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """What each change of a recipe does, on folds of the training samples."""
    from frameflow.training import ablation_words as words
    from frameflow.training.ablate import ablate as run_ablate

    found = run_ablate(
        videos,
        over=over,
        out=out,
        recipe=recipe,
        overrides=overrides or (),
        seeds=seeds,
        folds=folds,
        one_at_a_time=one_at_a_time,
        fold=fold,
        classes=classes,
        engine=engine,
        allow_leak=allow_leak,
    )
    if as_json:
        print_json(found.to_dict())
        return
    for table in (words.variant_table, words.main_table):
        header, rows = table(found)
        if rows:
            print_table(header, rows)
    for line in (*words.summary(found), *words.notes(found)):
        typer.echo(line)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(compare)
    app.command()(ablate)
