"""`frameflow ensemble`."""

from pathlib import Path
from typing import Annotated

import typer

from frameflow.cli._common import AllowLeak, AsJson, EngineName, print_json, print_table


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, two or more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder for the ensemble.")],
    weights: Annotated[
        str,
        typer.Option(help="validation (found where it helps), equal, or one each: 0.3,0.7."),
    ] = "validation",
    engine: EngineName = "auto",
    allow_leak: AllowLeak = False,
    as_json: AsJson = False,
) -> None:
    """Average runs: an ensemble is a run of its own, and works wherever a run does."""
    from frameflow.training.ensemble import ensemble as put_together
    from frameflow.training.ensemble import read_weights

    run = put_together(
        runs, out=out, weights=read_weights(weights), engine=engine, allow_leak=allow_leak
    )
    metrics = run.metrics
    if as_json:
        print_json({"run": str(run.path), "metrics": metrics})
        return
    made = metrics["ensemble"]
    header = ("member", "weight", "held-out log loss", "own score")
    print_table(
        header,
        [
            (
                each["name"],
                each["weight"],
                each["held_out_loss"],
                None if each["score"] is None else each["score"]["value"],
            )
            for each in made["members"]
        ],
    )
    typer.echo(made["sentence"])
    typer.echo(run.summary())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ensemble)
