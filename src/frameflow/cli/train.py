"""`frameflow train`, `evaluate`, `crossval`, `demo`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from frameflow.cli._common import (
    AllowLeak,
    AsJson,
    EngineName,
    Overrides,
    RecipeName,
    RunFolder,
    Seed,
    Videos,
    print_json,
    print_table,
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="A new folder to write.")]
Classes = Annotated[
    str | None, typer.Option(help="Use only these: a number (the first so many) or A,B,C.")
]


def train(
    videos: Annotated[
        str | None,
        typer.Argument(help="A folder of class folders, or a manifest (.csv, .parquet)."),
    ] = None,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    out: Out = None,
    fold: Annotated[
        int | None, typer.Option(help="This fold of the manifest is the test split.")
    ] = None,
    classes: Classes = None,
    seed: Seed = None,
    engine: EngineName = "auto",
    allow_leak: AllowLeak = False,
    init: Annotated[Path | None, typer.Option(help="Start from the weights of this run.")] = None,
    shots: Annotated[
        int | None, typer.Option(help="Learn from so many clips of each class only.")
    ] = None,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Only try learning rates and show the loss.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run that was interrupted.")
    ] = None,
) -> None:
    """Train a recognizer and evaluate it on clips of groups it has never seen."""
    from frameflow.errors import UsageError
    from frameflow.training.pipeline import find_lr as run_find_lr
    from frameflow.training.pipeline import resume as resume_run
    from frameflow.training.pipeline import train as run_train

    if resume is not None:
        flags = (allow_leak or None, find_lr or None)
        others = (overrides or None, out, fold, classes, seed, init, shots, *flags)
        if recipe != "default" or any(option is not None for option in others):
            raise UsageError("--resume goes on as the run began: it takes no option but --engine.")
        typer.echo(resume_run(resume, engine=engine).summary())
        return
    if videos is None:
        raise UsageError("Name a folder of class folders or a manifest: frameflow train VIDEOS/")
    if find_lr and (out is not None or shots is not None):
        raise UsageError("--find-lr makes no run: leave --out and --shots away.")
    start: Callable[..., Any] = run_find_lr if find_lr else partial(run_train, out=out, shots=shots)
    found = start(
        videos,
        recipe=recipe,
        overrides=overrides or (),
        fold=fold,
        classes=classes,
        seed=seed,
        engine=engine,
        allow_leak=allow_leak,
        init=init,
    )
    typer.echo(str(found) if find_lr else found.summary())


def evaluate(
    run: RunFolder,
    manifest: Annotated[
        Path | None, typer.Argument(help="Other clips to score; default: the run's own.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    views: Annotated[int | None, typer.Option(help="Clips averaged per sample.")] = None,
    engine: EngineName = "auto",
    by: Annotated[
        list[str] | None,
        typer.Option(help="Tell the accuracy by a column of the manifest; may be repeated."),
    ] = None,
    explain: Annotated[
        bool, typer.Option(help="Show in the report what mistakes rest on, a second a clip.")
    ] = True,
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """Score a trained run and write its report."""
    from frameflow.inference.evaluate import describe
    from frameflow.inference.evaluate import evaluate as run_evaluate

    metrics = run_evaluate(
        run,
        manifest,
        split=split,
        views=views,
        allow_leak=allow_leak,
        engine=engine,
        by=by,
        explain=explain,
    )
    if as_json:
        print_json(metrics)
    else:
        typer.echo(describe(metrics))


def crossval(
    videos: Videos,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    folds: Annotated[
        int | None, typer.Option(help="Make so many folds; default: the manifest's own, or 5.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds.")] = 1,
    leak_study: Annotated[
        bool, typer.Option("--leak-study", help="The same on random clip folds beside it.")
    ] = False,
    classes: Classes = None,
    out: Out = None,
    engine: EngineName = "auto",
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """Every fold held out once: mean and spread."""
    from frameflow.training.crossval import crossval as run_crossval

    result = run_crossval(
        videos,
        recipe=recipe,
        overrides=overrides or (),
        folds=folds,
        seeds=seeds,
        leak_study=leak_study,
        classes=classes,
        out=out,
        engine=engine,
        allow_leak=allow_leak,
    )
    if as_json:
        print_json(result.to_dict())
        return
    print_table(*result.table())
    typer.echo(result.summary())


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where clips and runs go.")] = Path(
        "demo"
    ),
    clips: Annotated[int, typer.Option(min=4, help="Clips per action.")] = 100,
    seed: int = 0,
) -> None:
    """The whole story on clips it makes: train, evaluate, report. No network, no GPU."""
    from frameflow.training.demo import demo as run_demo

    typer.echo(run_demo(out, clips=clips, seed=seed))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(demo)
    app.command()(train)
    app.command()(evaluate)
    app.command()(crossval)
