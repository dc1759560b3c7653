"""`frameflow tune`."""

from typing import Annotated, Literal

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


def tune(
    videos: Videos,
    params: Annotated[
        list[str],
        typer.Option(
            "--param",
            help="A key and what it may be: train.lr=log:1e-5..1e-1, train.batch_size=int:8..64, "
            "head.name=gru,lstm. Repeatable.",
        ),
    ],
    out: StudyFolder,
    search: Annotated[
        str, typer.Option(help="grid, random, tpe, gp or bayes; several joined by commas.")
    ] = "tpe",
    trials: Annotated[int, typer.Option(min=1, help="Of each search.")] = 30,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    metric: Annotated[
        Literal["top1", "loss"], typer.Option(help="What a trial is scored by.")
    ] = "top1",
    folds: InnerFolds = 3,
    finalists: Annotated[int, typer.Option(min=1, help="Of the best, scored again.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Of each finalist on each fold.")] = 3,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Give hopeless trials up.")
    ] = True,
    bayes: Annotated[
        str,
        typer.Option(help="kernel=rbf,length_scale=0.2,noise=0.01,kappa=3,start=5, for bayes."),
    ] = "",
    refit: Annotated[
        bool, typer.Option("--refit/--no-refit", help="Train the best as a run, in OUT/run.")
    ] = True,
    fold: Fold = None,
    classes: Classes = None,
    engine: EngineName = "auto",
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """Search over settings of a recipe; the best becomes a run. Run it twice to share the work."""
    from frameflow.tuning import words
    from frameflow.tuning.search import tune as run_search
    from frameflow.tuning.ucb import read_options

    found = run_search(
        videos,
        params=params,
        out=out,
        search=[name.strip() for name in search.split(",") if name.strip()],
        trials=trials,
        recipe=recipe,
        overrides=overrides or (),
        metric=metric,
        folds=folds,
        finalists=finalists,
        seeds=seeds,
        prune=prune,
        bayes=read_options(bayes) if bayes else None,
        refit=refit,
        fold=fold,
        classes=classes,
        engine=engine,
        allow_leak=allow_leak,
    )
    if found is None:
        return
    if as_json:
        print_json(found.to_dict())
        return
    for table in (words.search_table, words.finalist_table):
        header, rows = table(found)
        print_table(header, rows)
    for line in words.summary(found):
        typer.echo(line)
    if found.command:
        typer.echo(f"The best as a run of its own: {found.command}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tune)
