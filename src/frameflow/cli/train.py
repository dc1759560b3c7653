"""`frameflow train`, `evaluate`, `crossval`, `demo`."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from frameflow.cli._common import (
    AllowLeak,
    AsJson,
    Classes,
    EngineName,
    Fold,
    Overrides,
    RecipeName,
    RunFolder,
    Seed,
    Store,
    Videos,
    print_json,
    print_table,
    use_store,
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="A new folder to write.")]


def train(
    context: typer.Context,
    videos: Annotated[
        str | None,
        typer.Argument(help="A folder of class folders, or a manifest (.csv, .parquet)."),
    ] = None,
    recipe: RecipeName = "default",
    overrides: Overrides = None,
    out: Out = None,
    fold: Fold = None,
    classes: Classes = None,
    seed: Seed = None,
    engine: EngineName = "auto",
    allow_leak: AllowLeak = False,
    init: Annotated[Path | None, typer.Option(help="Start from the weights of this run.")] = None,
    shots: Annotated[
        int | None, typer.Option(help="Learn from so many clips of each class only.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Learn what this run says of the clips too.")
    ] = None,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Only try learning rates and show the loss.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run that was interrupted.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Share the work between so many processes.")
    ] = None,
    store: Store = None,
) -> None:
    """Train a recognizer and evaluate it on clips of groups it has never seen."""
    use_store(context, store)
    from frameflow.config import load_recipe
    from frameflow.errors import UsageError
    from frameflow.training.pipeline import find_lr as run_find_lr
    from frameflow.training.pipeline import resume as resume_run
    from frameflow.training.pipeline import train as run_train
    from frameflow.training.run import Run

    if resume is not None:
        flags = (allow_leak or None, find_lr or None)
        others = (overrides or None, out, fold, classes, seed, init, shots, teacher, *flags)
        if recipe != "default" or any(option is not None for option in others):
            raise UsageError(
                "--resume goes on as the run began: it takes no option but --engine, --processes, "
                "--store."
            )
        if not _started(processes, lambda: Run(resume).recipe):
            _tell(resume_run(resume, engine=engine))
        return
    if videos is None:
        raise UsageError("Name a folder of class folders or a manifest: frameflow train VIDEOS/")
    if find_lr and any(option is not None for option in (out, shots, teacher)):
        raise UsageError("--find-lr makes no run: leave --out, --shots and --teacher away.")
    if find_lr and processes is not None:
        raise UsageError("--find-lr runs in one process: leave --processes away.")
    if _started(processes, lambda: load_recipe(recipe, overrides or ())):
        return
    start: Callable[..., Any] = (
        run_find_lr if find_lr else partial(run_train, out=out, shots=shots, teacher=teacher)
    )
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
    if find_lr:
        typer.echo(str(found))
    else:
        _tell(found)


def _started(processes: int | None, recipe: Callable[[], Any]) -> bool:
    """Whether the work was done by processes that were started for it."""
    import logging

    from frameflow.errors import UsageError
    from frameflow.progress import processes_started
    from frameflow.training.processes import start

    if processes is None or (processes == 1 and processes_started() == 1):
        return False
    if processes < 1:
        raise UsageError(f"--processes ({processes}) must be at least 1.")
    if processes_started() > 1:
        raise UsageError(
            f"torchrun has started {processes_started()} processes already: leave --processes away."
        )
    if recipe().way == "frozen":
        logging.getLogger("frameflow").info(
            "A head over stored features learns in one process: --processes is for recipes whose "
            "backbones learn (train.learn)."
        )
        return False
    start(processes, _without_processes(sys.argv[1:]))
    return True


def _without_processes(arguments: list[str]) -> list[str]:
    at = [i for i, word in enumerate(arguments) if word.partition("=")[0] == "--processes"]
    gone = {i for first in at for i in (first, first + ("=" not in arguments[first]))}
    return [word for i, word in enumerate(arguments) if i not in gone]


def _tell(run: Any) -> None:
    """How it went; of several processes the first one says it."""
    from frameflow.progress import speaks

    if speaks():
        typer.echo(run.summary())


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
